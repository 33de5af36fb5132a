/**
 * Gets the genesis of a private network from a member who is online, for who has the key only. What is said is decided by the wasm's
 * GenesisKnock; here is its socket.
 */

import { DistliError } from "./errors.js";

const PATIENCE_MS = 60_000;

/**
 * @param {{GenesisKnock: any}} wasm
 * @param {Uint8Array} networkKey
 * @param {string | null} trackerUrl
 * @param {string} networkId for the words to the user
 * @returns {Promise<Uint8Array>}
 */
export function genesisFromMembers(wasm, networkKey, trackerUrl, networkId) {
  if (!trackerUrl) throw new DistliError("There is no tracker to find the members by.", "Use the invite link, which needs none.", "offline");
  const knock = new wasm.GenesisKnock(networkKey, crypto.getRandomValues(new Uint8Array(32)), new URL(trackerUrl).host);
  let asked = 0;
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(trackerUrl);
    const end = (/** @type {() => void} */ then) => {
      clearTimeout(patience);
      socket.onclose = null;
      socket.onmessage = null;
      socket.close(1000);
      knock.free();
      then();
    };
    const fail = (/** @type {string} */ reason, /** @type {string} */ remedy, /** @type {string} */ code) => end(() => reject(new DistliError(reason, remedy, code)));
    const patience = setTimeout(() => {
      if (asked > 0) fail(`No member of “${networkId}” gave an answer.`, "Ask a member to open the network, then try again.", "nobody_there");
      else fail(`Nobody is in “${networkId}” now, or the name or the passphrase is another.`, "Check both, ask a member to open the network, then try again.", "nobody_there");
    }, PATIENCE_MS);
    socket.onclose = () => fail("The tracker does not answer.", "Check the connection, or use the invite link.", "offline");
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return;
      for (const order of knock.message(data)) {
        if (order.send !== undefined) socket.send(order.send);
        else if (order.waiting !== undefined) asked += order.waiting;
        else if (order.found !== undefined) return end(() => resolve(order.found));
        else return fail(`The tracker refused: ${order.refused}`, "Try again in a minute.", "refused");
      }
    };
  });
}
