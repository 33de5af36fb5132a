// The chain as a rail, newest first: what is pending (the next block), then the blocks, then the genesis.
// Shows what it is given; asks for nothing itself.

import { byId, copyButton, element, reconcile, setText } from "./dom.js";
import { count, plural, setTime, shortHash } from "./format.js";

const PENDING_SHOWN_MAX = 50;
const TRANSACTIONS_SHOWN_MAX = 20;
const FOLD_CHARACTERS = 420;
const STAGES = { anchored: ["Anchored", "Anchored"], final: ["Final", "Final"] };
const FRESH_MS = 30_000;
const MINER_KEY_DIGITS = 64;

/** Shows the pending transactions as the block that is to come. */
export function showPending(pending, status, names) {
  const next = count((status?.height ?? 0) + 1);
  const mining = status?.mining;
  setText(byId("next-title"), `Next block, ${next}`);
  setText(byId("next-count"), pending.length === 0 ? "nothing pending" : `${count(pending.length)} pending`);
  setText(byId("next-hint"), nextHint(pending.length, mining, status));
  byId("next-mark").dataset.stage = mining?.active ? "live" : pending.length > 0 ? "wait" : "";
  const shown = pending.slice(0, PENDING_SHOWN_MAX);
  reconcile(byId("pending-list"), shown, (transaction) => transaction.tx_id,
    (transaction) => message(transaction, names, { testid: "pending-item", txid: transaction.tx_id }),
    (item, transaction) => setStage(item, "pending", transaction.on_peers > 0 ? `On ${plural(transaction.on_peers, "peer")}` : "On this device only"));
  const more = byId("pending-more");
  more.hidden = pending.length <= PENDING_SHOWN_MAX;
  setText(more, `and ${count(pending.length - PENDING_SHOWN_MAX)} more`);
}

/** Shows what lost its place in the sequence; a message can be sent again. */
export function showDisplaced(displaced, names, sendAgain) {
  byId("displaced").hidden = displaced.length === 0;
  setText(byId("displaced-count"), displaced.length === 0 ? "" : count(displaced.length));
  reconcile(byId("displaced-list"), displaced, (transaction) => transaction.tx_id, (transaction) => {
    const row = message(transaction, names, { testid: "conflict-item", txid: transaction.tx_id });
    if (transaction.kind === "message") row.append(againButton(transaction.text, sendAgain));
    return row;
  }, (row) => setStage(row, "fail", "Displaced"));
}

/** Shows blocks (newest first) and how far they are settled. */
export function showBlocks(blocks, status, names) {
  const [anchored, last] = [status?.anchoredHeight ?? 0, status?.finalHeight ?? 0];
  reconcile(byId("block-list"), blocks, (block) => block.block_hash, (block) => blockItem(block, names), (item, block) => {
    const stage = block.block_id <= last ? "final" : block.block_id <= anchored ? "anchored" : "block";
    const [word, rowWord] = STAGES[stage] ?? ["Not anchored yet", `In block ${count(block.block_id)}`];
    const state = item.querySelector(".link-state");
    item.querySelector(":scope > .mark").dataset.stage = stage;
    setText(state, word);
    showProof(item, stage === "final" ? status : null);
    item.dataset.stage = stage;
    for (const row of item.querySelectorAll(".message")) setStage(row, stage, rowWord);
  });
}

/** Under which height of the enterprise chain a block is final, and who signed that: text that opens by touch and keyboard. */
function showProof(item, status) {
  const shown = item.querySelector(".proof");
  if (!status?.signers?.length) {
    shown?.remove();
    return;
  }
  const proof = shown ?? element("details", { class: "proof", data: { testid: "final-proof" } }, element("summary", { data: { testid: "final-proof-signers" } }), element("p"));
  setText(proof.firstElementChild, `Final at enterprise height ${count(status.enterpriseHeight)}, ${plural(status.signers.length, "signature")}`);
  setText(proof.lastElementChild, `Signed by ${status.signers.join(", ")}. This browser verified it.`);
  if (!shown) item.querySelector(".link-meta").after(proof);
}

/** The public key in a block's miner record. */
export function minerKey(block) {
  return String(block.miner ?? "").slice(0, MINER_KEY_DIGITS);
}

