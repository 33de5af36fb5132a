// The message composer. What was typed is cleared only after the node has taken it; a refused message stays to be mended.

import { byId, setText } from "./dom.js";
import { count } from "./format.js";
import { notifyError } from "./notices.js";

const MESSAGE_BYTES_MAX = 4096;
const COUNTER_FROM_BYTES = 3072;
const BUSY_AFTER_MS = 200;
const HINT = "Signed by this tab. Enter sends, Shift + Enter starts a line.";
const encoder = new TextEncoder();

/** Wires the composer to a node until `signal` aborts. */
export function setUpComposer(node, signal) {
  const input = byId("message-input");
  const form = byId("composer");
  const hint = byId("composer-hint");
  const button = byId("send");
  let sending = false;

  const send = async () => {
    const text = input.value;
    if (sending) return;
    if (text.trim() === "") {
      showHint(hint, "Write something first.");
      input.focus();
      return;
    }
    if (encoder.encode(text).length > MESSAGE_BYTES_MAX) {
      input.focus();
      return;
    }
    sending = true;
    const busy = setTimeout(() => showBusy(button, true), BUSY_AFTER_MS);
    try {
      await node.submit(text);
      if (input.value === text) input.value = "";
      showHint(hint, "");
    } catch (error) {
      notifyError("The message was not taken", error);
    } finally {
      clearTimeout(busy);
      sending = false;
      showBusy(button, false);
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  }, { signal });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  }, { signal });
  input.addEventListener("input", () => showHint(hint, sizeHint(input.value)), { signal });
}

function sizeHint(text) {
  const size = encoder.encode(text).length;
  if (size > MESSAGE_BYTES_MAX) return `${count(size)} bytes; ${count(MESSAGE_BYTES_MAX)} fit. Shorten it or send it in parts.`;
  return size >= COUNTER_FROM_BYTES ? `${count(MESSAGE_BYTES_MAX - size)} bytes left.` : "";
}

function showHint(hint, problem) {
  setText(hint, problem === "" ? HINT : problem);
  hint.dataset.level = problem === "" || problem.endsWith("left.") ? "" : "error";
}

function showBusy(button, busy) {
  setText(button, busy ? "Sending…" : "Send");
  if (busy) button.dataset.busy = "true";
  else delete button.dataset.busy;
}
