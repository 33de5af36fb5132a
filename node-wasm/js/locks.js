/**
 * Named exclusive locks between the tabs of one profile.
 *
 * Web Locks where the browser has them (they are freed when a tab dies). Elsewhere (plain http on a LAN) leases in IndexedDB, which
 * outlive a killed tab by up to five seconds; the archive tells the user about this. Either way a lock can be stolen, so whoever
 * holds one must also prove its epoch at each write: a lock alone protects nothing.
 */

import { result, write } from "./database.js";

const LEASE_MS = 5_000;
const RENEW_MS = 1_500;

/**
 * A lock that is held. `lost` resolves when someone stole it.
 * @typedef {{release: () => void, lost: Promise<void>}} Held
 */

/**
 * @typedef {object} Locks
 * @property {boolean} native true for Web Locks
 * @property {(name: string) => Promise<Held | null>} tryAcquire at once or not at all
 * @property {(name: string, signal: AbortSignal) => Promise<Held>} acquire waits; rejects when aborted
 * @property {(name: string) => Promise<Held>} steal takes it from whoever has it
 */

/**
 * Chooses the best locks this browser has.
 * @param {IDBDatabase | null} db
 * @returns {Locks}
 */
export function createLocks(db) {
  if (globalThis.navigator?.locks) return new WebLocks();
  return db ? new LeaseLocks(db) : new LonelyLocks();
}

/** Locks by the Web Locks API. */
class WebLocks {
  native = true;

  /** @param {string} name */
  tryAcquire(name) {
    return this.#request(name, { ifAvailable: true });
  }

  /**
   * @param {string} name
   * @param {AbortSignal} signal
   * @returns {Promise<Held>}
   */
  acquire(name, signal) {
    return /** @type {Promise<Held>} */ (this.#request(name, { signal }));
  }

  /**
   * @param {string} name
   * @returns {Promise<Held>}
   */
  steal(name) {
    return /** @type {Promise<Held>} */ (this.#request(name, { steal: true }));
  }

  /**
   * @param {string} name
   * @param {LockOptions} options
   * @returns {Promise<Held | null>}
   */
  #request(name, options) {
    return new Promise((resolve, reject) => {
      /** @type {() => void} */
      let release = () => {};
      const released = new Promise((done) => (release = () => done(undefined)));
      /** @type {() => void} */
      let lose = () => {};
      const lost = new Promise((done) => (lose = () => done(undefined)));
      const granted = (/** @type {Lock | null} */ lock) => {
        resolve(lock ? { release, lost } : null);
        return lock ? released : undefined;
      };
      navigator.locks.request(name, options, granted).catch((error) => {
        lose();
        reject(error);
      });
    });
  }
}

/** Locks by leases in IndexedDB, for browsers without Web Locks. */
class LeaseLocks {
  native = false;
  #owner = randomId();

  /** @param {IDBDatabase} db */
  constructor(db) {
    this.db = db;
  }

  /** @param {string} name */
  async tryAcquire(name) {
    return (await this.#take(name, false)) ? this.#hold(name) : null;
  }

  /**
   * @param {string} name
   * @param {AbortSignal} signal
   * @returns {Promise<Held>}
   */
  async acquire(name, signal) {
    for (;;) {
      signal.throwIfAborted();
      const held = await this.tryAcquire(name);
      if (held) return held;
      await new Promise((done) => setTimeout(done, 1_000));
    }
  }

  /**
   * @param {string} name
   * @returns {Promise<Held>}
   */
  async steal(name) {
    await this.#take(name, true);
    return this.#hold(name);
  }

  /**
   * @param {string} name
   * @param {boolean} force
   */
  #take(name, force) {
    const key = `lease/${name}`;
    return write(this.db, ["meta"], async (transaction) => {
      const meta = transaction.objectStore("meta");
      const lease = await result(meta.get(key));
      const free = !lease || lease.until < Date.now() || lease.owner === this.#owner;
      if (!free && !force) return false;
      meta.put({ key, owner: this.#owner, until: Date.now() + LEASE_MS });
      return true;
    });
  }

  /**
   * @param {string} name
   * @returns {Held}
   */
  #hold(name) {
    const key = `lease/${name}`;
    /** @type {() => void} */
    let lose = () => {};
    const lost = new Promise((done) => (lose = () => done(undefined)));
    const renew = async () => {
      const kept = await this.#take(name, false).catch(() => false);
      if (kept) return;
      clearInterval(timer);
      lose();
    };
    const timer = setInterval(renew, RENEW_MS);
    const release = () => {
      clearInterval(timer);
      write(this.db, ["meta"], async (transaction) => {
        const meta = transaction.objectStore("meta");
        const lease = await result(meta.get(key));
        if (lease?.owner === this.#owner) meta.delete(key);
      }).catch(() => {}); // The database is closing; the lease runs out by itself.
    };
    return { release, lost };
  }
}

/** For a browser with neither Web Locks nor storage: nothing is shared, so each tab holds what it asks for. */
class LonelyLocks {
  native = false;

  async tryAcquire() {
    return { release() {}, lost: new Promise(() => {}) };
  }

  acquire() {
    return this.tryAcquire();
  }

  steal() {
    return this.tryAcquire();
  }
}

/** A random name for this tab; it also works where `crypto.randomUUID` is missing (plain http). */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
