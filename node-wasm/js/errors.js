/**
 * Errors a person can act on: what went wrong, and what to do about it.
 *
 * They cross the worker boundary as plain `{reason, remedy, code}` objects, because a structured clone drops an Error's own fields.
 */

/** An Error whose message is the reason followed by the remedy; both are also there on their own. */
export class DistliError extends Error {
  /**
   * @param {string} reason what went wrong, a sentence
   * @param {string} remedy what to do about it, a sentence
   * @param {string} [code] for programs, e.g. `network_unknown`
   */
  constructor(reason, remedy, code) {
    const whole = sentence(reason);
    super(remedy ? `${whole} ${remedy}` : whole);
    this.name = "DistliError";
    this.reason = whole;
    this.remedy = remedy;
    this.code = code;
  }
}

/**
 * Flattens any thrown value for postMessage.
 * @param {unknown} error
 * @param {string} [remedy] used where the error brings none of its own
 * @returns {{reason: string, remedy: string, code?: string}}
 */
export function flatten(error, remedy = "Reload the page and try again.") {
  if (error instanceof DistliError) return { reason: error.reason, remedy: error.remedy, code: error.code };
  const reason = describe(error);
  return { reason: sentence(reason), remedy };
}

/**
 * An error in words; the browser's own often say everything in their name and nothing in their message.
 * @param {unknown} error
 */
function describe(error) {
  if (typeof DOMException !== "undefined" && error instanceof DOMException) {
    return error.message ? `${error.name}: ${error.message}` : error.name;
  }
  return error instanceof Error ? error.message : String(error);
}

/**
 * Ends a text with a full stop and starts it with a capital, as errors from libraries rarely do.
 * @param {string} text
 */
export function sentence(text) {
  const trimmed = text.trim() || "unknown error";
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** What to do when the browser refuses to store. */
export const STORAGE_REMEDY =
  "Free space on this device or in this browser's site data, and export the chain to keep a copy. The node tries again by itself.";
