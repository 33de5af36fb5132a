/**
 * One running node inside its worker: the Core, and around it the tracker socket, the mining workers and the archive.
 *
 * It carries out the Core's orders and turns its events into those of the page; what is true about the chain the Core alone says.
 */

import { CoreLoop } from "./core-loop.js";
import { DistliError, flatten } from "./errors.js";
import { MiningPool } from "./mining-pool.js";
import { Mover } from "./mover.js";
import { VerifyPool } from "./verify-pool.js";
import { createNetwork, findNetwork } from "./open-network.js";
import { Reporter } from "./reporter.js";
import { Archive } from "./storage.js";
import { TrackerLink } from "./tracker.js";
import { compare, readWindow, reconcile } from "./window.js";

/**
 * @typedef {(message: {type: string, [field: string]: any}, transfer?: Transferable[]) => void} Post
 * @typedef {{Core: any, MiningJob: any, createGenesis: Function, genesisInfo: Function,
 *   readInvitation: Function, readInvite: Function, writeInvite: Function, newPassphrase: Function, passphraseKey: Function,
 *   GenesisKnock: any, qrCode: Function, module: WebAssembly.Module}} LoadedWasm
 * @typedef {{mode: "create" | "join", networkId?: string, chainId?: string, invitation?: string, invite?: string,
 *   passphrase?: string, access?: string, listed?: boolean, rules?: object,
 *   recentBlocks?: number, trackerUrl: string | null, otherTrackers?: string[], preferredSlot: number | null}} StartOptions
 */

const SETTLE_MS = 2_000;
const PROOF_MS = 10_000;
const PAIRING_REMEDY = "Copy the whole text again, or begin with a new invitation.";

export class NodeSession {
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #asked = new Map();
  #lastRequest = 0;
  #damaged = false;
  /** @type {TrackerLink | null} */
  #tracker = null;
  /** @type {import("./chain-store.js").Shared[]} what other tabs stored before the own records were restored */
  #early = [];
  /** What was asked for, and why it rests meanwhile. @type {{when: string, paused: string | null}} */
  mining = { when: "off", paused: null };
  #restored = false;
  /** @type {BroadcastChannel | null} what the Core says to the other tabs of the profile */
  #local = null;
  #ownPeer = "";
  /** @type {string | null} */
  #trackerHttp = null;
  #onOnline = () => this.loop.handle({ type: "network_changed" });

  /**
   * Opens storage, finds the network, restores it and connects.
   * @param {LoadedWasm} wasm
   * @param {StartOptions} options
   * @param {{post: Post, windowOf: (networkId: string, chainId?: string) => Promise<string | null>}} page
   */
  static async open(wasm, options, page) {
    const notify = (/** @type {object} */ notice) => page.post({ type: "event", name: "storage", detail: notice });
    const archive = await Archive.open(notify);
    const identity = await archive.lockIdentity(options.preferredSlot);
    try {
      const trackerHttp = options.trackerUrl && httpOf(options.trackerUrl);
      const around = { archive, wasm, trackerHttp, trackerUrl: options.trackerUrl, windowOf: page.windowOf };
      const network =
        options.mode === "create" ? await createNetwork(around, /** @type {any} */ (options), identity.seed) : await findNetwork(around, options);
      const session = new NodeSession({ wasm, archive, identity, network, post: page.post, trackerUrl: options.trackerUrl, recentBlocks: options.recentBlocks });
      await session.#restore(await page.windowOf(network.networkId, network.chainId));
      session.#connect(options.trackerUrl, options.otherTrackers);
      session.#openLocal();
      return session;
    } catch (error) {
      identity.release();
      archive.close();
      throw error;
    }
  }

