/**
 * The stored records of one chain, written by one tab for all tabs of the profile.
 *
 * The tab that holds the Web Lock `distli/chain/<chain id>` is the writer. Each new writer raises the chain's fencing epoch, and every
 * write checks in its own transaction that the epoch is still its own: a writer that was thought dead and wakes up can't overwrite.
 * The other tabs hand their changes over by BroadcastChannel and wait for the acknowledgement, which is sent only when the change
 * is durable. Who hears nothing for two seconds takes the lock by force. Handed-over changes may arrive twice; they are idempotent.
 *
 * Records whose key starts with `identity/` or `outbox/` belong to the identity slot, the rest is shared. Transactions still waiting
 * in another slot's outbox are given to this node as well: their tab may never come back, and nothing a user sent disappears.
 */

import { read, result, write } from "./database.js";
import { flatten } from "./errors.js";
import { randomId } from "./locks.js";

const ANSWER_MS = 2_000;
/** A writer that confirmed the receipt may take this long, e.g. while the disk is slow. */
const WRITING_MS = 10_000;
const RETRY_MS = 1_000;
/** More than this is not repeated to the other tabs; they get it from their peers. */
const SHARED_BYTES_MAX = 1 << 20;
const SLOTTED = /^(identity|outbox)\//;
const SEQUENCE_KEY = "identity/sequence";
const BLOCK = /^block\//;
const WAITING = /^slot\/\d+\/(outbox\/[0-9a-f]{64})$/;

/**
 * @typedef {{key: string, value: Uint8Array | null}} Change
 * @typedef {{key: string, value: Uint8Array}} StoredRecord
 * @typedef {{blocks: Uint8Array[], transactions: Uint8Array[]}} Shared
 * @typedef {{id: number, changes: Change[], resolve: () => void, reject: (error: Error) => void, timer: number}} Pending
 */

/** The epoch moved on: another tab is the writer now. */
class Fenced extends Error {}

export class ChainStore {
  #db;
  #locks;
  #chainId;
  #slot;
  #onShared;
  #tab = randomId();
  #channel;
  #closing = new AbortController();
  /** @type {{epoch: number, release: () => void} | null} */
  #reign = null;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #lastId = 0;
  #stealing = false;
  /** @type {Map<string, string>} outbox key → where another slot keeps it */
  #adopted = new Map();

  /**
   * @param {{db: IDBDatabase | null, locks: import("./locks.js").Locks, chainId: string, slot: number,
   *   onShared: (shared: Shared) => void}} parts
   */
  constructor({ db, locks, chainId, slot, onShared }) {
    this.#db = db;
    this.#locks = locks;
    this.#chainId = chainId;
    this.#slot = slot;
    this.#onShared = onShared;
    this.#channel = new BroadcastChannel(`distli/${chainId}`);
    this.#channel.onmessage = ({ data }) => this.#onMessage(data);
    if (db) this.#stand();
  }

  /** Whether this tab writes for all. */
  get writer() {
    return this.#reign !== null;
  }

