// Run with `node --test node-wasm/js/tests`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lanes } from "../lanes.js";

const CHUNK = 16 * 1024;
const chunk = (/** @type {number} */ mark) => new Uint8Array(CHUNK).fill(mark);

test("a new block waits for one chunk of history at most", () => {
  const lanes = new Lanes();
  for (let i = 0; i < 64; i++) lanes.push(chunk(2), 2);
  let buffered = 0;
  const handOver = () => {
    for (let next = lanes.next(buffered); next; next = lanes.next(buffered)) buffered += next.length;
  };
  handOver();
  assert.equal(buffered, CHUNK, "history goes one chunk at a time");
  lanes.push(chunk(0), 0);
  assert.equal(lanes.next(buffered)?.[0], 0, "and the block is the next");
});

test("history goes on whenever the channel is empty, and nothing is lost", () => {
  const lanes = new Lanes();
  for (let i = 0; i < 20; i++) lanes.push(chunk(i), i % 3);
  const seen = [];
  for (let next = lanes.next(0); next; next = lanes.next(0)) seen.push(next[0]);
  assert.deepEqual(seen, [...Array(20).keys()].sort((a, b) => (a % 3) - (b % 3) || a - b));
  assert.equal(lanes.bytes, 0);
});

test("a full channel takes nothing, not even a block", () => {
  const lanes = new Lanes();
  lanes.push(chunk(1), 0);
  assert.equal(lanes.next((1 << 20) + 1), undefined);
  assert.equal(lanes.bytes, CHUNK);
});
