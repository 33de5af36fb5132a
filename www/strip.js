// The status strip, the list of peers and the facts of a network, from one Status.

import { byId, copyButton, element, reconcile, setText, state } from "./dom.js";
import { bytes, count, plural, shortHash } from "./format.js";
import { shortPeer } from "./names.js";

const TRACKER = {
  connected: { word: "Connected", level: "ok" },
  connecting: { word: "Connecting", level: "wait" },
  offline: { word: "Offline", level: "wait" },
};
const ALONE = {
  online: ["You are the only one here", "Open this page in another tab or share the link: both become peers and find each other."],
  offline: ["No peers, and no tracker to meet them", "What you send and mine is kept here. Other tabs of this browser are found at once; another person can be reached without a server, below. Once the tracker answers, everyone is."],
};
const TRANSPORT = {
  direct: ["ok", "direct"],
  relay: ["block", "by relay"],
  connecting: ["wait", "connecting"],
};

/** Shows everything of a status that is not mining or chain. `storageFault` is the last storage error, if one stands. */
export function showStatus(status, storageFault) {
  showHeight(status);
  showPeers(status);
  showAnchor(status);
  showFinal(status);
  showTracker(status);
  showStorage(status.storage ?? {}, storageFault);
  showFacts(status);
}

function showHeight(status) {
  const best = Math.max(status.bestHeight ?? 0, status.height);
  const syncing = best > status.height;
  setText(byId("height"), count(status.height));
  byId("height").dataset.value = String(status.height);
  let note = status.height === 0 ? "no block yet" : `tip ${shortHash(status.tipHash, 6, 4)}`;
  if (syncing) note = `syncing to ${count(best)}`;
  else if (status.syncing) note = "asking peers for newer blocks";
  setText(byId("height-note"), note);
  const progress = byId("sync-progress");
  progress.hidden = !syncing;
  progress.max = best;
  progress.value = status.height;
}

function showPeers(status) {
  const peers = status.peers ?? [];
  const live = peers.filter((peer) => peer.transport !== "connecting");
  const direct = live.filter((peer) => peer.transport === "direct").length;
  setText(byId("peer-count"), count(live.length));
  const notes = [];
  if (direct > 0) notes.push(`${direct} direct`);
  if (live.length > direct) notes.push(`${live.length - direct} by relay`);
  if (peers.length > live.length) notes.push(`${peers.length - live.length} connecting`);
  setText(byId("peer-note"), notes.length > 0 ? notes.join(", ") : "only this tab");
  reconcile(byId("peer-list"), peers, (peer) => peer.id, (peer) => element("li", { data: { testid: "peer-item", peer: peer.id } },
    element("span", { class: "mono", text: shortPeer(peer.id), title: peer.id }), element("span", { class: "small soft peer-transport" })), (item, peer) => {
    if (item.dataset.transport === peer.transport) return;
    item.dataset.transport = peer.transport;
    const [stage, words] = TRANSPORT[peer.transport] ?? ["", peer.transport];
    item.querySelector(".peer-transport").replaceChildren(state(stage, words));
  });
  byId("alone").hidden = peers.length > 0;
  const [title, text] = ALONE[status.tracker === "connected" ? "online" : "offline"];
  setText(byId("alone-title"), title);
  setText(byId("alone-text"), text);
  byId("peer-list").hidden = peers.length === 0;
}

function showAnchor(status) {
  const anchored = status.anchoredHeight ?? 0;
  const synced = status.syncedHeight ?? 0;
  setText(byId("anchored"), count(anchored));
  const behind = status.height - anchored;
  let note = "up to the tip";
  if (status.height === 0) note = "nothing to anchor";
  else if (behind > 0 && synced > anchored) note = `tracker has ${count(synced)}`;
  else if (behind > 0) note = status.access === "private" && anchored + synced === 0 ? "not reported" : `${plural(behind, "block")} to report`;
  setText(byId("anchored-note"), note);
}

/** What this browser has proved final; who signed that is told in the blocks. */
function showFinal(status) {
  const last = status.finalHeight ?? 0;
  setText(byId("final"), count(last));
  const place = byId("final-note");
  if (last > 0 && status.signers?.length > 0) {
    setText(place, `enterprise height ${count(status.enterpriseHeight)}, ${plural(status.signers.length, "signature")}`);
    place.title = "";
  } else {
    setText(place, last > 0 ? "" : "nothing proved yet");
    place.title = status.access === "private"
      ? "Blocks of a private network become final if its owner has them reported: sealed, by the tab that made the network."
      : "A block becomes final some time after it was anchored, if nothing heavier comes.";
  }
}

function showTracker(status) {
  const { word, level } = TRACKER[status.tracker] ?? { word: status.tracker ?? "Unknown", level: "wait" };
  const place = byId("tracker-state");
  setText(place, word);
  place.dataset.state = status.tracker ?? "";
  place.dataset.level = level;
  setText(byId("tracker-note"), status.tracker === "connected" ? host(status.trackerUrl) : status.tracker === "offline" ? "peers go on without it" : host(status.trackerUrl));
}

function showStorage(storage, fault) {
  const place = byId("storage-state");
  setText(place, fault ? "Not saved" : "Saved");
  place.dataset.level = fault ? "fail" : "ok";
  const used = storage.usageBytes ? bytes(storage.usageBytes) : "";
  let note = storage.writer ? "this tab writes" : "another tab writes";
  if (storage.locks === false) note = "use one tab only: no locks here";
  setText(byId("storage-note"), fault ?? [used, note].filter(Boolean).join(", "));
  place.title = storage.quotaBytes ? `${used} of ${bytes(storage.quotaBytes)}${storage.persisted ? "" : "; the browser may clear it when space is short, so export now and then"}` : "";
}

function showFacts(status) {
  fact("fact-chain", status.chainId, "Chain id");
  fact("fact-tip", status.tipHash, "Tip hash");
  fact("fact-peer", status.peerId, "Peer id");
  setText(byId("self-name"), `you are ${shortPeer(status.peerId)}`);
  setText(byId("genesis-note"), `The network's rules and name. Its hash ${shortHash(status.chainId)} is the chain id.`);
}

function fact(id, value, what) {
  const place = byId(id);
  if (!value || place.dataset.value === value) return;
  place.dataset.value = value;
  place.replaceChildren(copyButton(value, shortHash(value), what));
}

function host(url) {
  try {
    return new URL(url, location.href).host;
  } catch {
    return "no tracker set";
  }
}
