// Run with `node --test node-wasm/js/tests`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isWanted, wish } from "../open-network.js";

const CHAIN = "ab".repeat(32);
const network = { networkId: "acme", chainId: CHAIN };

test("a name asks for any chain of that name", () => {
  assert.ok(isWanted(network, wish("acme", undefined)));
  assert.ok(!isWanted(network, wish("globex", undefined)));
});

test("a label beside a taken name asks for the chain that begins so", () => {
  assert.ok(isWanted(network, wish("acme~abababab", undefined)));
  assert.ok(!isWanted(network, wish("acme~abababac", undefined)));
});

test("an invite's chain id is asked for whole, whatever the name's chain is", () => {
  assert.ok(isWanted(network, wish("acme", CHAIN)));
  assert.ok(isWanted(network, wish(undefined, CHAIN)));
  assert.ok(!isWanted(network, wish("acme", "cd".repeat(32))));
  assert.ok(!isWanted(network, wish("globex", CHAIN)));
});

test("what can be no name is refused before anything is asked", () => {
  for (const name of ["", "Acme", "-a", "a b", "a".repeat(64), "acme~", "acme~xyz", "../acme"]) {
    assert.throws(() => wish(name, undefined), { code: "bad_network_id" });
  }
});
