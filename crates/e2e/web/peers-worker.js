// One worker: how fast others hash a header of 116 bytes with one nonce after another, in the fastest form each offers for that,
// and this product's miner beside them.
import init, { MiningJob } from "./pkg/node_wasm.js";
import { createSHA256 } from "./peers/hash-wasm.js";
import { sha256 } from "./peers/noble/sha2.js";
import { rate } from "./rate.js";

const HALF = 64;
const NONCE_AT = 112;
const ROUND = 2000;

/** A loop that sets the nonce and hashes, checked once against the browser's own SHA-256. */
async function checked(header, hash) {
  const own = new Uint8Array(await crypto.subtle.digest("SHA-256", header));
  const got = hash(header);
  if (own.some((byte, index) => byte !== got[index])) throw new Error("a peer hashes wrongly, or is used wrongly");
  const view = new DataView(header.buffer);
  let nonce = 0;
  return () => {
    for (let i = 0; i < ROUND; i++) {
      view.setUint32(NONCE_AT, nonce++ >>> 0);
      hash(header);
    }
    return ROUND;
  };
}

async function measure() {
  await init();
  const header = () => Uint8Array.from({ length: 116 }, (_, index) => (index * 7) & 0xff);
  const unreachable = new Uint8Array(32);
  unreachable[31] = 1;
  const job = new MiningJob(header(), unreachable, 0, 0xffffffff);

  const hasher = await createSHA256();
  const whole = (bytes) => hasher.init().update(bytes).digest("binary");
  hasher.init().update(header().subarray(0, HALF));
  const midstate = hasher.save();
  const resumed = (bytes) => {
    hasher.load(midstate);
    return hasher.update(bytes.subarray(HALF)).digest("binary");
  };

  const first = sha256.create().update(header().subarray(0, HALF));
  const spare = sha256.create();
  const out = new Uint8Array(32);
  const nobleWhole = (bytes) => sha256(bytes);
  const nobleResumed = (bytes) => {
    first._cloneInto(spare).update(bytes.subarray(HALF)).digestInto(out);
    return out;
  };

  const best = async (forms) => {
    const rates = [];
    for (const form of forms) rates.push(rate(await checked(header(), form)));
    return Math.max(...rates);
  };
  return {
    own: rate(() => {
      job.step(100000);
      return 100000;
    }),
    hashWasm: await best([whole, resumed]),
    noble: await best([nobleWhole, nobleResumed]),
  };
}

onmessage = () => measure().then(postMessage, (error) => postMessage({ error: String(error?.message ?? error) }));
