// Run with `node --test node-wasm/js/tests`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { adaptedBudget, defaultWorkers, nonceRanges } from "../mining-budget.js";

test("the nonce ranges cover every nonce once", () => {
  for (const workers of [1, 2, 3, 7, 16]) {
    const ranges = nonceRanges(workers);
    assert.equal(ranges[0].startNonce, 0);
    assert.equal(ranges.at(-1).endNonce, 2 ** 32 - 1);
    for (let index = 1; index < workers; index++) assert.equal(ranges[index].startNonce, ranges[index - 1].endNonce + 1);
  }
});

test("one core stays free unless there is only one", () => {
  assert.deepEqual([undefined, NaN, 1, 2, 8, 64].map((cores) => defaultWorkers(cores)), [1, 1, 1, 1, 7, 16]);
});

test("the budget settles at slices of 50 ms and moves by at most two", () => {
  let budget = 50_000;
  for (let slice = 0; slice < 20; slice++) budget = adaptedBudget(budget, budget / 4_000);
  assert.ok(Math.abs(budget - 200_000) < 1_000);
  assert.equal(adaptedBudget(100_000, 0), 200_000);
  assert.equal(adaptedBudget(100_000, 5_000), 50_000);
});
