// The dashboard page: shows each snapshot of the enterprise chain, its tenants and its tracker as it is pushed.
// The stream is `api/stream` (server-sent events); while that is down, `api/snapshot` is asked every few seconds.
// Nothing is computed here that the services do not say, and all their text enters the page as text.

import { byId, copyButton, element, reconcile, setText, state } from "./dom.js";
import { ago, count, duration, plural, refreshTimes, setTime, shortHash } from "./format.js";

const POLL_EVERY_MS = 5000;
const POLL_PATIENCE_MS = 8000;
const RECONNECT_MS = 3000;
/** Reconnecting is tried this long before polling starts. */
const POLL_AFTER_MS = 6000;
const BLOCKS_SHOWN_MAX = 12;
const MESSAGES_SHOWN_MAX = 6;
const STREAM = {
  live: ["live", "Live"],
  reconnecting: ["wait", "Reconnecting"],
  polling: ["block", "Polling"],
  down: ["fail", "No connection"],
};
const HEALTH = { healthy: "ok", degraded: "wait", no_quorum: "fail", unhealthy: "fail" };

let source = null;
let pollTimer = null;
let brokenSince = null;
let updatedAt = null;
let fingerprint = "";
/** The last status as text and when the validator that gave it started. */
let statusSeen = "";
let startedAt = null;

openStream();
setInterval(() => {
  refreshTimes();
  showUpdated();
  showUptime();
}, 1000);

// Connection ---------------------------------------------------------------------------------------------------------

function openStream() {
  source = new EventSource("api/stream");
  source.addEventListener("snapshot", (event) => {
    brokenSince = null;
    stopPolling();
    showStream("live");
    receive(event.data);
  });
  source.addEventListener("error", () => {
    brokenSince ??= Date.now();
    if (pollTimer === null) showStream("reconnecting");
    if (Date.now() - brokenSince >= POLL_AFTER_MS) startPolling();
    else setTimeout(() => { if (brokenSince !== null) startPolling(); }, POLL_AFTER_MS);
    if (source.readyState === EventSource.CLOSED) setTimeout(openStream, RECONNECT_MS);
  });
}

function startPolling() {
  if (pollTimer === null) poll();
}

function stopPolling() {
  clearTimeout(pollTimer);
  pollTimer = null;
}

async function poll() {
  pollTimer = setTimeout(poll, POLL_EVERY_MS);
  try {
    const response = await fetch("api/snapshot", { signal: AbortSignal.timeout(POLL_PATIENCE_MS), cache: "no-store" });
    if (!response.ok) throw new Error(`the dashboard service answered ${response.status}`);
    const text = await response.text();
    if (pollTimer === null) return;
    showStream("polling");
    receive(text);
  } catch (error) {
    console.warn("polling failed", error);
    if (pollTimer !== null) showStream("down");
  }
}

function showStream(name) {
  const place = byId("stream");
  if (place.dataset.state === name) return;
  place.dataset.state = name;
  const [stage, words] = STREAM[name];
  place.querySelector(".mark").dataset.stage = stage;
  setText(byId("stream-words"), words);
  const down = name === "down";
  document.body.classList.toggle("stale", down);
  if (down) notice("The dashboard service does not answer", "Start it again (make run, or the dashboard program). This page reconnects by itself; what you see is the last state it had.");
  else hideNotice();
}

function receive(text) {
  let snapshot;
  try {
    snapshot = JSON.parse(text);
  } catch {
    notice("The dashboard service sent something unreadable", "Its version may differ from this page's: reload the page.");
    return;
  }
  hideNotice();
  updatedAt = Date.now();
  showUpdated();
  if (fingerprint === text) return;
  fingerprint = text;
  show(snapshot);
}

function notice(title, text) {
  setText(byId("notice-title"), title);
  setText(byId("notice-text"), text);
  byId("notice").hidden = false;
}

function hideNotice() {
  byId("notice").hidden = true;
}

function showUpdated() {
  setText(byId("updated"), updatedAt === null ? "No data yet" : `Updated ${ago(updatedAt)}`);
}

// Snapshot -----------------------------------------------------------------------------------------------------------

