/**
 * The WebRTC connections of a page. They live here because workers have none; every decision about them comes from the Core.
 *
 * One RTCPeerConnection with one ordered, reliable data channel "distli" per link. Steps of a link run one after another, so a
 * candidate never overtakes the description it belongs to. What waits goes in lanes, blocks before transactions before history; a link for
 * which more than 16 MiB wait is closed, and the Core chooses another way.
 */

import { Lanes } from "./lanes.js";

const LABEL = "distli";
const QUEUED_MAX = 16 << 20;
/** An interruption may heal by itself for this long. */
const DISCONNECTED_MS = 8_000;
/** How often a waiting guest tries the host's addresses again, so that its own router lets the host in. */
const KNOCK_MS = 10_000;
/** A description that has to carry its candidates waits for them so long at most. */
const GATHER_MS = 4_000;
/** Connections of a tab over all its networks; as `CONNECTIONS_PER_TAB_MAX` of the mesh. */
const CONNECTIONS_MAX = 48;
/** Connections of this page, of all its nodes. */
let connections = 0;

/**
 * @typedef {{
 *   pc: RTCPeerConnection,
 *   channel: RTCDataChannel | null,
 *   steps: Promise<void>,
 *   waiting: Lanes,
 *   timer: number,
 *   complete: boolean,
 *   opened: boolean,
 * }} Link
 * @typedef {{type: string, link: number, [field: string]: any}} Fact
 */

export class RtcLinks {
  /** @type {Map<number, Link>} */
  #links = new Map();
  #tell;

  /** @param {(fact: Fact, transfer?: Transferable[]) => void} tell passes a fact on to the Core */
  constructor(tell) {
    this.#tell = tell;
  }

  /**
   * Carries out one order of the Core.
   * @param {{type: string, link: number, [field: string]: any}} order
   */
  perform(order) {
    if (order.type === "rtc_create") {
      this.#create(order);
      return;
    }
    const link = this.#links.get(order.link);
    if (!link) return; // Already gone; the Core has been or is being told.
    switch (order.type) {
      case "rtc_remote":
        this.#step(order.link, link, () => this.#setRemote(order.link, link, order));
        break;
      case "rtc_add_candidate":
        this.#step(order.link, link, () => addCandidate(link.pc, order.candidate));
        break;
      case "rtc_send":
        this.#send(order.link, link, order);
        break;
      case "rtc_close":
        this.#drop(order.link, link);
        break;
      default: // An order of a newer Core.
    }
  }

