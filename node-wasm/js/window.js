/**
 * The window: the last blocks and all pending transactions in localStorage, beside the archive in IndexedDB. Pure functions.
 *
 * The archive is the truth. Browsers may evict either one, or lose the newest writes of localStorage, so at start the two are
 * compared: {ok, missing, truncated, tampered} × {ok, missing, stale, corrupt}, plus a window of another chain, which is set aside.
 */

/**
 * @typedef {"ok" | "missing" | "truncated" | "tampered"} ArchiveState
 * @typedef {"ok" | "missing" | "stale" | "corrupt" | "foreign"} WindowState
 * @typedef {{state: WindowState, height: number, blocks: any[], chainId: string | null, genesis: string | null}} ReadWindow
 */

/** @param {string} networkId */
export function windowKey(networkId) {
  return `blockchain_${networkId}`;
}

/** @param {string} networkId */
export function syncKey(networkId) {
  return `sync_${networkId}`;
}

/**
 * Where a window of another chain under the same label goes.
 * @param {string} networkId
 * @param {string | null} chainId
 */
export function asideKey(networkId, chainId) {
  return `${windowKey(networkId)}~${(chainId ?? "unknown").slice(0, 8)}`;
}

/**
 * Reads a stored window; `stale` is decided later, against the archive.
 * @param {string | null} text
 * @param {string} chainId the chain it has to be of
 * @returns {ReadWindow}
 */
export function readWindow(text, chainId) {
  const nothing = { height: 0, blocks: [], chainId: null, genesis: null };
  if (text === null) return { state: "missing", ...nothing };
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { state: "corrupt", ...nothing };
  }
  if (!Array.isArray(parsed?.chain)) return { state: "corrupt", ...nothing };
  const blocks = parsed.chain;
  const height = Number(blocks.at(-1)?.block_id ?? 0);
  if (!Number.isSafeInteger(height) || height < 0) return { state: "corrupt", ...nothing };
  const read = { height, blocks, chainId: hexOf(parsed.chain_id), genesis: hexOf(parsed.genesis) };
  return { state: read.chainId !== null && read.chainId !== chainId ? "foreign" : "ok", ...read };
}

/** @param {unknown} value */
function hexOf(value) {
  return typeof value === "string" && /^([0-9a-f]{2})+$/.test(value) ? value : null;
}

/**
 * Compares what the archive gave with what the window shows.
 * @param {{damaged: boolean, height: number, expected: number}} archive height it restored to; `expected` by its own note
 * @param {ReadWindow} window
 * @returns {{archive: ArchiveState, window: WindowState}}
 */
export function compare(archive, window) {
  const shown = window.state === "ok" ? window.height : 0;
  const known = Math.max(shown, archive.expected);
  /** @type {ArchiveState} */
  let state = "ok";
  if (archive.damaged) state = "tampered";
  else if (archive.height === 0 && known > 0) state = "missing";
  else if (archive.height < known) state = "truncated";
  const stale = window.state === "ok" && window.height < archive.height;
  return { archive: state, window: stale ? "stale" : window.state };
}

/**
 * What to tell the user about the two; null when there is nothing to tell.
 * @param {{archive: ArchiveState, window: WindowState}} states
 * @returns {import("./storage.js").StorageNotice | null}
 */
export function reconcile({ archive, window }) {
  const spare = window === "ok" ? "The last blocks are taken from localStorage after checking them, the" : "The";
  const remedy = `${spare} rest comes from your peers: stay online until the height is back, or import an exported chain.`;
  switch (archive) {
    case "tampered":
      return { level: "error", message: "Stored blocks did not pass verification and were set aside.", remedy };
    case "missing":
      return { level: "warning", message: "The browser removed the stored chain of this network.", remedy };
    case "truncated":
      return { level: "warning", message: "The stored chain ends before the height this browser had shown.", remedy };
    case "ok":
      return noticeOfWindow(window);
  }
}

/**
 * @param {WindowState} window
 * @returns {import("./storage.js").StorageNotice | null}
 */
function noticeOfWindow(window) {
  switch (window) {
    case "corrupt":
      return {
        level: "info",
        message: "The copy of the last blocks in localStorage was unreadable and is rebuilt from the archive.",
        remedy: "",
      };
    case "foreign":
      return {
        level: "warning",
        message: "localStorage held another chain under this network's name; it was set aside, not overwritten.",
        remedy: "Join that network by its chain id if you want it back.",
      };
    default: // Missing and stale are everyday: localStorage is written seldom.
      return null;
  }
}

const HOUR_MS = 3_600_000;
/** Browsers commit some 10 MiB of localStorage an hour; half of it is for this. */
const BYTES_PER_HOUR = 5 << 20;
const WRITE_MS_MIN = 4_000;
const WRITE_MS_MAX = 120_000;

/**
 * How long to wait before the window is written again.
 * @param {number} units length of the text in UTF-16 units
 */
export function writeInterval(units) {
  return Math.min(WRITE_MS_MAX, Math.max(WRITE_MS_MIN, (units * 2 * HOUR_MS) / BYTES_PER_HOUR));
}