function show(snapshot) {
  const status = snapshot.status ?? null;
  const tenants = snapshot.tenants?.tenants ?? [];
  const blocks = (snapshot.blocks ?? []).slice(0, BLOCKS_SHOWN_MAX);
  const networks = snapshot.tracker?.networks ?? [];
  const peers = new Map(networks.map((network) => [network.id, network.peer_count]));
  const link = snapshot.validator ?? { reachable: status !== null };
  noteStart(status, link, snapshot.at ?? Date.now());
  showOverview(status, tenants, networks);
  showHealth(snapshot.health ?? null, status, [["validator", link.reachable], ["tracker", snapshot.tracker?.reachable ?? true]]);
  showValidator(status, link);
  showMembers(status?.consensus ?? null);
  showTenants(tenants, peers, status !== null);
  showBlocks(blocks, status);
  showTracker(snapshot.tracker ?? null, networks);
}

function showOverview(status, tenants, networks) {
  setText(byId("height"), status ? count(status.height) : "–");
  byId("height").dataset.value = status ? String(status.height) : "";
  byId("height-note").replaceChildren(status?.latest_block_time ? setTime(element("time"), status.latest_block_time) : status ? "no block yet" : "");
  setText(byId("tenant-count"), status ? count(status.active_tenants ?? tenants.length) : "–");
  const online = networks.reduce((sum, network) => sum + network.peer_count, 0);
  setText(byId("tenant-note"), networks.length > 0 ? `${plural(online, "peer")} online` : "");
  setText(byId("transaction-count"), status ? count(status.total_transactions) : "–");
  setText(byId("transaction-note"), status ? status.pending_transactions > 0 ? `${count(status.pending_transactions)} pending` : "none pending" : "");
  const tip = byId("chain-tip");
  if (tip.dataset.hash !== status?.latest_hash) {
    tip.dataset.hash = status?.latest_hash ?? "";
    tip.replaceChildren(...(status?.latest_hash ? ["tip ", copyButton(status.latest_hash, shortHash(status.latest_hash), "Tip hash")] : []));
  }
}

/** One line a validator; nothing when there is only one. */
function showMembers(consensus) {
  const members = consensus?.validators ?? [];
  byId("members").hidden = members.length < 2;
  const proofs = consensus?.evidence ?? 0;
  const quorum = consensus ? `${consensus.alive} of ${members.length} heard, ${consensus.quorum} needed to decide` : "";
  setText(byId("members-note"), proofs > 0 ? `${quorum}; ${plural(proofs, "proof")} of a contradiction at the validator's /api/evidence` : quorum);
  reconcile(byId("member-list"), members, (member) => member.key, memberItem, (item, member) => {
    const state = item.querySelector(".member-state");
    const heard = member.alive ? member.skipped ? "Heard, passed over for a while" : "Heard" : "Not heard";
    const contradicted = member.contradicted_at > 0;
    setText(state, contradicted ? `${heard}; contradicted itself at height ${count(member.contradicted_at)}` : heard);
    state.dataset.level = contradicted || !member.alive ? "fail" : member.skipped ? "wait" : "ok";
    setText(item.querySelector(".member-height"), `height ${count(member.height)}`);
  });
}

function memberItem(member) {
  return element("li", { data: { testid: "dash-member", member: member.name } },
    element("span", { class: "member-name", text: member.name }), copyButton(member.key, shortHash(member.key), "Public key"),
    element("span", { class: "small soft member-height" }), element("span", { class: "small state member-state" }));
}

/** The numbers stay as last known while the validator is away; this cell says so. */
function showValidator(status, link) {
  setText(byId("validator"), link.reachable ? capital(status?.validator_status ?? "starting") : "Not reachable");
  byId("validator").dataset.level = link.reachable ? "ok" : "fail";
  const others = Array.isArray(status?.active_validators) ? status.active_validators.length : status?.active_validators;
  const known = status ? `${status.validator}${others > 1 ? `, ${others} active` : ""}` : "";
  setText(byId("validator-note"), link.reachable ? known : status ? "numbers are the last known" : "start it, or check its address");
  byId("validator-note").title = link.reason ?? "";
  setText(byId("uptime-note"), status ? `${plural(status.total_blocks, "block")} in all` : "");
  showUptime();
}

/** A status is pushed only when it changes; the clock in between goes on here. */
function noteStart(status, link, at) {
  const seen = link.reachable ? JSON.stringify(status) : "";
  if (seen === statusSeen) return;
  statusSeen = seen;
  startedAt = link.reachable && status ? at - status.uptime * 1000 : null;
}

