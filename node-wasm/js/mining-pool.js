/**
 * The mining workers of one node: shares a job's nonces out, reports the first solution found, sums the hash rate.
 */

import { defaultWorkers, nonceRanges, WORKERS_MAX } from "./mining-budget.js";

const RATE_WINDOW_MS = 1_000;

/**
 * @typedef {{id: number, header: Uint8Array, target: Uint8Array}} Job
 * @typedef {{
 *   found: (job: number, solution: {version: number, nonce: number}) => void,
 *   exhausted: (job: number) => void,
 *   failed: (reason: string) => void,
 * }} PoolHandlers
 */

export class MiningPool {
  #module;
  #handlers;
  /** @type {Worker[]} */
  #workers = [];
  #size = defaultWorkers(navigator.hardwareConcurrency);
  /** @type {Job | null} */
  #job = null;
  #exhausted = 0;
  /** @type {{at: number, hashes: number}[]} */
  #samples = [];
  #startedAt = 0;

  /**
   * @param {WebAssembly.Module} module compiled once, shared by all workers
   * @param {PoolHandlers} handlers
   */
  constructor(module, handlers) {
    this.#module = module;
    this.#handlers = handlers;
  }

  get size() {
    return this.#size;
  }

  get active() {
    return this.#job !== null;
  }

  /** Hashes per second over the last second; 0 while idle. */
  get hashesPerSecond() {
    if (!this.#job) return 0;
    const now = performance.now();
    this.#samples = this.#samples.filter(({ at }) => now - at < RATE_WINDOW_MS);
    const hashes = this.#samples.reduce((sum, sample) => sum + sample.hashes, 0);
    const span = Math.min(Math.max(now - this.#startedAt, 50), RATE_WINDOW_MS);
    return Math.round((hashes * 1_000) / span);
  }

  /** @param {number} workers */
  resize(workers) {
    const size = Math.min(WORKERS_MAX, Math.max(1, Math.floor(workers) || 1));
    if (size === this.#size) return;
    this.#size = size;
    for (const worker of this.#workers.splice(size)) worker.terminate();
    if (this.#job) this.start(this.#job);
  }

  /** Loads the workers ahead of the first job. */
  warm() {
    while (this.#workers.length < this.#size) this.#workers.push(this.#spawn());
  }

  /**
   * Works on this job only; an older one is dropped.
   * @param {Job} job
   */
  start(job) {
    if (!this.#job) {
      this.#samples = [];
      this.#startedAt = performance.now();
    }
    this.#job = job;
    this.#exhausted = 0;
    this.warm();
    const ranges = nonceRanges(this.#size);
    this.#workers.forEach((worker, index) => {
      worker.postMessage({ type: "job", job: job.id, header: job.header, target: job.target, ...ranges[index] });
    });
  }

  /** Stops working; the workers stay loaded for the next job. */
  stop() {
    this.#job = null;
    for (const worker of this.#workers) worker.postMessage({ type: "stop" });
  }

  close() {
    this.#job = null;
    for (const worker of this.#workers.splice(0)) worker.terminate();
  }

  #spawn() {
    const worker = new Worker(new URL("./mining-worker.js", import.meta.url), { type: "module", name: "distli-mining" });
    worker.onmessage = ({ data }) => this.#onMessage(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || "a mining worker could not be started");
    };
    worker.postMessage({ type: "load", module: this.#module });
    return worker;
  }

  /** @param {any} message */
  #onMessage(message) {
    if (message.type === "hashes") {
      this.#samples.push({ at: performance.now(), hashes: message.hashes });
      return;
    }
    if (message.type === "failed") this.#fail(message.reason);
    if (!this.#job || message.job !== this.#job.id) return;
    if (message.type === "found") {
      this.stop();
      this.#handlers.found(message.job, { version: message.version, nonce: message.nonce });
    } else if (message.type === "exhausted" && ++this.#exhausted === this.#size) {
      this.stop();
      this.#handlers.exhausted(message.job);
    }
  }

  /** @param {string} reason */
  #fail(reason) {
    this.close();
    this.#handlers.failed(reason);
  }
}
