/**
 * The WebSocket to the tracker: keeps trying, from half a second up to ten, and at once when the machine comes back online.
 *
 * It carries text frames and knows nothing of what is in them, but for the tracker's order to connect anew.
 */

const BACK_OFF_FIRST_MS = 500;
const BACK_OFF_MAX_MS = 10_000;
const CONNECT_MS = 10_000;
const MOVE_MAX_MS = 60_000;

export class TrackerLink {
  #url;
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
   * @param {{open: () => void, message: (text: string) => void, closed: (wasOpen: boolean) => void}} handlers
   */
  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    globalThis.addEventListener("online", this.#onOnline);
    this.#connect();
  }

  /** @returns {"connected" | "connecting" | "offline"} */
  get state() {
    if (this.#open) return "connected";
    return this.#failed ? "offline" : "connecting";
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
      this.#backOff = BACK_OFF_FIRST_MS;
      this.restart();
    }, Math.min(Math.max(afterMs, 0), MOVE_MAX_MS));
  }

  close() {
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
      this.#later();
      return;
    }
    this.#socket = socket;
    this.#patience = setTimeout(() => socket.close(), CONNECT_MS);
    socket.onopen = () => {
      clearTimeout(this.#patience);
      this.#open = true;
      this.#failed = false;
      this.#handlers.open();
    };
    socket.onmessage = ({ data }) => {
      this.#backOff = BACK_OFF_FIRST_MS;
      if (typeof data !== "string") return;
      const afterMs = moveOf(data);
      if (afterMs === null) this.#handlers.message(data);
      else this.move(afterMs);
    };
    socket.onclose = () => this.#onClose();
  }

  #onClose() {
    clearTimeout(this.#patience);
    clearTimeout(this.#moving);
    const wasOpen = this.#open;
    this.#open = false;
    this.#failed = true;
    this.#socket = null;
    if (this.#closed) return;
    this.#later();
    this.#handlers.closed(wasOpen);
  }

  #later() {
    const spread = this.#backOff * (0.75 + Math.random() / 2);
    this.#backOff = Math.min(this.#backOff * 2, BACK_OFF_MAX_MS);
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
