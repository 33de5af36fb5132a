// One worker: the product's miner, whole headers by the sha2 crate, full validation of a long chain, and a proof of finality.
import init, { BenchChain, MiningJob, hashWholeHeaders, verifyFinality } from "./pkg/node_wasm.js";
import { rate } from "./rate.js";

async function measure(now) {
  await init();
  const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
  const genesis = await bytes("genesis.bin");
  const blocks = await bytes("chain.bin");
  const view = new DataView(blocks.buffer);
  const header = blocks.slice(4, 4 + 116);
  const unreachable = new Uint8Array(32);
  unreachable[31] = 1;

  const job = new MiningJob(header, unreachable, 0, 0xffffffff);
  const mining = rate(() => {
    job.step(100000);
    return 100000;
  });
  const whole = rate(() => {
    hashWholeHeaders(header, 20000);
    return 20000;
  });

  const chain = new BenchChain(genesis);
  const start = performance.now();
  for (let at = 0; at < blocks.length; ) {
    const length = view.getUint32(at);
    chain.insert(blocks.subarray(at + 4, at + 4 + length), BigInt(now));
    at += 4 + length;
  }
  const seconds = (performance.now() - start) / 1000;

  const [pinned, tenant, proof] = [await bytes("pinned.bin"), await bytes("tenant.bin"), await bytes("proof.bin")];
  let final = 0;
  const proofs = rate(() => {
    final = verifyFinality(pinned, tenant, proof);
    return 1;
  });
  return { mining, whole, proofs, final, blocks: chain.height(), seconds };
}

onmessage = ({ data }) => measure(data).then(postMessage, (error) => postMessage({ error: String(error?.message ?? error) }));
