/**
 * The verification workers of one node: started with the first job, given the jobs in turn, ended after a while without one.
 */

const HELPERS_MAX = 3;
const IDLE_MS = 30_000;

/**
 * How many workers verify beside the node's own.
 * @param {number | undefined} cores as the browser tells
 */
export function helpersFor(cores) {
  return Math.min(HELPERS_MAX, Math.max(0, Math.floor(cores || 1) - 1));
}

export class VerifyPool {
  /** As many as the Core is told that there are. */
  size = helpersFor(navigator.hardwareConcurrency);
  #module;
  #genesis;
  #verified;
  /** @type {Worker[]} */
  #workers = [];
  #next = 0;
  /** @type {Set<number>} */
  #open = new Set();
  #timer = 0;

  /**
   * @param {WebAssembly.Module} module compiled once, shared by all workers
   * @param {Uint8Array} genesis
   * @param {(job: number, valid: boolean[]) => void} verified `valid` is empty if the workers failed: the Core then verifies alone
   */
  constructor(module, genesis, verified) {
    this.#module = module;
    this.#genesis = genesis;
    this.#verified = verified;
  }

  /**
   * @param {number} job
   * @param {Uint8Array[]} blocks
   */
  verify(job, blocks) {
    clearTimeout(this.#timer);
    while (this.#workers.length < this.size) this.#workers.push(this.#spawn());
    this.#open.add(job);
    const worker = this.#workers[this.#next++ % this.size];
    worker.postMessage({ type: "verify", job, blocks }, blocks.map(({ buffer }) => buffer));
  }

  close() {
    clearTimeout(this.#timer);
    for (const worker of this.#workers.splice(0)) worker.terminate();
  }

  #spawn() {
    const worker = new Worker(new URL("./verify-worker.js", import.meta.url), { type: "module", name: "distli-verify" });
    worker.onmessage = ({ data }) => (data.type === "verified" ? this.#onVerified(data) : this.#fail());
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail();
    };
    worker.postMessage({ type: "load", module: this.#module, genesis: this.#genesis });
    return worker;
  }

  /** @param {{job: number, valid: boolean[]}} answer */
  #onVerified({ job, valid }) {
    if (!this.#open.delete(job)) return;
    if (this.#open.size === 0) this.#timer = setTimeout(() => this.close(), IDLE_MS);
    this.#verified(job, valid);
  }

  #fail() {
    this.close();
    const open = [...this.#open];
    this.#open.clear();
    for (const job of open) this.#verified(job, []);
  }
}
