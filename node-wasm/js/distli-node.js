/**
 * The public API of the browser node: one DistliNode is one peer of one network. Its types are in `distli-node.d.ts`.
 *
 *     import { DistliNode } from "./node/distli-node.js";
 *     const node = await DistliNode.join({ networkId: "lab" });
 *     node.addEventListener("block", ({ detail }) => console.log(detail.block));
 *     await node.submit("hello");
 *
 * The page side only carries messages: the node lives in a worker, the WebRTC connections and localStorage live here because workers
 * have neither. Every promise rejects with an Error whose message also says what to do (`reason` and `remedy` are there separately).
 */

import { Archive } from "./storage.js";
import { DistliError } from "./errors.js";
import { MiningPause } from "./mining-pause.js";
import { RtcLinks } from "./rtc.js";
import { isTracker } from "./tracker.js";
import { setWindowAside, storedWindow, WindowWriter } from "./window-writer.js";

const SLOT_KEY = "distli_slot";
const TRACKERS_KEY = "distli_trackers";
const BLOCKS_DEFAULT = 50;
/** Slots that other nodes of this very page hold. @type {Set<number>} */
const slotsHere = new Set();

export class DistliNode extends EventTarget {
  #worker;
  #rtc;
  #window;
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #calls = new Map();
  #lastCall = 0;
  /** @type {{when: string, workers?: number} | null} what was asked for last */
  #mining = null;
  #pause = new MiningPause(() => {
    if (this.#mining) this.#call("setMining", { ...this.#mining, paused: this.#pause.reason }).catch(() => {}); // Closed meanwhile.
  });
  #closed = false;
  #slot = -1;
  /** @type {{resolve: (node: DistliNode) => void, reject: (error: Error) => void}} */
  #starting;
  /** @type {{name: string, detail: any}[] | null} events of the start, kept until the page could add its listeners */
  #held = [];
  /** A page that goes for good hangs up, so that its peers need not wait for a time-out. @param {PageTransitionEvent} event */
  #onPageHide = ({ persisted }) => persisted || this.#rtc.close();
  networkId = "";
  chainId = "";

  /** @param {any} options */
  static create(options) {
    return open("create", options);
  }

  /** @param {any} options */
  static join(options) {
    return open("join", options);
  }

  /** The networks this profile has stored, newest first. */
  static async stored() {
    const archive = await Archive.open(() => {});
    try {
      const networks = await archive.networks();
      return networks.map(({ networkId, chainId, addedAt, height, networkKey, movedTo }) => ({
        networkId, chainId, addedAt, height: height ?? 0, access: networkKey ? "private" : "open", movedTo: movedTo ?? null,
      }));
    } finally {
      archive.close();
    }
  }

  /**
   * Use `create` or `join`.
   * @param {object} start
   * @param {{resolve: (node: DistliNode) => void, reject: (error: Error) => void}} starting
   */
  constructor(start, starting) {
    super();
    this.#starting = starting;
    this.#rtc = new RtcLinks((fact, transfer) => this.#worker.postMessage({ type: "fact", fact }, { transfer }));
    this.#window = new WindowWriter((notice) => this.#emit("storage", notice));
    this.#worker = new Worker(new URL("./node-worker.js", import.meta.url), { type: "module", name: "distli-node" });
    this.#worker.onmessage = ({ data }) => this.#onMessage(data);
    this.#worker.onerror = (event) => this.#onWorkerError(event);
    this.#worker.postMessage({ type: "start", options: start });
    addEventListener("pagehide", this.#onPageHide);
  }

  /** @param {string | {record: Uint8Array}} message */
  async submit(message) {
    if (typeof message === "string") return this.#call("submit", { kind: "message", text: message });
    if (message?.record instanceof Uint8Array) return this.#call("submit", { kind: "record", payload: message.record });
    throw new DistliError("Only a text or {record: Uint8Array} can be submitted.", "Pass one of the two.");
  }

  /** @param {{when?: "pending" | "always", workers?: number, pause?: {hidden?: boolean, battery?: boolean}}} [options] */
  async startMining({ when = "pending", workers, pause = {} } = {}) {
    await this.#pause.choose(pause);
    this.#mining = { when, workers };
    return this.#call("setMining", { when, workers, paused: this.#pause.reason });
  }

  stopMining() {
    this.#mining = null;
    return this.#call("setMining", { when: "off" });
  }

  status() {
    return this.#call("status");
  }

  /** @param {{from?: number, limit?: number}} [range] */
  blocks({ from, limit = BLOCKS_DEFAULT } = {}) {
    return this.#call("blocks", { from, limit });
  }

  pending() {
    return this.#call("pending");
  }

  conflicts() {
    return this.#call("conflicts");
  }

  /** @param {string} [page] */
  invite(page = location.href) {
    return this.#call("invite", { base: page.replace(/#.*/s, "") });
  }

  members() {
    return this.#call("members");
  }

  /** @param {{members: string[]}} chosen */
  moveNetwork({ members }) {
    return this.#call("moveNetwork", { members: [...members] });
  }

  /** @param {boolean} on */
  proveFinality(on) {
    return this.#call("proveFinality", { on: Boolean(on) });
  }

  /** @param {{from: number}} wish */
  resetFinality({ from }) {
    return this.#call("resetFinality", { from });
  }

  createInvitation() {
    return this.#call("createInvitation");
  }

  /** @param {string} text */
  acceptInvitation(text) {
    return this.#call("acceptInvitation", { text: String(text) });
  }

  /** @param {string} text */
  completeInvitation(text) {
    return this.#call("completeInvitation", { text: String(text) });
  }

  exportChain() {
    return this.#call("exportChain");
  }

  splitProof() {
    return this.#call("splitProof");
  }

  /** @param {string} text */
  importChain(text) {
    return this.#call("importChain", { text: String(text) });
  }

  async close() {
    if (this.#closed) return;
    try {
      await this.#call("close");
    } finally {
      this.#end();
    }
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @returns {Promise<any>}
   */
  #call(method, params = {}) {
    if (this.#closed) return Promise.reject(new DistliError("This node is closed.", "Join the network again.", "closed"));
    const id = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#worker.postMessage({ type: "call", id, method, params });
    });
  }

  /** @param {any} message */
  #onMessage(message) {
    switch (message.type) {
      case "started":
        this.#onStarted(message);
        break;
      case "failed":
        this.#starting.reject(unflattened(message.error));
        this.#end();
        break;
      case "reply":
        this.#onReply(message);
        break;
      case "event":
        this.#emit(message.name, message.detail);
        break;
      case "rtc":
        this.#rtc.perform(message.order);
        break;
      case "window":
        this.#window.offer(message);
        break;
      case "trackers":
        rememberTrackers(message.home, message.urls);
        break;
      case "set_aside":
        setWindowAside(message.networkId, message.chainId);
        break;
      case "read_local":
        this.#worker.postMessage({ type: "local", id: message.id, text: storedWindow(message.networkId, message.chainId) });
        break;
      default: // A newer worker: not for us.
    }
  }

  /** @param {{networkId: string, chainId: string, slot: number}} started */
  #onStarted({ networkId, chainId, slot }) {
    this.networkId = networkId;
    this.chainId = chainId;
    this.#slot = slot;
    rememberSlot(slot);
    this.#starting.resolve(this);
    setTimeout(() => {
      const held = this.#held ?? [];
      this.#held = null;
      for (const { name, detail } of held) this.#emit(name, detail);
    }, 0);
  }

  /** @param {{id: number, value?: any, error?: {reason: string, remedy: string, code?: string}}} reply */
  #onReply({ id, value, error }) {
    const waiting = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) waiting?.reject(unflattened(error));
    else waiting?.resolve(value);
  }

  /** @param {ErrorEvent} event */
  #onWorkerError(event) {
    event.preventDefault();
    const reason = event.message ? `The node's worker failed: ${event.message}` : "The node program could not be loaded.";
    const remedy = "Reload the page; if that does not help, use a current Chrome, Edge, Firefox or Safari.";
    this.#starting.reject(new DistliError(reason, remedy));
    this.#emit("error", { message: reason, remedy });
  }

  /**
   * @param {string} name
   * @param {any} detail
   */
  #emit(name, detail) {
    if (this.#held) this.#held.push({ name, detail });
    else this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #end() {
    this.#closed = true;
    this.#pause.close();
    removeEventListener("pagehide", this.#onPageHide);
    this.#window.close();
    this.#rtc.close();
    this.#worker.terminate();
    slotsHere.delete(this.#slot);
    for (const { reject } of this.#calls.values()) reject(new DistliError("This node was closed.", "Join the network again.", "closed"));
    this.#calls.clear();
  }
}

/**
 * @param {"create" | "join"} mode
 * @param {any} [options]
 * @returns {Promise<DistliNode>}
 */
async function open(mode, { tracker, keep, ...options } = {}) {
  const { networkId, chainId, invitation, invite, passphrase, access, listed, rules } = options;
  const trackerUrl = trackerUrlOf(tracker);
  askForPersistence();
  const wish = { networkId, chainId, invitation, invite, passphrase, access, listed, rules };
  const start = { mode, ...wish, recentBlocks: recentBlocksOf(keep), trackerUrl, otherTrackers: rememberedTrackers(trackerUrl), preferredSlot: rememberedSlot() };
  return new Promise((resolve, reject) => new DistliNode(start, { resolve, reject }));
}

/** @param {"archive" | {recentBlocks: number} | undefined} keep */
function recentBlocksOf(keep = "archive") {
  if (keep === "archive") return undefined;
  const blocks = keep?.recentBlocks;
  if (Number.isInteger(blocks) && blocks >= 64 && blocks < 2 ** 32) return blocks;
  throw new DistliError("That is not what a node can keep.", 'Give "archive" or {recentBlocks: n} with n of 64 or more.');
}

/** @param {{reason: string, remedy: string, code?: string}} error */
function unflattened({ reason, remedy, code }) {
  return new DistliError(reason, remedy, code);
}

/**
 * @param {string | null | undefined} tracker a ws: or wss: URL, null for none, undefined for the page's own origin
 */
function trackerUrlOf(tracker) {
  if (tracker === null) return null;
  try {
    const url = new URL(tracker ?? "/ws", location.href);
    url.protocol = url.protocol.replace(/^http/, "ws");
    if (/^wss?:$/.test(url.protocol)) return url.href;
  } catch {
    // Told below.
  }
  throw new DistliError("That is not the address of a tracker.", "Give a ws:// or wss:// URL, or null to work without one.");
}

/** Asks the browser not to evict the archive; some decide silently, some ask the user. */
function askForPersistence() {
  navigator.storage?.persist?.().catch(() => {}); // The status tells whether it was granted.
}

/**
 * The other trackers of the cluster of `home`, so that a page that is opened while `home` is away finds one of them.
 * @param {string} home
 * @param {string[]} urls
 */
function rememberTrackers(home, urls) {
  try {
    localStorage.setItem(TRACKERS_KEY, JSON.stringify({ home, urls }));
  } catch {
    // Without it they are known until the page is closed.
  }
}

/** @param {string | null} home */
function rememberedTrackers(home) {
  try {
    const kept = JSON.parse(localStorage.getItem(TRACKERS_KEY) ?? "null");
    if (kept?.home !== home || !Array.isArray(kept.urls)) return [];
    return kept.urls.filter((/** @type {unknown} */ url) => isTracker(url, location.protocol === "https:"));
  } catch {
    return [];
  }
}

/** @param {number} slot */
function rememberSlot(slot) {
  slotsHere.add(slot);
  try {
    sessionStorage.setItem(SLOT_KEY, String(slot));
  } catch {
    // Without it a reloaded tab merely takes the first free identity.
  }
}

/** The identity slot this tab had before a reload, unless another node of this page has it. */
function rememberedSlot() {
  try {
    const text = sessionStorage.getItem(SLOT_KEY);
    const slot = text === null ? null : Number(text);
    return slot !== null && Number.isSafeInteger(slot) && slot >= 0 && !slotsHere.has(slot) ? slot : null;
  } catch {
    return null;
  }
}
