// Run with `node --test node-wasm/js/tests`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CoreLoop } from "../core-loop.js";

/** A machine that answers each input with the outputs in it, and drivers that write down what they do. */
function loopWith(persist = async () => {}) {
  const queue = [];
  const log = [];
  const machine = {
    handle(_now, input) {
      if (input.fails) throw new Error(input.fails);
      queue.push(...(input.outputs ?? []));
    },
    poll: () => queue.shift(),
    pollFree: () => (queue[0]?.type === "verify" ? queue.shift() : undefined),
  };
  const loop = new CoreLoop(machine, {
    perform: (output) => log.push(output.type === "send" ? output.name : output.type),
    persist: async (changes) => {
      await persist(changes);
      log.push(`stored ${changes.map(({ key, value }) => `${key}=${value}`).join(",")}`);
    },
    refused: (reason, source, request) => log.push(`refused ${reason} ${source} ${request}`),
    storage: ({ level }) => log.push(`storage ${level}`),
    broken: (reason) => log.push(`broken ${reason}`),
    drained: () => {},
  });
  return { loop, log };
}

const send = (name) => ({ type: "send", name });
const persist = (key, value) => ({ type: "persist", records: [{ key, value }] });

test("nothing behind a persist is done before it is durable", async () => {
  let finish;
  const durable = new Promise((done) => (finish = done));
  const { loop, log } = loopWith(() => durable);
  loop.handle({ type: "x", outputs: [send("before"), persist("k", 1), send("after")] });
  loop.handle({ type: "x", outputs: [send("later")] });
  await Promise.resolve();
  assert.deepEqual(log, ["before"]);
  finish();
  await loop.settled();
  assert.deepEqual(log, ["before", "stored k=1", "after", "later"]);
});

test("the persists of a batch are written at once, the last value of each key", async () => {
  const { loop, log } = loopWith();
  loop.handle({ type: "x", outputs: [persist("a", 1), send("one"), persist("b", 2), persist("a", null), send("two")] });
  await loop.settled();
  assert.deepEqual(log, ["stored a=null,b=2", "one", "two"]);
});

test("a refused input is told with its request and stops nothing", async () => {
  const { loop, log } = loopWith();
  loop.handle({ type: "submit", request: 7, fails: "too long" });
  loop.handle({ type: "x", outputs: [send("one")] });
  await loop.settled();
  assert.deepEqual(log, ["refused Too long. submit 7", "one"]);
});

test("a wake-up in the past comes at once, and the earliest wins", async () => {
  const { loop } = loopWith();
  const woken = new Promise((done) => {
    const handle = loop.handle.bind(loop);
    loop.handle = (input) => (input.type === "woken" ? done(input.type) : handle(input));
  });
  loop.handle({ type: "x", outputs: [{ type: "wake_at", at: Date.now() + 60_000 }, { type: "wake_at", at: 0 }] });
  assert.equal(await woken, "woken");
  loop.stop();
});

test("what needs nothing durable is done while a write lasts", async () => {
  let finish;
  const durable = new Promise((done) => (finish = done));
  const { loop, log } = loopWith(() => durable);
  loop.handle({ type: "x", outputs: [persist("k", 1), send("after")] });
  loop.handle({ type: "x", outputs: [{ type: "verify" }, send("later")] });
  await Promise.resolve();
  assert.deepEqual(log, ["verify"]);
  finish();
  await loop.settled();
  assert.deepEqual(log, ["verify", "stored k=1", "after", "later"]);
});
