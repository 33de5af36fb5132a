/**
 * One mining worker: steps one job at a time, in slices of about 50 ms, and listens between the slices.
 *
 * In: {type: "load", module} once, then {type: "job", job, header, target, startNonce, endNonce} and {type: "stop"}.
 * Out: {type: "hashes", hashes} after each slice, {type: "found", job, version, nonce}, {type: "exhausted", job},
 * {type: "failed", job, reason}.
 */

import init, { MiningJob } from "../pkg/node_wasm.js";
import { adaptedBudget, BUDGET_FIRST } from "./mining-budget.js";

/** @type {{id: number, mining: MiningJob} | null} */
let current = null;
let budget = BUDGET_FIRST;
let scheduled = false;
let loaded = false;
/** @type {any} a job that came before the module was ready */
let early = null;
/** A message to ourselves yields to what the parent sent meanwhile, without the 4 ms floor of nested timers. */
const turn = new MessageChannel();
turn.port1.onmessage = () => {
  scheduled = false;
  slice();
};

self.onmessage = ({ data }) => {
  switch (data.type) {
    case "load":
      load(data.module);
      break;
    case "job":
      if (loaded) begin(data);
      else early = data;
      break;
    case "stop":
      early = null;
      drop();
      break;
    default: // A newer pool: not for us.
  }
};

/** @param {WebAssembly.Module} module */
async function load(module) {
  try {
    await init({ module_or_path: module });
    loaded = true;
    if (early) begin(early);
  } catch (error) {
    self.postMessage({ type: "failed", reason: String(error) });
  }
}

/** @param {{job: number, header: Uint8Array, target: Uint8Array, startNonce: number, endNonce: number}} job */
function begin({ job, header, target, startNonce, endNonce }) {
  drop();
  try {
    current = { id: job, mining: new MiningJob(header, target, startNonce, endNonce) };
    next();
  } catch (error) {
    self.postMessage({ type: "failed", job, reason: String(error) });
  }
}

function drop() {
  current?.mining.free();
  current = null;
}

function next() {
  if (scheduled) return;
  scheduled = true;
  turn.port2.postMessage(null);
}

function slice() {
  if (!current) return;
  const { id, mining } = current;
  const before = Number(mining.hashes);
  const started = performance.now();
  const { found, exhausted } = mining.step(budget);
  const took = performance.now() - started;
  const hashes = Number(mining.hashes) - before;
  if (hashes >= budget) budget = adaptedBudget(budget, took);
  self.postMessage({ type: "hashes", hashes });
  if (found !== undefined && found !== null) {
    drop();
    self.postMessage({ type: "found", job: id, ...found });
  } else if (exhausted) {
    drop();
    self.postMessage({ type: "exhausted", job: id });
  } else {
    next();
  }
}
