import assert from "node:assert/strict";
import { test } from "node:test";
import { moveOf } from "../tracker.js";

test("the order to move is told from what the node has to read", () => {
  assert.equal(moveOf('{"type":"moving","reconnect_after_ms":1200}'), 1200);
  assert.equal(moveOf('{"type":"moving","reconnect_after_ms":"soon"}'), null);
  assert.equal(moveOf('{"type":"moving"'), null);
  assert.equal(moveOf('{"type":"relay","frame":"moving"}'), null);
});
