/**
 * The WebSocket to a tracker: keeps trying, from half a second up to ten, and at once when the machine comes back online.
 *
 * A tracker of a cluster tells of the others: when it is lost or asks to move, the next of them is tried, and the pauses grow only
 * when all were tried in vain: none spoke and stayed for a while. A tracker that says nothing for a while is asked for a word, and given up without one: a machine that
 * stands still, or a cut cable, closes no socket. It carries text frames and knows nothing of what is in them, but for these messages.
 */

const BACK_OFF_FIRST_MS = 500;
const BACK_OFF_MAX_MS = 10_000;
/** Who ends a connection sooner gets longer pauses: it may have no room for what is sent. */
const STEADY_MS = 5_000;
const CONNECT_MS = 10_000;
const SILENCE_MS = 15_000;
const ANSWER_MS = 5_000;
const PING = '{"type":"ping"}';
const MOVE_MAX_MS = 60_000;
const OTHERS_MAX = 16;
const URL_CHARS_MAX = 256;

export class TrackerLink {
  #home;
  /** @type {string[]} */
  #others;
  #url;
  /** How many were tried in a row in vain. */
  #tried = 0;
  #heard = false;
  #steady = false;
  #steadying = 0;
  #silent = false;
  #watching = 0;
  #handlers;
  /** @type {WebSocket | null} */
  #socket = null;
  #open = false;
  #backOff = BACK_OFF_FIRST_MS;
  #retry = 0;
  #patience = 0;
  #moving = 0;
  #closed = false;
  #failed = false;
  #onOnline = () => this.#hurry();