  /**
   * Everything stored for this chain that is shared, belongs to this slot, or waits in an outbox.
   * @returns {Promise<StoredRecord[]>}
   */
  async load() {
    if (!this.#db) return [{ key: SEQUENCE_KEY, value: new Uint8Array(8) }];
    const all = IDBKeyRange.bound([this.#chainId], [this.#chainId, []]);
    /** @type {{key: string, value: Uint8Array}[]} */
    const rows = await read(this.#db, "records", (store) => store.getAll(all));
    const records = rows.flatMap(({ key, value }) => {
      const name = this.#nameOf(key);
      return name === null ? [] : [{ key: name, value }];
    });
    // The seed lives in this very database: a slot without a sequence has never signed here and need not wait for a sync to know.
    if (!records.some(({ key }) => key === SEQUENCE_KEY)) records.push({ key: SEQUENCE_KEY, value: new Uint8Array(8) });
    return records;
  }

  /**
   * What the node calls a stored row; null if it is none of its business.
   * @param {string} stored
   */
  #nameOf(stored) {
    if (!stored.startsWith("slot/")) return stored;
    const own = `slot/${this.#slot}/`;
    if (stored.startsWith(own)) return stored.slice(own.length);
    const waiting = WAITING.exec(stored)?.[1] ?? null;
    if (waiting) this.#adopted.set(waiting, stored);
    return waiting;
  }

  /**
   * Resolves when the changes are durable, whoever wrote them.
   * @param {Change[]} changes
   * @returns {Promise<void>}
   */
  write(changes) {
    if (!this.#db) return Promise.resolve();
    const placed = changes.flatMap((change) => this.#place(change));
    return new Promise((resolve, reject) => {
      const entry = { id: ++this.#lastId, changes: placed, resolve, reject, timer: 0 };
      this.#pending.set(entry.id, entry);
      this.#forward(entry);
    });
  }

  close() {
    this.#closing.abort();
    this.#reign?.release();
    this.#reign = null;
    for (const entry of this.#pending.values()) clearTimeout(entry.timer);
    this.#channel.close();
  }

  /**
   * Where a change goes; an adopted transaction is removed where it was found, too.
   * @param {Change} change
   * @returns {Change[]}
   */
  #place({ key, value }) {
    if (!SLOTTED.test(key)) return [{ key, value }];
    const own = { key: `slot/${this.#slot}/${key}`, value };
    const origin = this.#adopted.get(key);
    return origin && value === null ? [own, { key: origin, value }] : [own];
  }

  get #lockName() {
    return `distli/chain/${this.#chainId}`;
  }

  /** Waits in line for the writer's lock, for as long as the tab lives. */
  async #stand() {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#reignWith(await this.#locks.acquire(this.#lockName, signal));
      } catch {
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    }
  }

  /**
   * Writes for all until the lock is lost.
   * @param {import("./locks.js").Held} held
   */
  async #reignWith(held) {
    try {
      const epoch = await this.#raiseEpoch();
      if (this.#closing.signal.aborted) return;
      const reign = { epoch, release: held.release };
      this.#reign = reign;
      this.#post({ type: "writer", epoch });
      for (const entry of this.#pending.values()) this.#forward(entry);
      await held.lost;
      if (this.#reign === reign) this.#reign = null;
    } finally {
      held.release();
    }
  }

  /** @returns {Promise<number>} */
  #raiseEpoch() {
    const key = `epoch/${this.#chainId}`;
    return write(this.#database, ["meta"], async (transaction) => {
      const meta = transaction.objectStore("meta");
      const epoch = ((await result(meta.get(key)))?.epoch ?? 0) + 1;
      meta.put({ key, epoch });
      return epoch;
    });
  }

  get #database() {
    return /** @type {IDBDatabase} */ (this.#db);
  }

  /**
   * Writes an entry here, or hands it to the tab that writes.
   * @param {Pending} entry
   */
  #forward(entry) {
    clearTimeout(entry.timer);
    if (this.#reign) {
      this.#commit(entry.changes).then(
        (done) => (done ? this.#settle(entry.id) : this.#forward(entry)),
        (error) => this.#settle(entry.id, error),
      );
      return;
    }
    this.#post({ type: "write", id: entry.id, changes: entry.changes });
    this.#expectAnswer(entry, ANSWER_MS);
  }

  /**
   * @param {Pending} entry
   * @param {number} ms
   */
  #expectAnswer(entry, ms) {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#steal(), ms + Math.random() * 300);
  }

  /** Takes the lock of a writer that does not answer; the waiting changes follow by themselves. */
  async #steal() {
    if (this.#reign || this.#stealing || this.#closing.signal.aborted) return;
    this.#stealing = true;
    try {
      const held = await this.#locks.steal(this.#lockName);
      this.#reignWith(held).catch(() => this.#retryAll());
    } catch {
      this.#retryAll();
    } finally {
      this.#stealing = false;
    }
  }

  #retryAll() {
    for (const entry of this.#pending.values()) this.#expectAnswer(entry, RETRY_MS);
  }

  /**
   * Stores changes under this tab's epoch.
   * @param {Change[]} changes
   * @param {string} [origin] the tab they come from
   * @returns {Promise<boolean>} false when another tab has taken over meanwhile
   */
  async #commit(changes, origin = this.#tab) {
    const reign = this.#reign;
    if (!reign) return false;
    try {
      await write(this.#database, ["records", "meta"], async (transaction) => {
        const now = await result(transaction.objectStore("meta").get(`epoch/${this.#chainId}`));
        if (now?.epoch !== reign.epoch) throw new Fenced();
        const records = transaction.objectStore("records");
        for (const { key, value } of changes) {
          if (value === null) records.delete([this.#chainId, key]);
          else records.put({ chainId: this.#chainId, key, value });
        }
      });
    } catch (error) {
      if (!(error instanceof Fenced)) throw error;
      if (this.#reign === reign) this.#reign = null;
      reign.release();
      return false;
    }
    this.#share(changes, origin);
    return true;
  }

  /**
   * Tells the other tabs of new blocks and own transactions, so that they agree even without a mesh.
   * @param {Change[]} changes
   * @param {string} origin
   */
  #share(changes, origin) {
    const valuesOf = (/** @type {RegExp} */ keys) => changes.flatMap(({ key, value }) => (keys.test(key) && value ? [value] : []));
    const shared = { blocks: valuesOf(BLOCK), transactions: valuesOf(WAITING) };
    const all = [...shared.blocks, ...shared.transactions];
    const bytes = all.reduce((sum, value) => sum + value.length, 0);
    if (all.length === 0 || bytes > SHARED_BYTES_MAX) return;
    this.#post({ type: "shared", shared, origin });
    if (origin !== this.#tab) this.#onShared(shared);
  }

  /**
   * @param {number} id
   * @param {Error} [error]
   */
  #settle(id, error) {
    const entry = this.#pending.get(id);
    if (!entry) return;
    clearTimeout(entry.timer);
    this.#pending.delete(id);
    if (error) entry.reject(error);
    else entry.resolve();
  }

  /** @param {object} message */
  #post(message) {
    if (!this.#closing.signal.aborted) this.#channel.postMessage({ ...message, tab: this.#tab });
  }

  /** @param {any} message */
  #onMessage(message) {
    switch (message.type) {
      case "write":
        if (this.#reign) this.#writeFor(message);
        break;
      case "taken": {
        const entry = message.to === this.#tab && this.#pending.get(message.id);
        if (entry) this.#expectAnswer(entry, WRITING_MS);
        break;
      }
      case "done":
        if (message.to === this.#tab) this.#settle(message.id, message.failure && new Error(message.failure));
        break;
      case "writer":
        for (const entry of this.#pending.values()) this.#forward(entry);
        break;
      case "shared":
        if (message.origin !== this.#tab) this.#onShared(message.shared);
        break;
      default: // A newer version of this page in another tab: not for us.
    }
  }

  /** @param {{id: number, tab: string, changes: Change[]}} message */
  async #writeFor({ id, tab, changes }) {
    this.#post({ type: "taken", to: tab, id });
    try {
      if (await this.#commit(changes, tab)) this.#post({ type: "done", to: tab, id });
    } catch (error) {
      this.#post({ type: "done", to: tab, id, failure: flatten(error).reason });
    }
  }
}
