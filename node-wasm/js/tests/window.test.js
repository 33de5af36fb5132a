// Run with `node --test node-wasm/js/tests`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { asideKey, compare, readWindow, reconcile, writeInterval } from "../window.js";

const CHAIN = "ab".repeat(32);
const text = (height, chainId = CHAIN) => JSON.stringify({ chain: height ? [{ block_id: height }] : [], pending: [], chain_id: chainId });

test("a window says in which state it is", () => {
  assert.equal(readWindow(null, CHAIN).state, "missing");
  assert.equal(readWindow("{", CHAIN).state, "corrupt");
  assert.equal(readWindow("null", CHAIN).state, "corrupt");
  assert.equal(readWindow('{"chain":[{"block_id":"x"}]}', CHAIN).state, "corrupt");
  assert.equal(readWindow(text(3, "cd".repeat(32)), CHAIN).state, "foreign");
  assert.deepEqual([readWindow(text(3), CHAIN).state, readWindow(text(3), CHAIN).height], ["ok", 3]);
});

test("archive and window are compared by height and damage", () => {
  const state = (damaged, height, expected, window) => {
    const found = compare({ damaged, height, expected }, readWindow(window, CHAIN));
    return `${found.archive}/${found.window}`;
  };
  assert.equal(state(false, 5, 5, text(5)), "ok/ok");
  assert.equal(state(false, 5, 0, text(3)), "ok/stale");
  assert.equal(state(false, 5, 5, null), "ok/missing");
  assert.equal(state(false, 0, 0, null), "ok/missing");
  assert.equal(state(false, 0, 5, null), "missing/missing");
  assert.equal(state(false, 0, 0, text(5)), "missing/ok");
  assert.equal(state(false, 2, 0, text(5)), "truncated/ok");
  assert.equal(state(false, 2, 4, "{"), "truncated/corrupt");
  assert.equal(state(true, 2, 4, text(1)), "tampered/stale");
});

test("every pair of states has its words, and losses have a remedy", () => {
  for (const archive of ["ok", "missing", "truncated", "tampered"]) {
    for (const window of ["ok", "missing", "stale", "corrupt", "foreign"]) {
      const notice = reconcile({ archive, window });
      const everyday = archive === "ok" && !["corrupt", "foreign"].includes(window);
      assert.equal(notice === null, everyday, `${archive}/${window}`);
      if (archive !== "ok") assert.ok(notice.remedy.length > 0 && notice.level !== "info");
    }
  }
});

test("a larger window is written more seldom", () => {
  assert.equal(writeInterval(100), 4_000);
  assert.ok(writeInterval(50_000) > 60_000);
  assert.equal(writeInterval(10_000_000), 120_000);
});

test("a window set aside gets a name of its own", () => {
  assert.equal(asideKey("lab", CHAIN), "blockchain_lab~abababab");
  assert.equal(asideKey("lab", null), "blockchain_lab~unknown");
});