  /**
   * @param {{wasm: LoadedWasm, archive: Archive, identity: import("./storage.js").IdentitySlot,
   *   network: import("./open-network.js").OpenedNetwork, post: Post, trackerUrl: string | null,
   *   recentBlocks?: number}} parts
   */
  constructor({ wasm, archive, identity, network, post, trackerUrl, recentBlocks }) {
    this.wasm = wasm;
    this.network = network;
    this.identity = identity;
    this.post = post;
    this.archive = archive;
    this.#trackerHttp = trackerUrl && httpOf(trackerUrl);
    const { chainId, genesis, listed, networkKey } = network;
    const seed = crypto.getRandomValues(new Uint8Array(32));
    this.verifiers = new VerifyPool(wasm.module, genesis, (job, valid) => this.loop.handle({ type: "verified", job, valid }));
    const helpers = this.verifiers.size;
    this.core = new wasm.Core({ genesis, identitySeed: identity.seed, seed, listed, recentBlocks, helpers, networkKey });
    this.store = archive.openChain(chainId, identity.slot, (shared) => this.#onShared(shared));
    this.pool = new MiningPool(wasm.module, {
      found: (job, solution) => this.loop.handle({ type: "nonce_found", job, ...solution }),
      exhausted: (job) => this.loop.handle({ type: "job_exhausted", job }),
      failed: (reason) => this.#onMiningFailed(reason),
    });
    this.loop = new CoreLoop(this.core, {
      perform: (output) => this.#perform(output),
      persist: (changes) => this.store.write(changes),
      refused: (reason, source, request) => this.#onRefused(reason, source, request),
      storage: (notice) => this.event("storage", notice),
      broken: (reason) => this.#onBroken(reason),
      drained: () => {
        this.reporter.changed();
        this.mover.changed();
      },
    });
    this.mover = new Mover(this);
    this.reporter = new Reporter(this, trackerUrl);
  }

  /** Where the tracker is that this is connected to. */
  get trackerUrl() {
    return this.#tracker?.url ?? null;
  }

  get trackerState() {
    const state = this.#tracker?.state ?? "offline";
    if (state !== "connected") return state;
    return this.reporter.joined ? "connected" : "connecting";
  }

  /**
   * Sends an event to the page.
   * @param {string} name
   * @param {object} detail
   */
  event(name, detail) {
    this.post({ type: "event", name, detail });
  }

  /** Answers what the page asked; the names are those of DistliNode. */
  methods = {
    /** @param {{kind: string, text?: string, payload?: Uint8Array}} payload */
    submit: (payload) => this.#ask({ type: "submit", ...payload }),
    /** @param {{text: string}} file */
    importChain: ({ text }) => this.#ask({ type: "import", text }),
    /** @param {{when: string, workers?: number, paused?: string | null}} wish */
    setMining: async ({ when, workers, paused = null }) => {
      if (workers !== undefined) this.pool.resize(workers);
      if (when !== "off") this.pool.warm();
      this.mining = { when, paused };
      this.loop.handle({ type: "mining", when: paused ? "off" : when });
      await this.loop.settled();
      if (when === "off") this.pool.close();
    },
    status: async () => this.reporter.status(),
    /** @param {{from?: number, limit: number}} range */
    blocks: async ({ from, limit }) => this.#blocksDownFrom(from, limit),
    pending: async () => this.core.pending(),
    createInvitation: () => this.#ask({ type: "invite" }),
    /** @param {{text: string}} invitation */
    acceptInvitation: ({ text }) => this.#ask({ type: "invitation_taken", text }),
    /** @param {{text: string}} answer */
    completeInvitation: ({ text }) => this.#ask({ type: "answer_taken", text }),
    /** @param {{base: string}} page the address of the page, without what is behind # */
    invite: async ({ base }) => this.#invite(base),
    members: async () => this.core.members(),
    /** @param {{members: string[]}} chosen */
    moveNetwork: ({ members }) => this.mover.move(members),
    /** @param {{on: boolean}} wish */
    proveFinality: ({ on }) => this.#proveFinality(on),
    /** @param {{from: number}} wish the lowest height that is void afterwards */
    resetFinality: ({ from }) => this.#ask({ type: "reset", from }),
    conflicts: async () => this.core.conflicts(),
    exportChain: async () => {
      const from = Number(this.core.status().bodiesFrom);
      if (from > 1) throw new DistliError(`This browser has no blocks below height ${from}, so a file of it would prove nothing.`, "Export from one that keeps all.");
      const now = Date.now();
      return { filename: `blockchain_${this.network.networkId}_${now}.json`, text: this.core.exportChain(now) };
    },
    splitProof: async () => {
      const text = this.core.splitProof();
      if (text === undefined) throw new DistliError("No contradiction of the validators was seen here.", "There is nothing to hand on.");
      return { filename: `split_${this.network.networkId}_${this.core.status().split.enterpriseHeight}.json`, text };
    },
    close: () => this.#close(),
  };

  /**
   * Gives the Core what storage has, and compares it with the window.
   * @param {string | null} windowText
   */
  async #restore(windowText) {
    const { chainId, genesis, expectedHeight } = this.network;
    const records = await this.store.load();
    this.loop.handle({ type: "restored", records });
    if (this.network.proving) this.loop.handle({ type: "reporting", on: true });
    const window = readWindow(windowText, chainId);
    const height = Number(this.core.status().height);
    const states = compare({ damaged: this.#damaged, height, expected: expectedHeight }, window);
    const notice = reconcile(states);
    if (notice) this.event("storage", notice);
    if (window.state === "foreign") this.post({ type: "set_aside", networkId: this.network.networkId, chainId: window.chainId });
    if (states.archive !== "ok" && states.window === "ok") this.#refill(window, hexOf(genesis));
    this.#restored = true;
    for (const shared of this.#early.splice(0)) this.#onShared(shared);
    await Promise.race([this.loop.settled(), new Promise((done) => setTimeout(done, SETTLE_MS))]);
    this.reporter.start(Number(this.core.status().height));
  }

  /**
   * Offers the window's blocks to the Core, which checks them like any import.
   * @param {import("./window.js").ReadWindow} window
   * @param {string} genesis
   */
  #refill({ blocks }, genesis) {
    const { networkId, chainId } = this.network;
    const text = JSON.stringify({ chain: blocks, pending: [], network_id: networkId, chain_id: chainId, genesis, export_metadata: { export_version: "2.0" } });
    this.#ask({ type: "import", text }).catch(() => {}); // A window that starts in mid-chain does not connect; peers have the rest.
  }

  /**
   * The owner's choice whether blocks of a private network are reported, so that they can be proved final. It is kept before it counts.
   * @param {boolean} on
   */
  async #proveFinality(on) {
    if (!this.network.networkKey || !this.core.status().reporter) {
      throw new DistliError("Only the owner of a private network chooses that.", "Choose it in the tab that made the network.", "not_owner");
    }
    await this.archive.noteProving(this.network.chainId, on);
    this.loop.handle({ type: "reporting", on });
    await this.loop.settled();
  }

  /**
   * The link that lets somebody in.
   * @param {string} base
   */
  #invite(base) {
    const { networkId, chainId, genesis, networkKey, passphrase = null } = this.network;
    const hash = networkKey ? `#/p/${this.wasm.writeInvite(networkKey, genesis)}` : `#/n/${networkId}@${chainId}`;
    const link = base + hash;
    return { link, qr: this.wasm.qrCode(link) ?? null, passphrase };
  }

