/** How many hashes a mining slice takes, and how the nonces are shared out. Pure arithmetic. */

export const WORKERS_MAX = 16;
export const BUDGET_FIRST = 50_000;
const BUDGET_MIN = 1_000;
const BUDGET_MAX = 50_000_000;
const SLICE_MS = 50;

/**
 * The budget that would have taken 50 ms, moving at most by a factor of two at a time.
 * @param {number} budget
 * @param {number} tookMs what `budget` hashes took
 */
export function adaptedBudget(budget, tookMs) {
  const factor = Math.min(2, Math.max(0.5, SLICE_MS / Math.max(tookMs, 0.1)));
  return Math.min(BUDGET_MAX, Math.max(BUDGET_MIN, Math.round(budget * factor)));
}

/**
 * How many workers mine unless the user says otherwise: one core stays free, for the page and for other programs.
 * @param {number | undefined} cores as the browser tells
 */
export function defaultWorkers(cores) {
  return Math.min(WORKERS_MAX, Math.max(1, Math.floor(cores || 2) - 1));
}

/**
 * Splits all 2^32 nonces into one range for each worker, both ends included.
 * @param {number} workers
 * @returns {{startNonce: number, endNonce: number}[]}
 */
export function nonceRanges(workers) {
  const size = Math.floor(2 ** 32 / workers);
  return Array.from({ length: workers }, (_, index) => ({
    startNonce: index * size,
    endNonce: index === workers - 1 ? 2 ** 32 - 1 : (index + 1) * size - 1,
  }));
}