function showUptime() {
  setText(byId("uptime"), startedAt === null ? "–" : duration(Date.now() - startedAt));
}

function showHealth(health, status, links) {
  const stalled = status?.chain_health === "no_quorum";
  const verdict = stalled ? "no_quorum" : health?.status ?? status?.chain_health ?? "unknown";
  const place = byId("health");
  setText(place, capital(verdict));
  place.dataset.state = verdict;
  place.dataset.level = HEALTH[verdict] ?? "wait";
  const reasons = Object.entries(health?.checks ?? {}).map(([name, words]) => `${name}: ${words}`);
  const away = links.filter(([, reachable]) => !reachable).map(([name]) => name);
  let note = reasons.length > 0 ? `${plural(reasons.length, "check")} passed` : "";
  if (away.length > 0) note = `${away.join(" and ")} not reachable`;
  else if (stalled) note = "updates are kept, and decided when enough validators are back";
  else if (verdict !== "healthy") note = reasons.join("; ");
  setText(byId("health-note"), note);
  place.title = reasons.join("\n");
}

function showTenants(tenants, peers, reachable) {
  const newest = [...tenants].sort((left, right) => right.last_activity - left.last_activity);
  setText(byId("tenants-total"), tenants.length > 0 ? "last active first" : "");
  reconcile(byId("tenant-list"), newest, (tenant) => tenant.chain_id || tenant.tenant_id, tenantItem, (item, tenant) => {
    setText(item.querySelector("[data-testid=dash-tenant-blocks]"), count(tenant.block_count));
    showHash(item.querySelector("[data-testid=dash-tenant-tip]"), tenant.tip_hash, "Hash of the anchored tip");
    setText(item.querySelector("[data-testid=dash-tenant-final]"), tenant.final_height > 0 ? count(tenant.final_height) : "–");
    showHash(item.querySelector("[data-testid=dash-tenant-final-hash]"), tenant.final_hash, "Hash of the newest final block");
    setText(item.querySelector("[data-testid=dash-tenant-transactions]"), count(tenant.transaction_count));
    const online = peers.get(tenant.tenant_id);
    setText(item.querySelector(".tenant-peers"), online === undefined ? "–" : count(online));
    setTime(item.querySelector(".tenant-head time"), tenant.last_activity);
    showMessages(item.querySelector(".tenant-messages"), tenant.recent_messages ?? []);
  });
  const empty = byId("tenants-empty");
  empty.hidden = tenants.length > 0;
  if (reachable) fillEmpty(empty, "No tenant has reported yet", "Open the app, create a network, send a message and mine it. Its first block makes it appear here.");
  else fillEmpty(empty, "The validator does not answer", "Start it (make run starts all three), or give the dashboard its address with VALIDATOR_URL.");
}

function tenantItem(tenant) {
  const number = (label, attributes, ...notes) => element("div", {}, element("dt", { text: label }), element("dd", attributes), ...notes);
  const hash = (name) => element("dd", { class: "tenant-hash", data: { testid: name } });
  return element("li", { class: "panel", data: { testid: "dash-tenant", tenant: tenant.tenant_id } },
    element("div", { class: "tenant-head" }, element("h3", { class: "tenant-name", text: tenant.tenant_id }),
      tenant.chain_id ? element("span", { class: "small soft" }, copyButton(tenant.chain_id, shortHash(tenant.chain_id), "Chain id")) : null,
      element("span", { class: "small soft" }, "active ", element("time"))),
    element("dl", { class: "tenant-numbers" },
      number("Anchored blocks", { data: { testid: "dash-tenant-blocks" } }, hash("dash-tenant-tip")),
      number("Final up to", { data: { testid: "dash-tenant-final" } }, hash("dash-tenant-final-hash")),
      number("Transactions", { data: { testid: "dash-tenant-transactions" } }),
      number("Peers online", { class: "tenant-peers" })),
    element("ul", { class: "tenant-messages", "aria-label": `Recent messages of ${tenant.tenant_id}`, data: { testid: "dash-tenant-messages" } }));
}

/** Shows a hash that changes now and then; nothing while there is none. */
function showHash(place, hash, label) {
  if (place.dataset.shown === (hash ?? "")) return;
  place.dataset.shown = hash ?? "";
  place.replaceChildren(...(hash ? [copyButton(hash, shortHash(hash), label)] : []));
}

