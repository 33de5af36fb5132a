import assert from "node:assert/strict";
import { test } from "node:test";
import { TrackerLink, moveOf, trackersOf } from "../tracker.js";

test("the order to move is told from what the node has to read", () => {
  assert.equal(moveOf('{"type":"moving","reconnect_after_ms":1200}'), 1200);
  assert.equal(moveOf('{"type":"moving","reconnect_after_ms":"soon"}'), null);
  assert.equal(moveOf('{"type":"moving"'), null);
  assert.equal(moveOf('{"type":"relay","frame":"moving"}'), null);
});

test("the other trackers are told from what the node has to read, and only addresses that may be used are taken", () => {
  const text = JSON.stringify({ type: "trackers", trackers: ["wss://b/ws", "ws://c/ws", "https://d", 7, "wss://" + "x".repeat(300)] });
  assert.deepEqual(trackersOf(text, false), ["wss://b/ws", "ws://c/ws"]);
  assert.deepEqual(trackersOf(text, true), ["wss://b/ws"]);
  assert.equal(trackersOf('{"type":"trackers","trackers":"wss://b"}', false), null);
  assert.equal(trackersOf('{"type":"relay","frame":"trackers"}', false), null);
});

/** A socket that the test opens and closes. */
class FakeSocket {
  /** @type {FakeSocket[]} */
  static made = [];
  constructor(/** @type {string} */ url) {
    this.url = url;
    FakeSocket.made.push(this);
  }
  close() {
    this.onclose?.();
  }
}

test("a lost tracker, or one that asks to move, is followed by the next of its cluster, and the circle closes", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const real = globalThis.WebSocket;
  Object.assign(globalThis, { WebSocket: FakeSocket, addEventListener: () => {}, removeEventListener: () => {} });
  const last = () => /** @type {any} */ (FakeSocket.made.at(-1));
  /** @type {string[][]} */
  const met = [];
  const nothing = () => {};
  const link = new TrackerLink("ws://a/ws", { open: nothing, message: nothing, closed: nothing, others: (urls) => met.push(urls) });
  const says = (/** @type {object} */ message) => last().onmessage({ data: JSON.stringify(message) });
  last().onopen();
  says({ type: "trackers", trackers: ["ws://b/ws", "ws://c/ws"] });
  assert.deepEqual(met, [["ws://b/ws", "ws://c/ws"]]);
  const tried = [];
  context.mock.timers.tick(5_000);
  last().onclose();
  for (let tries = 0; tries < 4; tries++) {
    // The first round waits no longer than two thirds of a second before each.
    context.mock.timers.tick(tries < 3 ? 650 : 1_300);
    tried.push(last().url);
    if (tries < 3) last().onclose();
  }
  assert.deepEqual(tried, ["ws://b/ws", "ws://c/ws", "ws://a/ws", "ws://b/ws"]);
  assert.equal(link.url, "ws://b/ws");
  last().onopen();
  says({ type: "trackers", trackers: ["ws://a/ws", "ws://c/ws"] });
  says({ type: "moving", reconnect_after_ms: 100 });
  context.mock.timers.tick(100);
  context.mock.timers.tick(1_300);
  assert.notEqual(last().url, "ws://b/ws");
  link.close();
  globalThis.WebSocket = real;
});

test("a tracker that ends every connection at once is given longer and longer pauses", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const real = globalThis.WebSocket;
  Object.assign(globalThis, { WebSocket: FakeSocket, addEventListener: () => {}, removeEventListener: () => {} });
  const last = () => /** @type {any} */ (FakeSocket.made.at(-1));
  const nothing = () => {};
  const link = new TrackerLink("ws://a/ws", { open: nothing, message: nothing, closed: nothing, others: nothing });
  const connects = (/** @type {number} */ forMs) => {
    last().onopen();
    last().onmessage({ data: '{"type":"welcome"}' });
    context.mock.timers.tick(forMs);
    const before = FakeSocket.made.length;
    last().onclose();
    let waited = 0;
    for (; FakeSocket.made.length === before; waited += 50) context.mock.timers.tick(50);
    return waited;
  };
  const pauses = [connects(100), connects(100), connects(100), connects(100), connects(100), connects(6_000)];
  for (const [index, least] of [700, 1_450, 2_950, 5_950, 7_450, 350].entries()) assert.ok(pauses[index] >= least, `${pauses}`);
  assert.ok(pauses[5] <= 700, `${pauses}`);
  link.close();
  globalThis.WebSocket = real;
});

test("a tracker that falls silent is asked for a word, and another is tried when it has none", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const real = globalThis.WebSocket;
  /** @type {string[]} */
  const sent = [];
  class Silent extends FakeSocket {
    send(/** @type {string} */ text) {
      sent.push(text);
    }
    // One that stands still closes nothing.
    close() {}
  }
  Object.assign(globalThis, { WebSocket: Silent, addEventListener: () => {}, removeEventListener: () => {} });
  const last = () => /** @type {any} */ (FakeSocket.made.at(-1));
  /** @type {string[]} */
  const told = [];
  const nothing = () => {};
  const link = new TrackerLink("ws://a/ws", { open: nothing, message: (text) => told.push(text), closed: () => told.push("closed"), others: nothing }, ["ws://b/ws"]);
  last().onopen();
  for (let seconds = 0; seconds < 60; seconds++) {
    context.mock.timers.tick(1_000);
    if (sent.length > 0) last().onmessage({ data: '{"type":"pong"}' });
    sent.length = 0;
  }
  assert.equal(last().url, "ws://a/ws");
  assert.deepEqual(told, []);
  for (let seconds = 0; seconds < 36; seconds++) context.mock.timers.tick(1_000);
  assert.deepEqual(sent, ['{"type":"ping"}']);
  assert.deepEqual(told, ["closed"]);
  assert.equal(last().url, "ws://b/ws");
  link.close();
  globalThis.WebSocket = real;
});
