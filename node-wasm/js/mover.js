/**
 * Moving a private network to a successor, and noticing that its owner did. What counts as a move the Core says.
 */

import { DistliError } from "./errors.js";
import { makeSecret } from "./open-network.js";

const LOOK_MS = 1_000;

export class Mover {
  #session;
  #timer = 0;
  /** What the page was told last. */
  #told = "";

  /** @param {import("./node-session.js").NodeSession} session */
  constructor(session) {
    this.#session = session;
  }

  /** Something changed in the chain or among what waits. */
  changed() {
    if (!this.#session.network.networkKey || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#look();
    }, LOOK_MS);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = -1;
  }

  /**
   * Makes the successor, keeps it here and submits the record that tells the others.
   * @param {string[]} members public keys
   */
  async move(members) {
    const { core, wasm, network, archive, methods } = this.#session;
    const secret = makeSecret(wasm, network.passphrase ? "passphrase" : "private", network.networkId);
    const seed = crypto.getRandomValues(new Uint8Array(32));
    let moved;
    try {
      moved = core.moveNetwork({ networkKey: secret.networkKey, seed, createdAt: Date.now(), members });
    } catch (error) {
      throw new DistliError(String(error instanceof Error ? error.message : error), "Move it from the tab that made it.", "not_owner");
    }
    const { genesis, chainId } = moved;
    const { networkId } = network;
    await archive.keepNetwork({ networkId, chainId, genesis, listed: false, ...secret });
    await methods.submit({ kind: "record", payload: moved.record });
    return { networkId, chainId, members: moved.members };
  }

  async #look() {
    const { core, network, archive } = this.#session;
    const found = core.successor();
    if (!found) return;
    const { genesis, networkId, chainId, networkKey, confirmed } = found;
    const told = `${chainId} ${confirmed}`;
    if (told === this.#told) return;
    this.#told = told;
    const known = network.movedTo === chainId;
    if (networkKey) await archive.keepNetwork({ networkId, chainId, genesis, listed: false, networkKey });
    if (!known && confirmed) await archive.noteMoved(network.chainId, chainId);
    this.#session.event("moved", { networkId, chainId, joined: Boolean(networkKey), confirmed, known });
  }
}