function nextHint(pending, mining, status) {
  if (mining?.active) return pending > 0 ? "This tab is computing its proof of work." : "This tab is computing an empty block.";
  if (pending > 0 && mining?.when !== "off") return "About to be mined here.";
  if (pending > 0) return "Waits for a miner: turn on Mine, or wait for a peer that mines.";
  if ((status?.height ?? 0) === 0) return "Write the first message above, then turn on Mine to put it in block 1.";
  return "What you or a peer sends appears here until a block holds it.";
}

function blockItem(block, names) {
  const transactions = block.transactions ?? [];
  const fresh = Date.now() - block.timestamp < FRESH_MS;
  const miner = minerKey(block);
  const head = element("div", { class: "link-head" },
    element("h3", { text: `Block ${count(block.block_id)}` }), element("span", { class: "link-state" }));
  const meta = element("p", { class: "link-meta" },
    copyButton(block.block_hash, shortHash(block.block_hash), "Block hash"),
    element("span", { class: names.isOwn(miner) ? "you" : "", text: `mined by ${names.label(miner)}` }),
    setTime(element("time"), block.timestamp),
    element("span", { text: contents(transactions) }));
  const body = element("div", { class: "link-body" }, head, meta);
  if (transactions.length > 0) body.append(...transactionList(transactions, names));
  return element("li", {
    class: fresh ? "link fresh" : "link",
    data: { testid: "block-item", height: String(block.block_id), hash: block.block_hash },
  }, element("span", { class: "mark", "aria-hidden": "true" }), body);
}

function contents(transactions) {
  const messages = transactions.filter((transaction) => transaction.kind === "message").length;
  if (transactions.length === 0) return "no transactions";
  const records = transactions.length - messages;
  if (records === 0) return plural(messages, "message");
  return `${plural(transactions.length, "transaction")}, ${plural(messages, "message")}`;
}

function transactionList(transactions, names) {
  const rows = (part) => part.map((transaction) => message(transaction, names, { txid: transaction.tx_id }));
  const list = element("ol", { class: "messages" }, ...rows(transactions.slice(0, TRANSACTIONS_SHOWN_MAX)));
  const rest = transactions.slice(TRANSACTIONS_SHOWN_MAX);
  if (rest.length === 0) return [list];
  const more = element("button", { type: "button", class: "text-button", text: `Show ${count(rest.length)} more` });
  more.addEventListener("click", () => {
    const { stage } = list.firstElementChild.dataset;
    const words = list.querySelector(".stage-words").textContent;
    list.append(...rows(rest));
    for (const row of list.children) setStage(row, stage, words);
    more.remove();
  });
  return [list, more];
}

function message(transaction, names, data) {
  const record = transaction.kind === "record";
  const words = record ? `Record, ${plural((transaction.raw ?? "").length / 2, "byte")} signed` : transaction.text ?? "";
  const text = element("p", { class: record ? "message-text record" : "message-text", text: words, dir: "auto" });
  const own = names.isOwn(transaction.from);
  const meta = element("p", { class: "message-meta" },
    element("span", { class: own ? "you" : "mono", text: names.label(transaction.from), title: transaction.from }),
    setTime(element("time"), transaction.timestamp), stageMark());
  return element("li", { class: "message", data }, text, foldLong(text, words), meta);
}

function againButton(text, sendAgain) {
  const button = element("button", { type: "button", class: "text-button", text: "Send again" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    const sent = await sendAgain(text);
    setText(button, sent ? "Sent again" : "Send again");
    button.disabled = sent;
  });
  return button;
}

/** Long messages are folded; the text is all there, only clipped. */
function foldLong(text, words) {
  if (words.length <= FOLD_CHARACTERS && words.split("\n").length <= 6) return null;
  text.classList.add("folded");
  const button = element("button", { type: "button", class: "text-button", text: "Show all", "aria-expanded": "false" });
  button.addEventListener("click", () => {
    const folded = text.classList.toggle("folded");
    setText(button, folded ? "Show all" : "Show less");
    button.setAttribute("aria-expanded", String(!folded));
  });
  return button;
}

function stageMark() {
  return element("span", { class: "state" }, element("span", { class: "mark", "aria-hidden": "true" }), element("span", { class: "stage-words" }));
}

function setStage(row, stage, words) {
  row.dataset.stage = stage;
  row.querySelector(".message-meta .mark").dataset.stage = stage;
  setText(row.querySelector(".stage-words"), words);
}
