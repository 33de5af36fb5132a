// Finality of a private network: its owner chooses whether blocks are reported, and may reset what became final.

import { byId, setText } from "./dom.js";
import { count } from "./format.js";
import { notify, notifyError } from "./notices.js";

/** Wires the owner's dialog, and tells everybody of a reset; returns a function that shows a status. */
export function setUpProving(node, signal) {
  const on = (id, type, handle) => byId(id).addEventListener(type, handle, { signal });
  on("proving-open", "click", () => {
    byId("reset-from").value = byId("reset-from").max;
    byId("proving").showModal();
  });
  on("proving-close", "click", () => byId("proving").close());
  on("prove", "change", ({ currentTarget }) => prove(node, currentTarget));
  on("reset-sure", "change", ({ currentTarget }) => { byId("reset").disabled = !currentTarget.checked; });
  on("reset-form", "submit", (event) => {
    event.preventDefault();
    reset(node, Number(byId("reset-from").value));
  });
  node.addEventListener("reset", ({ detail }) => notify({
    level: "warning", title: `The owner reset finality from block ${count(detail.from)}`,
    text: "That is signed, and the validators executed it. Blocks from there on are gone; their messages wait for a block again, or are shown as displaced.",
  }), { signal });
  return showProving;
}

function showProving(status) {
  byId("proving-open").hidden = status.access !== "private" || !status.reporter;
  const box = byId("prove");
  if (!box.disabled) box.checked = status.reporting;
  const last = status.finalHeight ?? 0;
  const [form, from] = [byId("reset-form"), byId("reset-from")];
  from.max = String(last);
  if (form.hidden) from.value = from.max;
  form.hidden = last === 0;
  setText(byId("reset-range"), last === 1 ? "Block 1 is final." : `Blocks 1 to ${count(last)} are final.`);
}

async function prove(node, box) {
  const wanted = box.checked;
  box.disabled = true;
  try {
    await node.proveFinality(wanted);
  } catch (error) {
    box.checked = !wanted;
    notifyError("The choice was not kept", error);
  } finally {
    box.disabled = false;
  }
}

async function reset(node, from) {
  const button = byId("reset");
  if (button.dataset.busy === "true") return;
  button.dataset.busy = "true";
  try {
    await node.resetFinality({ from });
    byId("proving").close();
  } catch (error) {
    notifyError("Finality was not reset", error);
  } finally {
    delete button.dataset.busy;
    byId("reset-sure").checked = false;
    button.disabled = true;
  }
}
