// The start view: a form to create or join a network by name, the networks kept in this browser, and the tracker's list,
// asked again every few seconds while the view is shown. Opens nothing itself: it hands the wish to `open`.

import { byId, element, reconcile, setText } from "./dom.js";
import { ago, plural } from "./format.js";
import { isLabel, nameProblem, networkHash } from "./route.js";

const LIST_EVERY_MS = 4000;
const LIST_PATIENCE_MS = 8000;
const ACCESS_HINTS = {
  open: "Whoever knows the name or has the link can join and read.",
  private: "Only who has the invite link can join and read. The tracker sees neither the name nor a word.",
  passphrase: "Only who has the invite link, or the name and a passphrase of five words, can join and read.",
};
const RULE = "1 to 63 characters: a–z, 0–9, - and _. The first is a letter or a digit.";

/**
 * Wires the forms once. `open({networkId, create, listed, access})` is called with a valid name, `openInvited(text)` with an invitation or
 * a private network's link, `openPassphrase(networkId, passphrase)` with both.
 */
export function setUpStart(open, openInvited, openPassphrase) {
  const input = byId("network-id");
  const submit = (create) => {
    const networkId = input.value.trim();
    const problem = !create && isLabel(networkId) ? null : nameProblem(networkId);
    showRule(problem);
    if (problem) {
      input.focus();
      return;
    }
    open({ networkId, create, listed: byId("listed").checked, access: byId("access").value });
  };
  const showAccess = () => {
    const access = byId("access").value;
    byId("listed-choice").hidden = access !== "open";
    setText(byId("access-hint"), ACCESS_HINTS[access]);
  };
  byId("access").addEventListener("change", showAccess);
  showAccess();
  input.addEventListener("input", () => showRule(input.value === "" ? null : nameProblem(input.value.trim())));
  byId("open-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit(true);
  });
  byId("join-network").addEventListener("click", () => submit(false));
  byId("invited-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("invited-text").value.trim();
    if (text === "") byId("invited-text").focus();
    else openInvited(text);
  });
  byId("passphrase-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const [name, words] = [byId("private-id"), byId("passphrase")];
    const missing = [name, words].find((field) => field.value.trim() === "");
    const problem = missing ? "Both the name and the passphrase are needed." : nameProblem(name.value.trim());
    setText(byId("passphrase-rule"), problem ?? "");
    if (problem) (missing ?? name).focus();
    else openPassphrase(name.value.trim(), words.value.trim());
  });
}

/** Shows the view and keeps its lists fresh; returns a function that stops that. */
export function showStart() {
  let stopped = false;
  let timer;
  const tick = async () => {
    if (document.visibilityState === "visible") await showListed();
    if (!stopped) timer = setTimeout(tick, LIST_EVERY_MS);
  };
  const onVisible = () => {
    if (document.visibilityState === "visible") showListed();
  };
  document.addEventListener("visibilitychange", onVisible);
  tick();
  showStored();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisible);
  };
}

function showRule(problem) {
  const rule = byId("network-rule");
  setText(rule, problem ?? RULE);
  rule.dataset.level = problem ? "error" : "";
  byId("network-id").setAttribute("aria-invalid", problem ? "true" : "false");
}

async function showListed() {
  let networks;
  try {
    const response = await fetch("api/network-list", { signal: AbortSignal.timeout(LIST_PATIENCE_MS), cache: "no-store" });
    if (!response.ok) throw new Error(`the tracker answered ${response.status}`);
    networks = await response.json();
    if (!Array.isArray(networks)) throw new Error("the tracker's answer is not a list");
  } catch {
    byId("network-list").replaceChildren();
    setText(byId("listed-state"), "Tracker not reachable");
    showEmpty("No answer from the tracker", "Networks kept in this browser still open. The list comes back by itself once the tracker runs.");
    return;
  }
  setText(byId("listed-state"), networks.length === 0 ? "" : plural(networks.length, "network"));
  reconcile(byId("network-list"), networks, (network) => network.id, listedItem, (item, network) => {
    setText(item.querySelector(".choice-note"), network.peer_count === 0 ? "nobody online" : plural(network.peer_count, "peer"));
  });
  if (networks.length === 0) showEmpty("No network is listed yet", "Create the first one: type a name and choose Create network.");
  else byId("listed-empty").hidden = true;
}

function showEmpty(title, text) {
  const empty = byId("listed-empty");
  empty.replaceChildren(element("strong", { text: title }), element("span", { text }));
  empty.hidden = false;
}

function listedItem(network) {
  return choice(networkHash(network.id), network.name ?? network.id, { testid: "network-item", network: network.id });
}

function choice(href, name, data) {
  return element("li", { data }, element("a", { class: "choice", href },
    element("span", { class: "choice-name", text: name }), element("span", { class: "choice-note" })));
}

/** The node's script is small and loads no WebAssembly until a network is opened. */
async function showStored() {
  let stored = [];
  try {
    const { DistliNode } = await import("./node/distli-node.js");
    stored = await DistliNode.stored();
  } catch (error) {
    console.warn("the list of stored networks is not available", error);
  }
  const labels = new Map();
  for (const { networkId } of stored) labels.set(networkId, (labels.get(networkId) ?? 0) + 1);
  reconcile(byId("stored-list"), stored, (network) => network.chainId, (network) => {
    return choice(networkHash(network.networkId, network.chainId), network.networkId, { testid: "stored-item", network: network.networkId });
  }, (item, network) => {
    const shared = labels.get(network.networkId) > 1;
    setText(item.querySelector(".choice-name"), shared ? `${network.networkId}~${network.chainId.slice(0, 8)}` : network.networkId);
    const height = network.height === undefined || network.height === null ? "" : `${plural(network.height, "block")} · `;
    const access = network.access === "private" ? `private${network.movedTo ? ", moved" : ""} · ` : "";
    setText(item.querySelector(".choice-note"), `${access}${height}added ${ago(network.addedAt)}`);
  });
  byId("stored").hidden = stored.length === 0;
}