  /** Closes every connection without telling the Core. */
  close() {
    for (const [id, link] of this.#links) this.#drop(id, link);
  }

  /** @param {any} order */
  #create({ link: id, initiator, complete, iceServers }) {
    let pc;
    try {
      if (connections >= CONNECTIONS_MAX) throw new Error(`this tab has ${CONNECTIONS_MAX} connections already`);
      pc = new RTCPeerConnection({ iceServers: iceServers ?? [] });
    } catch (error) {
      this.#tell({ type: "rtc_closed", link: id, reason: `the browser gave no connection: ${error}` });
      return;
    }
    /** @type {Link} */
    const link = { pc, channel: null, steps: Promise.resolve(), waiting: new Lanes(), timer: 0, complete: complete === true, opened: false };
    this.#links.set(id, link);
    connections += 1;
    pc.onicecandidate = ({ candidate }) =>
      link.complete || this.#tellOf(id, link, { type: "rtc_candidate", candidate: candidate ? JSON.stringify(candidate.toJSON()) : "" });
    pc.onconnectionstatechange = () => this.#onState(id, link);
    pc.ondatachannel = ({ channel }) => channel.label === LABEL && this.#adopt(id, link, channel);
    if (!initiator) return;
    this.#adopt(id, link, pc.createDataChannel(LABEL, { ordered: true }));
    this.#step(id, link, async () => {
      await this.#describe(id, link, "offer");
    });
  }

  /**
   * @param {number} id
   * @param {Link} link
   * @param {any} order
   */
  async #setRemote(id, link, { kind, sdp }) {
    await link.pc.setRemoteDescription({ type: kind, sdp });
    if (link.complete && kind === "offer") knock(link, sdp);
    if (kind === "offer") await this.#describe(id, link, "answer");
  }

  /**
   * Makes the own description; for a pairing with every candidate in it, because nothing can be sent after it.
   * @param {number} id
   * @param {Link} link
   * @param {"offer" | "answer"} kind
   */
  async #describe(id, link, kind) {
    const { pc } = link;
    await pc.setLocalDescription(kind === "offer" ? await pc.createOffer() : await pc.createAnswer());
    if (link.complete) await gathered(pc);
    this.#tellOf(id, link, { type: "rtc_local", kind, sdp: pc.localDescription?.sdp });
  }

  /**
   * @param {number} id
   * @param {Link} link
   * @param {RTCDataChannel} channel
   */
  #adopt(id, link, channel) {
    link.channel = channel;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = 0;
    channel.onbufferedamountlow = () => this.#flush(id, link);
    channel.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return;
      this.#tellOf(id, link, { type: "rtc_data", bytes: new Uint8Array(data) }, [data]);
    };
    channel.onclose = () => this.#lose(id, link, "the data channel closed");
    const opened = () => {
      link.opened = true;
      if (link.complete) clearTimeout(link.timer);
      this.#tellOf(id, link, { type: "rtc_open" });
    };
    if (channel.readyState === "open") opened();
    else channel.onopen = opened;
  }

  /**
   * @param {number} id
   * @param {Link} link
   */
  #onState(id, link) {
    const state = link.pc.connectionState;
    // A guest waits until the host has the answer, however often its own attempts fail meanwhile; the Core ends it in time.
    if (link.complete && !link.opened && state !== "closed") return;
    clearTimeout(link.timer);
    if (state === "failed" || state === "closed") this.#lose(id, link, `the connection ${state}`);
    if (state !== "disconnected") return;
    this.#tellOf(id, link, { type: "rtc_interrupted" });
    link.timer = setTimeout(() => this.#lose(id, link, "the connection stayed interrupted"), DISCONNECTED_MS);
  }

  /**
   * Runs a step after the earlier ones of the same link; a failing step ends the link.
   * @param {number} id
   * @param {Link} link
   * @param {() => Promise<void>} step
   */
  #step(id, link, step) {
    link.steps = link.steps.then(async () => {
      if (this.#links.get(id) !== link) return;
      try {
        await step();
      } catch (error) {
        this.#lose(id, link, String(error));
      }
    });
  }

  /**
   * @param {number} id
   * @param {Link} link
   * @param {any} order
   */
  #send(id, link, { bytes, lane }) {
    link.waiting.push(bytes, lane);
    this.#flush(id, link);
    if (link.waiting.bytes > QUEUED_MAX) this.#lose(id, link, "the peer takes data too slowly");
  }

  /**
   * @param {number} id
   * @param {Link} link
   */
  #flush(id, link) {
    const { channel, waiting } = link;
    if (channel?.readyState !== "open") return;
    try {
      for (let next = waiting.next(channel.bufferedAmount); next; next = waiting.next(channel.bufferedAmount)) {
        channel.send(/** @type {Uint8Array<ArrayBuffer>} */ (next));
      }
    } catch (error) {
      this.#lose(id, link, String(error));
    }
  }

  /**
   * Ends a link and tells the Core why.
   * @param {number} id
   * @param {Link} link
   * @param {string} reason
   */
  #lose(id, link, reason) {
    if (this.#links.get(id) !== link) return;
    this.#drop(id, link);
    this.#tell({ type: "rtc_closed", link: id, reason });
  }

  /**
   * @param {number} id
   * @param {Link} link
   */
  #drop(id, link) {
    if (this.#links.delete(id)) connections -= 1;
    clearTimeout(link.timer);
    const { pc, channel } = link;
    pc.onicecandidate = pc.onconnectionstatechange = pc.ondatachannel = null;
    if (channel) channel.onopen = channel.onclose = channel.onmessage = channel.onbufferedamountlow = null;
    pc.close();
  }

  /**
   * @param {number} id
   * @param {Link} link
   * @param {{type: string, [field: string]: any}} fact
   * @param {Transferable[]} [transfer]
   */
  #tellOf(id, link, fact, transfer) {
    if (this.#links.get(id) === link) this.#tell({ ...fact, link: id }, transfer);
  }
}

/**
 * Tries the candidates of a description again and again until the channel opens or the link is dropped.
 * @param {Link} link
 * @param {string} sdp
 */
function knock(link, sdp) {
  const candidates = sdp.split("\r\n").filter((line) => line.startsWith("a=candidate:"));
  const again = () => {
    if (link.opened || link.pc.signalingState === "closed") return;
    for (const line of candidates) link.pc.addIceCandidate({ candidate: line.slice(2), sdpMid: "0" }).catch(() => {}); // The next knock may do.
    link.timer = setTimeout(again, KNOCK_MS);
  };
  link.timer = setTimeout(again, KNOCK_MS);
}

/**
 * Resolves when all candidates are known, or those of the first seconds.
 * @param {RTCPeerConnection} pc
 * @returns {Promise<void>}
 */
function gathered(pc) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      pc.onicegatheringstatechange = null;
      resolve();
    };
    const timer = setTimeout(done, GATHER_MS);
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
    if (pc.iceGatheringState === "complete") done();
  });
}

/**
 * @param {RTCPeerConnection} pc
 * @param {string} candidate JSON, or "" for the end
 */
async function addCandidate(pc, candidate) {
  await pc.addIceCandidate(candidate ? JSON.parse(candidate) : undefined);
}