  /**
   * @param {string} url ws: or wss:
   * @param {{open: () => void, message: (text: string) => void, closed: (wasOpen: boolean) => void, others: (urls: string[]) => void}} handlers
   * @param {string[]} others trackers of the same cluster that were told of before
   */
  constructor(url, handlers, others = []) {
    this.#home = url;
    this.#url = url;
    this.#others = others.filter((other) => other !== url);
    this.#handlers = handlers;
    globalThis.addEventListener("online", this.#onOnline);
    this.#connect();
  }

  /** @returns {"connected" | "connecting" | "offline"} */
  get state() {
    if (this.#open) return "connected";
    return this.#failed ? "offline" : "connecting";
  }

  /** Where it is connected, or tries to. */
  get url() {
    return this.#url;
  }

  /** @param {string} text */
  send(text) {
    if (this.#open) this.#socket?.send(text);
  }

  /** Hangs up and connects anew. */
  restart() {
    this.#socket?.close(1000);
  }

  /**
   * The tracker is about to stop: connects anew after that time. Direct links to peers are not touched.
   * @param {number} afterMs
   */
  move(afterMs) {
    clearTimeout(this.#moving);
    this.#moving = setTimeout(() => {
      this.#steady = true;
      this.#backOff = BACK_OFF_FIRST_MS;
      this.restart();
    }, Math.min(Math.max(afterMs, 0), MOVE_MAX_MS));
  }

  close() {
    clearTimeout(this.#steadying);
    clearTimeout(this.#watching);
    clearTimeout(this.#moving);
    this.#closed = true;
    globalThis.removeEventListener("online", this.#onOnline);
    clearTimeout(this.#retry);
    clearTimeout(this.#patience);
    this.#socket?.close(1000);
  }

  #connect() {
    if (this.#closed || this.#socket) return;
    let socket;
    try {
      socket = new WebSocket(this.#url);
    } catch {
      this.#failed = true;
      this.#turn();
      this.#later();
      return;
    }
    this.#socket = socket;
    this.#patience = setTimeout(() => socket.close(), CONNECT_MS);
    socket.onopen = () => {
      clearTimeout(this.#patience);
      this.#open = true;
      this.#failed = false;
      this.#steadying = setTimeout(() => this.#settle(), STEADY_MS);
      this.#watch();
      this.#handlers.open();
    };
    socket.onmessage = ({ data }) => {
      this.#heard = true;
      this.#silent = false;
      if (typeof data !== "string" || data.startsWith('{"type":"pong"')) return;
      const afterMs = moveOf(data);
      const others = trackersOf(data, globalThis.location?.protocol === "https:");
      if (afterMs !== null) this.move(afterMs);
      else if (others !== null) this.#meet(others);
      else this.#handlers.message(data);
    };
    socket.onclose = () => this.#onClose();
  }

  #settle() {
    if (!this.#heard) return;
    this.#steady = true;
    this.#tried = 0;
    this.#backOff = BACK_OFF_FIRST_MS;
  }

  #watch() {
    this.#silent = true;
    this.#watching = setTimeout(() => {
      if (!this.#silent) return this.#watch();
      this.send(PING);
      this.#watching = setTimeout(() => (this.#silent ? this.#giveUp() : this.#watch()), ANSWER_MS);
    }, SILENCE_MS);
  }

  /** Does not wait for a closing handshake: nobody is there to shake hands. */
  #giveUp() {
    if (this.#socket) this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket?.close();
    this.#onClose();
  }

  #onClose() {
    clearTimeout(this.#patience);
    clearTimeout(this.#steadying);
    clearTimeout(this.#watching);
    clearTimeout(this.#moving);
    const wasOpen = this.#open;
    this.#open = false;
    this.#failed = true;
    this.#socket = null;
    if (this.#closed) return;
    this.#turn();
    this.#later();
    this.#handlers.closed(wasOpen);
  }

  /**
   * Those told of last come first; those told of before are kept, since a cluster forgets who is cut off for a while.
   * @param {string[]} told
   */
  #meet(told) {
    const all = new Set([...told, this.#url, ...this.#others]);
    all.delete(this.#home);
    this.#others = [...all].slice(0, OTHERS_MAX);
    this.#handlers.others(this.#others);
  }

  /** Turns to the next tracker of the circle; who never said a word, or did not stay, was tried in vain. */
  #turn() {
    const circle = [this.#home, ...this.#others];
    this.#url = circle[(circle.indexOf(this.#url) + 1) % circle.length];
    const inVain = !this.#steady;
    this.#heard = this.#steady = false;
    if (!inVain) return;
    this.#tried += 1;
    if (this.#tried % circle.length === 0) this.#backOff = Math.min(this.#backOff * 2, BACK_OFF_MAX_MS);
  }

  #later() {
    const spread = this.#backOff * (0.75 + Math.random() / 2);
    this.#retry = setTimeout(() => this.#connect(), spread);
  }

  #hurry() {
    clearTimeout(this.#retry);
    this.#backOff = BACK_OFF_FIRST_MS;
    this.#connect();
  }
}

/**
 * After how many ms to connect anew, if that is what a message says.
 * @param {string} text
 * @returns {number | null}
 */
export function moveOf(text) {
  if (!text.startsWith('{"type":"moving"')) return null;
  try {
    const afterMs = JSON.parse(text).reconnect_after_ms;
    return typeof afterMs === "number" && afterMs >= 0 ? afterMs : null;
  } catch {
    return null;
  }
}

/**
 * The other trackers of the cluster, if that is what a message says.
 * @param {string} text
 * @param {boolean} secure only wss: may be used
 * @returns {string[] | null}
 */
export function trackersOf(text, secure) {
  if (!text.startsWith('{"type":"trackers"')) return null;
  try {
    const { trackers } = JSON.parse(text);
    if (!Array.isArray(trackers)) return null;
    return trackers.filter((url) => isTracker(url, secure)).slice(0, OTHERS_MAX);
  } catch {
    return null;
  }
}

/**
 * @param {unknown} url
 * @param {boolean} secure
 */
export function isTracker(url, secure) {
  if (typeof url !== "string" || url.length > URL_CHARS_MAX || !URL.canParse(url)) return false;
  const { protocol } = new URL(url);
  return protocol === "wss:" || (protocol === "ws:" && !secure);
}