/** A message comes as "Block #3: Hello"; only that prefix is set apart, the text is never split further. */
function showMessages(list, messages) {
  const text = JSON.stringify(messages);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  const rows = messages.slice(0, MESSAGES_SHOWN_MAX).map((message) => {
    const [, height, words] = /^Block #(\d+): ([\s\S]*)$/.exec(message) ?? [null, null, message];
    return element("li", {}, element("span", { class: "message-place", text: height === null ? "" : `Block ${count(height)}` }),
      element("span", { class: "message-text", text: words, dir: "auto" }));
  });
  list.replaceChildren(...(rows.length > 0 ? rows : [element("li", { class: "quiet", text: "No messages yet." })]));
}

function showBlocks(blocks, status) {
  reconcile(byId("block-list"), blocks, (block) => block.hash, blockItem, (item, block) => {
    setTime(item.querySelector("time"), block.timestamp);
  });
  const empty = byId("blocks-empty");
  empty.hidden = blocks.length > 0;
  if (status) fillEmpty(empty, "The enterprise chain is empty", "It decides its first block when the tracker reports a tenant's first block.");
  else fillEmpty(empty, "No blocks to show", "They appear as soon as the validator answers.");
}

function blockItem(block) {
  const rows = anchored(block).map(({ network, heights, transactions }) => element("li", {},
    element("span", { text: `${network}, ${heights.size === 1 ? "block" : "blocks"} ${span(heights)}` }), element("span", { text: plural(transactions, "transaction") })));
  const uncounted = rows.length === 0 && block.tenant_block_count > 0 ? plural(block.tenant_block_count, "tenant block") : "no transactions";
  return element("li", { class: "link", data: { testid: "dash-block", height: String(block.height), hash: block.hash } },
    element("span", { class: "mark", data: { stage: "anchored" }, "aria-hidden": "true" }),
    element("div", { class: "link-body" },
      element("div", { class: "link-head" }, element("h3", { text: `Block ${count(block.height)}` }), element("time", { class: "link-state" })),
      element("p", { class: "link-meta" }, copyButton(block.hash, shortHash(block.hash), "Block hash"), element("span", { text: `by ${block.validator}` })),
      rows.length > 0 ? element("ul", { class: "anchors", "aria-label": "What it anchors" }, ...rows) : element("p", { class: "small soft", text: uncounted })));
}

/** Groups a block's transactions by tenant chain. */
function anchored(block) {
  const groups = new Map();
  for (const transaction of block.transactions ?? []) {
    const key = transaction.chain_id || transaction.tenant_network;
    const group = groups.get(key) ?? { network: transaction.tenant_network, heights: new Set(), transactions: 0 };
    group.heights.add(Number(transaction.tenant_block_id));
    group.transactions += 1;
    groups.set(key, group);
  }
  return [...groups.values()];
}

function span(heights) {
  const first = Math.min(...heights);
  const last = Math.max(...heights);
  return first === last ? count(first) : `${count(first)} to ${count(last)}`;
}

function showTracker(tracker, networks) {
  const reachable = tracker !== null && tracker.reachable !== false;
  const verdict = tracker?.health?.status;
  const words = !reachable ? "Not reachable" : verdict && verdict !== "healthy" ? capital(verdict) : "Connected";
  const place = byId("tracker-state");
  const stage = !reachable ? "fail" : words === "Connected" ? "ok" : "wait";
  if (place.dataset.shown !== words) {
    place.dataset.shown = words;
    place.replaceChildren(state(stage, words));
  }
  reconcile(byId("network-list"), networks, (network) => network.id,
    (network) => element("li", { data: { testid: "dash-network", network: network.id } }, element("span", { text: network.name ?? network.id }), element("span", { class: "small soft" })),
    (item, network) => setText(item.lastElementChild, network.peer_count === 0 ? "nobody online" : plural(network.peer_count, "peer")));
  const empty = byId("tracker-empty");
  empty.hidden = networks.length > 0;
  if (reachable) fillEmpty(empty, "No network is listed", "Unlisted networks work too; they are shown under Tenants once anchored.");
  else fillEmpty(empty, "The tracker does not answer", "Start it, or give the dashboard its address with TRACKER_URL. Browsers go on without it.");
}

function fillEmpty(place, title, text) {
  if (place.dataset.shown === title) return;
  place.dataset.shown = title;
  place.replaceChildren(element("strong", { text: title }), element("span", { text }));
}

function capital(word) {
  const text = String(word).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
