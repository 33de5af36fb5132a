// One worker: how fast others hash a header of 116 bytes with one nonce after another, in each form they offer for that, and this
// product's miner beside them. All take turns, a fifth of a second each, so that a busy machine is as busy for one as for another.
import init, { MiningJob } from "./pkg/node_wasm.js";
import { createSHA256 } from "./peers/hash-wasm.js";
import { sha256 } from "./peers/noble/sha2.js";

const HALF = 64;
const NONCE_AT = 112;
const BATCH = 500;
const TURN_MS = 200;
const TURNS = 15;

const header = Uint8Array.from({ length: 116 }, (_, index) => (index * 7) & 0xff);
const view = new DataView(header.buffer);
const head = header.subarray(0, HALF);
const tail = header.subarray(HALF);

/** A step that hashes some nonces; the form is checked once against the browser's own SHA-256. */
async function stepOf(hash) {
  const own = new Uint8Array(await crypto.subtle.digest("SHA-256", header));
  const got = hash();
  if (own.some((byte, index) => byte !== got[index])) throw new Error("a peer hashes wrongly, or is used wrongly");
  let nonce = 0;
  return () => {
    for (let i = 0; i < BATCH; i++) {
      view.setUint32(NONCE_AT, nonce++ >>> 0);
      hash();
    }
    return BATCH;
  };
}

/** Hashes a second of each step. */
function rates(steps) {
  const sums = steps.map(() => ({ hashes: 0, ms: 0 }));
  for (let turn = -1; turn < TURNS; turn++) {
    steps.forEach((step, index) => {
      const start = performance.now();
      let hashes = 0;
      let ms = 0;
      while ((ms = performance.now() - start) < TURN_MS) hashes += step();
      if (turn < 0) return; // The first turn warms up.
      sums[index].hashes += hashes;
      sums[index].ms += ms;
    });
  }
  return sums.map(({ hashes, ms }) => (hashes * 1000) / ms);
}

async function measure() {
  await init();
  const unreachable = new Uint8Array(32);
  unreachable[31] = 1;
  const job = new MiningJob(header, unreachable, 0, 0xffffffff);
  const mine = () => {
    job.step(20000);
    return 20000;
  };

  const hasher = await createSHA256();
  hasher.init().update(head);
  const midstate = hasher.save();
  const hashWasm = [
    () => hasher.init().update(header).digest("binary"),
    () => {
      hasher.load(midstate);
      return hasher.update(tail).digest("binary");
    },
  ];

  const first = sha256.create().update(head);
  const spare = sha256.create();
  const out = new Uint8Array(32);
  const noble = [
    () => sha256(header),
    () => {
      first._cloneInto(spare).update(tail).digestInto(out);
      return out;
    },
  ];
  const steps = await Promise.all([...hashWasm, ...noble].map(stepOf));
  const [own, wasmWhole, wasmResumed, nobleWhole, nobleResumed] = rates([mine, ...steps]);
  return { own, hashWasm: Math.max(wasmWhole, wasmResumed), noble: Math.max(nobleWhole, nobleResumed) };
}

onmessage = () => measure().then(postMessage, (error) => postMessage({ error: String(error?.message ?? error) }));
