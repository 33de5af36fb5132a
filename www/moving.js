// Moving a private network whose invite leaked: the owner chooses who comes along; everybody's page follows.

import { byId, element, reconcile, setText } from "./dom.js";
import { plural } from "./format.js";
import { notify, notifyError } from "./notices.js";
import { networkHash } from "./route.js";

/** Shows the part of the invite dialog that is the owner's. */
export async function showMoving(node, names) {
  const { owner, members } = await node.members();
  await names.learn(members);
  byId("moving").hidden = !owner;
  reconcile(byId("moving-members"), members, (key) => key, (key) => element("li", {}, element("label", { class: "check" },
    element("input", { type: "checkbox", value: key, checked: true, data: { testid: "moving-member" } }), element("span", { class: "mono", text: names.label(key) }))));
  setText(byId("moving-title"), members.length === 0 ? "Did it leak? Nobody else is known here yet" : "Did it leak? Choose who comes along");
}

/** Wires the owner's form, and follows a move wherever it came from. */
export function setUpMoving(node, signal) {
  byId("moving").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = byId("move");
    if (button.dataset.busy === "true") return;
    button.dataset.busy = "true";
    try {
      const chosen = [...byId("moving-members").querySelectorAll("input:checked")].map((box) => box.value);
      const { members } = await node.moveNetwork({ members: chosen });
      byId("inviting").close();
      notify({ title: `Moving, with ${plural(members - 1, "member")}`, text: "One more block is mined here, so that those who are away hear of it, too. Then this page follows." });
      const { mining } = await node.status();
      if (mining.when === "off") await node.startMining({ when: "pending" });
    } catch (error) {
      notifyError("The network was not moved", error);
    } finally {
      delete button.dataset.busy;
    }
  }, { signal });
  node.addEventListener("moved", ({ detail }) => onMoved(node, detail), { signal });
}

async function onMoved(node, { networkId, chainId, joined, confirmed, known }) {
  if (!joined) {
    if (confirmed) notify({ level: "warning", title: "The owner moved this network, without this tab", text: "Ask the owner for the new invite link. What is here stays readable." });
    return;
  }
  const { owner } = await node.members();
  // The owner stays until the record is in a block: somebody has to mine it.
  if (owner && !confirmed) return;
  if (known) {
    notify({ title: "The owner moved this network", text: "This is the old one. The new one is in the list of networks kept in this browser." });
    return;
  }
  location.hash = networkHash(networkId, chainId);
  // After the address: a new view clears the notices.
  setTimeout(() => notify({ title: "The owner moved the network here", text: "The old one stays in the list of networks kept in this browser, to be read." }), 500);
}
