/**
 * The WebSocket to the tracker: keeps trying, from half a second up to ten, and at once when the machine comes back online.
 *
 * It carries text frames and knows nothing of what is in them.
 */

const BACK_OFF_FIRST_MS = 500;
const BACK_OFF_MAX_MS = 10_000;
const CONNECT_MS = 10_000;

export class TrackerLink {
  #url;
  #handlers;
  /** @type {WebSocket | null} */
  #socket = null;
  #open = false;
  #backOff = BACK_OFF_FIRST_MS;
  #retry = 0;
  #patience = 0;
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

  close() {
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
      if (typeof data === "string") this.#handlers.message(data);
    };
    socket.onclose = () => this.#onClose();
  }

  #onClose() {
    clearTimeout(this.#patience);
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
