/**
 * One verification worker: checks blocks by every rule that needs no chain.
 *
 * In: {type: "load", module, genesis} once, then {type: "verify", job, blocks}. Out: {type: "verified", job, valid}, {type: "failed", reason}.
 */

import init, { BlockVerifier } from "../pkg/node_wasm.js";

/** @type {Promise<BlockVerifier>} */
let loading;

self.onmessage = async ({ data }) => {
  try {
    if (data.type === "load") {
      loading = load(data);
      await loading;
    } else if (data.type === "verify") {
      const verifier = await loading;
      const valid = data.blocks.map((/** @type {Uint8Array} */ block) => verifier.check(block));
      self.postMessage({ type: "verified", job: data.job, valid });
    }
  } catch (error) {
    self.postMessage({ type: "failed", reason: String(error) });
  }
};

/** @param {{module: WebAssembly.Module, genesis: Uint8Array}} parts */
async function load({ module, genesis }) {
  await init({ module_or_path: module });
  return new BlockVerifier(genesis);
}
