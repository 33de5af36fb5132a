/**
 * Writes the window into localStorage: seldom, because browsers commit little of it an hour, and once more when the page goes away.
 */

import { asideKey, readWindow, syncKey, windowKey, writeInterval } from "./window.js";

/** @typedef {{networkId: string, chainId: string, text: string, synced: string}} WindowText */

export class WindowWriter {
  #notify;
  /** @type {WindowText | null} */
  #latest = null;
  #timer = 0;
  #writtenAt = -Infinity;
  #failed = false;
  #onPageHide = () => this.flush();

  /** @param {(notice: import("./storage.js").StorageNotice) => void} notify */
  constructor(notify) {
    this.#notify = notify;
    addEventListener("pagehide", this.#onPageHide);
  }

  /**
   * Takes the newest window; it is written when its turn comes.
   * @param {WindowText} window
   */
  offer(window) {
    this.#latest = window;
    if (this.#timer) return;
    const due = this.#writtenAt + writeInterval(window.text.length) - performance.now();
    this.#timer = setTimeout(() => this.flush(), Math.max(due, 0));
  }

  /** Writes what has not been written yet. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const latest = this.#latest;
    if (!latest) return;
    this.#latest = null;
    this.#writtenAt = performance.now();
    try {
      makeWay(latest);
      localStorage.setItem(windowKey(latest.networkId), latest.text);
      localStorage.setItem(syncKey(latest.networkId), latest.synced);
      this.#failed = false;
    } catch (error) {
      this.#onFailure(error);
    }
  }

  close() {
    this.flush();
    removeEventListener("pagehide", this.#onPageHide);
  }

  /** @param {unknown} error */
  #onFailure(error) {
    if (this.#failed) return;
    this.#failed = true;
    this.#notify({
      level: "warning",
      message: `The copy of the last blocks did not fit into localStorage (${error instanceof Error ? error.name : error}).`,
      remedy: "The chain itself is safe in IndexedDB. Remove old networks of this site to make room.",
    });
  }
}

/**
 * The stored window of a network, or null; also null where the browser denies localStorage. With a chain id, the window of that
 * chain if it was set aside for another one of the same name.
 * @param {string} networkId
 * @param {string} [chainId]
 */
export function storedWindow(networkId, chainId) {
  try {
    const text = localStorage.getItem(windowKey(networkId));
    if (text === null || !chainId || text.includes(chainId)) return text;
    return localStorage.getItem(asideKey(networkId, chainId)) ?? text;
  } catch {
    return null;
  }
}

/**
 * Keeps the window of another chain of the same name, e.g. one open in another tab, from being overwritten.
 * @param {WindowText} window
 */
function makeWay({ networkId, chainId }) {
  const text = localStorage.getItem(windowKey(networkId));
  if (text === null || text.includes(chainId)) return;
  setWindowAside(networkId, readWindow(text, chainId).chainId);
  localStorage.removeItem(asideKey(networkId, chainId)); // This chain's own, older copy: it gets the main place back.
}

/**
 * Moves the window of another chain out of the way instead of overwriting it.
 * @param {string} networkId
 * @param {string | null} chainId
 */
export function setWindowAside(networkId, chainId) {
  const text = storedWindow(networkId);
  if (text === null) return;
  try {
    localStorage.removeItem(windowKey(networkId));
    localStorage.setItem(asideKey(networkId, chainId), text);
  } catch {
    localStorage.setItem(windowKey(networkId), text); // No room for both keys' names: leave it where it was.
  }
}
