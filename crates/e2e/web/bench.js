// The bench's page: runs a worker once and hands back what it measured, or drives the product's mining pool.
import init from "./pkg/node_wasm.js";
import { MiningPool } from "./node/mining-pool.js";

const ask = (file, question) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(file, { type: "module" });
    worker.onmessage = ({ data }) => {
      worker.terminate();
      if (data.error) reject(new Error(data.error));
      else resolve(data);
    };
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(question);
  });

window.measure = (now) => ask("bench-worker.js", now);
window.measurePeers = () => ask("peers-worker.js", null);

/** @type {MiningPool | null} */
let pool = null;

/** Mines at a target that nothing meets, with so many of the product's workers, until `stopPool`. */
window.startPool = async (workers) => {
  const module = await WebAssembly.compileStreaming(fetch("pkg/node_wasm_bg.wasm"));
  await init({ module_or_path: module });
  const fail = (reason) => console.error(reason);
  pool = new MiningPool(module, { found: fail, exhausted: fail, failed: fail });
  pool.resize(workers);
  const target = new Uint8Array(32);
  target[31] = 1;
  pool.start({ id: 1, header: new Uint8Array(116).fill(7), target });
};
/** Hashes a second of the pool over the last second. */
window.poolRate = () => pool.hashesPerSecond;
window.stopPool = () => pool.close();