  /**
   * @param {string | null} url
   * @param {string[] | undefined} others
   */
  #connect(url, others) {
    if (!url) return;
    const handlers = {
      open: () => this.loop.handle({ type: "tracker_open", host: new URL(this.#tracker?.url ?? url).host }),
      message: (/** @type {string} */ text) => this.loop.handle({ type: "tracker_message", text }),
      closed: (/** @type {boolean} */ wasOpen) => {
        this.reporter.joined = false;
        if (wasOpen) this.loop.handle({ type: "tracker_closed" });
        else this.reporter.changed();
      },
      others: (/** @type {string[]} */ urls) => this.post({ type: "trackers", home: url, urls }),
    };
    this.#tracker = new TrackerLink(url, handlers, others);
  }

  /** Links this tab with the others of the profile, so that it needs no tracker to join what they are in. */
  #openLocal() {
    addEventListener("online", this.#onOnline);
    if (!globalThis.BroadcastChannel) return;
    const own = this.core.status().peerId;
    this.#local = new BroadcastChannel(`distli-mesh/${this.network.chainId}`);
    this.#local.onmessage = ({ data: { from, to, bytes } }) => {
      if (to === null || to === own) this.loop.handle({ type: "local_message", from, bytes });
    };
    this.#ownPeer = own;
    this.loop.handle({ type: "local_open" });
  }

  /**
   * @param {{type: string, [field: string]: any}} input
   * @returns {Promise<any>}
   */
  #ask(input) {
    const request = ++this.#lastRequest;
    return new Promise((resolve, reject) => {
      this.#asked.set(request, { resolve, reject });
      this.loop.handle({ ...input, request });
    });
  }

