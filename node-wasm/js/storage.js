/**
 * The archive of one profile: known networks, identity slots, and per chain the records of the node machine.
 *
 * Tabs share it. Which tab writes a chain is decided in `chain-store.js`; here are the parts that need no election. Where there is no
 * IndexedDB at all the archive is volatile and says so once: the node then works, and forgets everything when its tab closes.
 */

import { ChainStore } from "./chain-store.js";
import { openDatabase, read, result, write } from "./database.js";
import { DistliError, flatten } from "./errors.js";
import { createLocks } from "./locks.js";

const SLOTS_MAX = 64;
/** How long a reloaded tab waits for the slot its former self is about to free. */
const OWN_SLOT_WAIT_MS = 1_500;
/** Leases outlive a killed tab by five seconds. */
const OWN_LEASE_WAIT_MS = 6_500;
/** A slot passes on some 180 ms after its tab closed; a new tab gives the first slot that long before it takes another. */
const FIRST_SLOT_WAIT_MS = 400;

/**
 * @typedef {{chainId: string, networkId: string, genesis: Uint8Array, listed?: boolean, addedAt: number,
 *   height?: number, networkKey?: Uint8Array, passphrase?: string, movedTo?: string, proving?: boolean}} StoredNetwork
 * @typedef {{slot: number, seed: Uint8Array, release: () => void}} IdentitySlot
 * @typedef {{level: "info" | "warning" | "error", message: string, remedy: string}} StorageNotice
 */

export class Archive {
  /**
   * Opens the archive; never rejects, a browser without storage gets a volatile one and a notice.
   * @param {(notice: StorageNotice) => void} notify
   */
  static async open(notify) {
    const gone = () =>
      notify({
        level: "error",
        message: "The browser closed the storage of this page.",
        remedy: "Site data was cleared: export the chain now if you need it, then reload the page.",
      });
    try {
      return new Archive(await openDatabase(gone), notify);
    } catch (error) {
      const { reason, remedy } = flatten(error, "Leave private mode or allow site data for this page, then reload.");
      notify({ level: "error", message: `Nothing is saved in this tab: ${reason}`, remedy });
      return new Archive(null, notify);
    }
  }

  /**
   * @param {IDBDatabase | null} db
   * @param {(notice: StorageNotice) => void} notify
   */
  constructor(db, notify) {
    this.db = db;
    this.notify = notify;
    this.locks = createLocks(db);
    if (!db || this.locks.native) return;
    notify({
      level: "warning",
      message: "The browser offers no tab locks here, because the page does not come over https or from localhost.",
      remedy: "Tabs share storage by leases instead: after a crash wait five seconds before reopening. Serve the page over https.",
    });
  }

  /**
   * Every network this profile knows, newest first.
   * @returns {Promise<StoredNetwork[]>}
   */
  async networks() {
    if (!this.db) return [];
    /** @type {StoredNetwork[]} */
    const all = await read(this.db, "networks", (store) => store.getAll());
    return all.sort((a, b) => b.addedAt - a.addedAt);
  }

  /**
   * Keeps a network's genesis; one that is there already stays as it is.
   * @param {{chainId: string, networkId: string, genesis: Uint8Array, listed: boolean, networkKey?: Uint8Array, passphrase?: string}} network
   */
  async keepNetwork({ chainId, networkId, genesis, listed, networkKey, passphrase }) {
    if (!this.db) return;
    await write(this.db, ["networks"], async (transaction) => {
      const store = transaction.objectStore("networks");
      const known = await result(store.get(chainId));
      const secret = networkKey ? { networkKey, passphrase } : {};
      if (!known) store.put({ chainId, networkId, genesis, listed, addedAt: Date.now(), height: 0, ...secret });
      else if (networkKey && !known.networkKey) store.put({ ...known, ...secret });
    });
  }

  /**
   * Notes the height that `DistliNode.stored()` shows; a hint, never a proof.
   * @param {string} chainId
   * @param {number} height
   */
  async noteHeight(chainId, height) {
    await this.#note(chainId, { height });
  }

  /**
   * Notes where the owner moved a private network.
   * @param {string} chainId
   * @param {string} movedTo
   */
  async noteMoved(chainId, movedTo) {
    await this.#note(chainId, { movedTo });
  }

  /**
   * Notes whether the owner of a private network lets it be proved final.
   * @param {string} chainId
   * @param {boolean} proving
   */
  async noteProving(chainId, proving) {
    await this.#note(chainId, { proving });
  }

  /**
   * @param {string} chainId
   * @param {{height: number} | {movedTo: string} | {proving: boolean}} noted
   */
  async #note(chainId, noted) {
    if (!this.db) return;
    await write(this.db, ["networks"], async (transaction) => {
      const store = transaction.objectStore("networks");
      const known = await result(store.get(chainId));
      const [[name, value]] = Object.entries(noted);
      if (known && known[name] !== value) store.put({ ...known, [name]: value });
    });
  }

  /**
   * Locks an identity slot for as long as this tab lives, and gives its seed.
   * @param {number | null} preferred the slot this tab had before a reload
   * @returns {Promise<IdentitySlot>}
   */
  async lockIdentity(preferred) {
    const first = preferred ?? 0;
    const own = this.locks.native ? OWN_SLOT_WAIT_MS : OWN_LEASE_WAIT_MS;
    const waited = await this.#waitForSlot(first, preferred === null ? FIRST_SLOT_WAIT_MS : own);
    if (waited) return this.#openSlot(first, waited);
    for (let slot = 0; slot < SLOTS_MAX; slot++) {
      const held = await this.locks.tryAcquire(lockName(slot));
      if (held) return this.#openSlot(slot, held);
    }
    throw new DistliError(`All ${SLOTS_MAX} identities of this browser profile are in use.`, "Close some tabs of this site.");
  }

  /**
   * @param {number} slot
   * @param {number} ms
   * @returns {Promise<import("./locks.js").Held | null>}
   */
  async #waitForSlot(slot, ms) {
    const atOnce = await this.locks.tryAcquire(lockName(slot));
    if (atOnce) return atOnce;
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), ms);
    try {
      return await this.locks.acquire(lockName(slot), patience.signal);
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param {number} slot
   * @param {import("./locks.js").Held} held
   * @returns {Promise<IdentitySlot>}
   */
  async #openSlot(slot, held) {
    const fresh = crypto.getRandomValues(new Uint8Array(32));
    if (!this.db) return { slot, seed: fresh, release: held.release };
    const seed = await write(this.db, ["identities"], async (transaction) => {
      const store = transaction.objectStore("identities");
      const known = await result(store.get(slot));
      if (known) return known.seed;
      store.put({ slot, seed: fresh });
      return fresh;
    });
    return { slot, seed, release: held.release };
  }

  /**
   * The records of one chain, shared with the other tabs from now on.
   * @param {string} chainId
   * @param {number} slot
   * @param {(shared: import("./chain-store.js").Shared) => void} onShared what another tab stored
   */
  openChain(chainId, slot, onShared) {
    return new ChainStore({ db: this.db, locks: this.locks, chainId, slot, onShared });
  }

  close() {
    this.db?.close();
  }
}

/** @param {number} slot */
function lockName(slot) {
  return `distli/identity/${slot}`;
}
