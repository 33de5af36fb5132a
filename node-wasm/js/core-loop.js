/**
 * Drives the Core: every fact goes in by `handle`, and the ordered outputs are carried out one after another.
 *
 * The write-ahead rule is kept here: nothing that was queued after a `persist` is carried out before that persist is durable. Persists
 * of one batch are written together, ahead of the orders between them (earlier than asked is always allowed). While storage refuses,
 * the loop waits and tries again, and says so; facts still go in meanwhile.
 */

import { flatten, STORAGE_REMEDY } from "./errors.js";

const RETRY_MS = 5_000;
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/**
 * @typedef {{type: string, [field: string]: any}} Output
 * @typedef {{handle: (now: number, input: object) => void, poll: () => Output | undefined, pollFree: () => Output | undefined}} Machine
 * @typedef {{
 *   perform: (output: Output) => void,
 *   persist: (changes: import("./chain-store.js").Change[]) => Promise<void>,
 *   refused: (reason: string, source: string, request?: number) => void,
 *   storage: (notice: import("./storage.js").StorageNotice) => void,
 *   broken: (reason: string) => void,
 *   drained: () => void,
 * }} Drivers
 */

export class CoreLoop {
  #machine;
  #drivers;
  #draining = false;
  #stopped = false;
  /** @type {(() => void)[]} */
  #idle = [];
  #wakeAt = Infinity;
  #timer = 0;

  /**
   * @param {Machine} machine
   * @param {Drivers} drivers
   */
  constructor(machine, drivers) {
    this.#machine = machine;
    this.#drivers = drivers;
  }

  /**
   * Tells the Core a fact. What it refuses is reported, never thrown.
   * @param {{type: string, [field: string]: any}} input
   */
  handle(input) {
    if (this.#stopped) return;
    try {
      this.#machine.handle(Date.now(), input);
    } catch (error) {
      this.#onRefusal(error, input.type, input.request);
    }
    if (this.#draining) this.#performFree();
    this.#drain();
  }

  /** While a write lasts, orders that need not wait for it are carried out all the same. */
  #performFree() {
    for (const output of this.#pollAll(() => this.#machine.pollFree())) this.#perform(output);
  }

  /** Resolves when everything asked so far has been carried out. */
  settled() {
    if (!this.#draining) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(() => resolve(undefined)));
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /**
   * @param {unknown} error
   * @param {string} source
   * @param {number} [request]
   */
  #onRefusal(error, source, request) {
    const { reason } = flatten(error);
    if (error instanceof WebAssembly.RuntimeError) {
      this.stop();
      this.#drivers.broken(reason);
      return;
    }
    this.#drivers.refused(reason, source, request);
  }

  async #drain() {
    if (this.#draining) return;
    this.#draining = true;
    for (let batch = this.#pollAll(); batch.length > 0; batch = this.#pollAll()) {
      const first = batch.findIndex(({ type }) => type === "persist");
      const free = first === -1 ? batch.length : first;
      for (const output of batch.slice(0, free)) this.#perform(output);
      if (first === -1) continue;
      await this.#persist(mergedChanges(batch));
      for (const output of batch.slice(first)) this.#perform(output);
    }
    this.#draining = false;
    this.#drivers.drained();
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /**
   * @param {() => Output | undefined} [poll]
   * @returns {Output[]}
   */
  #pollAll(poll = () => this.#machine.poll()) {
    /** @type {Output[]} */
    const batch = [];
    if (this.#stopped) return batch;
    try {
      for (let output = poll(); output; output = poll()) batch.push(output);
    } catch (error) {
      this.#onRefusal(error, "poll");
    }
    return batch;
  }

  /** @param {Output} output */
  #perform(output) {
    if (output.type === "persist" || this.#stopped) return;
    if (output.type === "wake_at") {
      this.#wake(Number(output.at));
      return;
    }
    try {
      this.#drivers.perform(output);
    } catch (error) {
      this.#drivers.refused(flatten(error).reason, output.type);
    }
  }

  /** @param {import("./chain-store.js").Change[]} changes */
  async #persist(changes) {
    for (let tries = 0; !this.#stopped; tries++) {
      try {
        await this.#drivers.persist(changes);
        if (tries > 0) this.#drivers.storage({ level: "info", message: "Saving works again.", remedy: "" });
        return;
      } catch (error) {
        const { reason } = flatten(error);
        const message = `The browser could not save, so the node waits: ${reason}`;
        if (tries === 0) this.#drivers.storage({ level: "error", message, remedy: STORAGE_REMEDY });
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    }
  }

  /**
   * Keeps the earliest wake-up asked for; one too many does no harm.
   * @param {number} at
   */
  #wake(at) {
    if (at >= this.#wakeAt) return;
    this.#wakeAt = at;
    clearTimeout(this.#timer);
    const delay = Math.min(Math.max(at - Date.now(), 0), TIMEOUT_MAX_MS);
    this.#timer = setTimeout(() => {
      this.#wakeAt = Infinity;
      this.handle({ type: "woken" });
    }, delay);
  }
}

/**
 * All changes of a batch, the last one of each key.
 * @param {Output[]} batch
 * @returns {import("./chain-store.js").Change[]}
 */
function mergedChanges(batch) {
  const changes = new Map();
  for (const { type, records } of batch) {
    if (type !== "persist") continue;
    for (const { key, value } of records) changes.set(key, value ?? null);
  }
  return Array.from(changes, ([key, value]) => ({ key, value }));
}