  /**
   * @param {number} request
   * @param {(asked: {resolve: (value: any) => void, reject: (error: Error) => void}) => void} answer
   */
  #answer(request, answer) {
    const asked = this.#asked.get(request);
    this.#asked.delete(request);
    if (asked) answer(asked);
  }

  /**
   * Blocks of the main chain, newest first.
   * @param {number | undefined} from the highest wanted; the tip if left out
   * @param {number} limit
   */
  #blocksDownFrom(from, limit) {
    const tip = Number(this.core.status().height);
    const high = Math.min(from ?? tip, tip);
    const low = Math.max(1, high - limit + 1);
    return high < low ? [] : this.core.blocks(low, high - low + 1).reverse();
  }

  /** @param {import("./core-loop.js").Output} output */
  #perform(output) {
    switch (output.type) {
      case "tracker_send":
        this.#tracker?.send(output.text);
        break;
      case "tracker_close":
        this.#tracker?.restart();
        break;
      case "ask_proof":
        this.#askProof(output.size, output.known);
        break;
      case "rtc_send":
        this.post({ type: "rtc", order: output }, [output.bytes.buffer]);
        break;
      case "rtc_create":
      case "rtc_remote":
      case "rtc_add_candidate":
      case "rtc_close":
        this.post({ type: "rtc", order: output });
        break;
      case "local_send":
        this.#local?.postMessage({ from: this.#ownPeer, to: output.to, bytes: output.bytes });
        break;
      case "mine":
        this.pool.start({ id: output.job, header: output.header, target: output.target });
        break;
      case "stop_mining":
        this.pool.stop();
        break;
      case "verify":
        this.verifiers.verify(output.job, output.blocks);
        break;
      case "event":
        this.#onEvent(output.event);
        break;
      default: // An order of a newer Core.
    }
  }

  /**
   * Fetches a proof of finality through the tracker; the Core verifies it.
   * @param {bigint | number} size
   * @param {string} [known] the newest header verified, as `height:hash`, if it is to be compared
   */
  async #askProof(size, known) {
    try {
      if (!this.#trackerHttp) throw new DistliError("There is no tracker.", "");
      const url = `${this.#trackerHttp}/api/networks/${this.network.chainId}/finality?size=${size}${known ? `&known=${known}` : ""}`;
      const response = await fetch(url, { signal: AbortSignal.timeout(PROOF_MS), cache: "no-store" });
      if (!response.ok) throw new DistliError(`The tracker answered ${response.status}.`, "");
      this.loop.handle({ type: "proof_received", bytes: new Uint8Array(await response.arrayBuffer()) });
    } catch {
      this.loop.handle({ type: "proof_failed" }); // Nothing is final yet, or nobody answers: the Core asks again later.
    }
  }

  /** @param {any} event */
  #onEvent(event) {
    switch (event.kind) {
      case "submitted":
        this.#answer(event.request, ({ resolve }) => resolve({ id: event.id, sequence: Number(event.sequence) }));
        break;
      case "submit_refused":
        this.#answer(event.request, ({ reject }) => reject(new DistliError(event.reason, "Change the message and send it again.")));
        break;
      case "imported":
        this.#answer(event.request, ({ resolve }) => resolve({ accepted: event.accepted, alreadyKnown: event.alreadyKnown }));
        break;
      case "import_refused":
        this.#answer(event.request, ({ reject }) => reject(new DistliError(event.reason, "Nothing was taken over: use an unchanged export of this network.")));
        break;
      case "reset_taken":
        this.#answer(event.request, ({ resolve }) => resolve({ number: event.number }));
        break;
      case "reset_refused":
        this.#answer(event.request, ({ reject }) => reject(new DistliError(event.reason, "Nothing was reset by this browser; check the height and try again.", "reset_refused")));
        break;
      case "pairing_text": {
        const { text } = event;
        const value = { text, expiresAt: Number(event.expiresAt), qr: this.wasm.qrCode(text) ?? null };
        this.#answer(event.request, ({ resolve }) => resolve(value));
        break;
      }
      case "paired":
        this.#answer(event.request, ({ resolve }) => resolve({ peer: event.peer }));
        break;
      case "pairing_refused":
        this.#answer(event.request, ({ reject }) => reject(new DistliError(event.reason, PAIRING_REMEDY, "bad_invitation")));
        break;
      case "storage_damaged":
        this.#damaged = true;
        break;
      default:
        this.reporter.onEvent(event);
    }
  }

  /**
   * @param {string} reason
   * @param {string} source
   * @param {number} [request]
   */
  #onRefused(reason, source, request) {
    if (request === undefined) {
      this.event("refused", { reason, source });
      return;
    }
    this.#answer(request, ({ reject }) => reject(new DistliError(reason, "Change it and try again.")));
  }

  /** @param {import("./chain-store.js").Shared} shared */
  #onShared(shared) {
    if (!this.#restored) {
      this.#early.push(shared);
      return;
    }
    for (const bytes of shared.blocks) this.loop.handle({ type: "block_offered", bytes });
    for (const bytes of shared.transactions) this.loop.handle({ type: "transaction_offered", bytes });
  }

  /** @param {string} reason */
  #onMiningFailed(reason) {
    this.mining = { when: "off", paused: null };
    this.loop.handle({ type: "mining", when: "off" });
    this.event("error", { message: `Mining stopped: ${flatten(reason).reason}`, remedy: "Reload the page and switch mining on again." });
  }

  /** @param {string} reason */
  #onBroken(reason) {
    this.pool.close();
    this.verifiers.close();
    this.#closeLocal();
    this.#tracker?.close();
    const error = new DistliError(`The node stopped on an internal error: ${reason}`, "Reload the page; the stored chain is safe.");
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
    this.event("error", { message: error.reason, remedy: error.remedy });
  }

  #closeLocal() {
    removeEventListener("online", this.#onOnline);
    this.#local?.close();
    this.#local = null;
  }

  /** Lets go of everything another tab may want. */
  async #close() {
    this.pool.close();
    this.verifiers.close();
    this.#closeLocal();
    this.#tracker?.close();
    await Promise.race([this.loop.settled(), new Promise((done) => setTimeout(done, SETTLE_MS))]);
    this.mover.stop();
    this.loop.stop();
    await this.reporter.stop();
    this.store.close();
    this.identity.release();
    this.archive.close();
  }
}

/**
 * The tracker's HTTP origin, from the address of its WebSocket.
 * @param {string} ws
 */
function httpOf(ws) {
  return new URL(ws).origin.replace(/^ws/, "http");
}

/** @param {Uint8Array} bytes */
function hexOf(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
