// Run with `node --test node-wasm/js/tests`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseReason } from "../mining-pause.js";

test("mining rests for nothing but what was chosen", () => {
  const all = { hidden: true, onBattery: true };
  assert.equal(pauseReason({ hidden: false, battery: false }, all), null);
  assert.equal(pauseReason({ hidden: true, battery: true }, all), "hidden");
  assert.equal(pauseReason({ hidden: false, battery: true }, all), "battery");
  assert.equal(pauseReason({ hidden: true, battery: true }, { hidden: false, onBattery: false }), null);
});
