// The notice that the validators contradicted each other: who signed both, and the proof as a file. It stands as long as
// the node says so, also after a reload.

import { byId, element, setText } from "./dom.js";
import { save } from "./files.js";
import { count } from "./format.js";
import { notify, notifyError } from "./notices.js";

/** Wires the button to a node until `signal` aborts; answers what shows a status. */
export function setUpSplit(node, signal) {
  byId("split-download").addEventListener("click", async () => {
    try {
      const { filename, text } = await node.splitProof();
      save(filename, text);
      notify({ title: `Saved ${filename}`, text: "It needs no word of this browser: both signed blocks are in it." });
    } catch (error) {
      notifyError("The proof was not saved", error);
    }
  }, { signal });
  return ({ split }) => showSplit(split);
}

function showSplit(split) {
  byId("split").hidden = !split;
  if (!split) return;
  setText(byId("split-title"), `The validators contradict each other at enterprise height ${count(split.enterpriseHeight)}`);
  setText(byId("split-signed"), split.oneRound
    ? "Signed both in one round, as no honest validator does, by key:"
    : "Signed both, by key. It was in two rounds: more than a third of all validators broke the rules, but one of these may have been led to it by them.");
  const list = byId("split-culprits");
  if (list.childElementCount === split.culprits.length) return;
  list.replaceChildren(...split.culprits.map((key) => element("li", { class: "mono", text: key })));
}
