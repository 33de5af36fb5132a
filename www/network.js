// One open network on the page: connects the node's events to the strip, the mining panel, the chain and the notices,
// and the composer and file buttons to the node. Holds no chain data beyond what is shown.

import { byId, copyFrom, drawQr, setText } from "./dom.js";
import { count } from "./format.js";
import { minerKey, showBlocks, showDisplaced, showPending } from "./ledger.js";
import { setUpMining } from "./mining.js";
import { Names } from "./names.js";
import { notify, notifyError } from "./notices.js";
import { setUpMoving, showMoving } from "./moving.js";
import { setUpPairing } from "./pairing.js";
import { setUpProving } from "./proving.js";
import { networkHash } from "./route.js";
import { setUpSplit } from "./split.js";
import { showStatus } from "./strip.js";
import { setUpComposer } from "./composer.js";
import { setUpFiles } from "./files.js";

const PAGE_BLOCKS = 30;
/** What of a status is shown in the blocks. */
const SETTLING = ["anchoredHeight", "finalHeight", "enterpriseHeight"];

/** Shows a node's network. `ready` resolves when its first state is on the page; `stop` disconnects the view from the node. */
export function showNetwork(node, networkId, invitation) {
  const view = new NetworkView(node);
  setText(byId("network-title"), networkId);
  setUpLinks(node, networkId, view);
  setUpMoving(node, view.signal);
  setUpComposer(node, view.signal);
  setUpFiles(node, view.signal);
  setUpPairing(node, view.signal, invitation);
  return { ready: view.start(), stop: () => view.stop() };
}

class NetworkView {
  #node;
  #names = new Names();
  #stopping = new AbortController();
  #showMining;
  #showProving;
  #showSplit;
  #status = null;
  #pending = [];
  #blocks = [];
  #limit = PAGE_BLOCKS;
  #storageFault = null;
  #refreshing = null;
  #refreshAgain = false;

  constructor(node) {
    this.#node = node;
    this.#showMining = setUpMining(node, this.signal);
    this.#showProving = setUpProving(node, this.signal);
    this.#showSplit = setUpSplit(node, this.signal);
  }

  get names() {
    return this.#names;
  }

  get signal() {
    return this.#stopping.signal;
  }

  async start() {
    this.#listen("status", (status) => this.#onStatus(status));
    this.#listen("block", () => this.#refresh());
    this.#listen("pending", (pending) => this.#onPending(pending));
    this.#listen("refused", ({ reason, source }) => notify({
      level: "warning", title: `Refused: ${reason}`, text: source ? `It came from ${source}. Nothing of it entered the chain.` : "Nothing of it entered the chain.",
    }));
    this.#listen("conflict", () => notify({
      level: "warning", title: "Two transactions with one sequence number", text: "A key was used in two places at once; the chain keeps one of the two. If yours was displaced, it is shown below the next block.",
    }));
    this.#listen("tracker", (detail) => this.#onTracker(detail));
    this.#listen("storage", (detail) => this.#onStorage(detail));
    this.#listen("error", ({ message, remedy }) => notify({ level: "error", title: message, text: remedy }));
    byId("older").addEventListener("click", () => {
      this.#limit += PAGE_BLOCKS;
      this.#refresh();
    }, { signal: this.signal });
    const [status, pending] = await Promise.all([this.#node.status(), this.#node.pending()]);
    if (this.signal.aborted) return;
    this.#onStatus(status);
    await this.#onPending(pending);
    await this.#refresh();
  }

  stop() {
    this.#stopping.abort();
  }

  #listen(type, handle) {
    this.#node.addEventListener(type, (event) => handle(event.detail), { signal: this.signal });
  }

  #onStatus(status) {
    const before = this.#status;
    this.#status = status;
    this.#names.setOwn(status.publicKey, status.peerId);
    if (before?.access !== status.access) showAccess(status.access);
    showStatus(status, this.#storageFault);
    this.#showMining(status);
    this.#showProving(status);
    this.#showSplit(status);
    showPending(this.#pending, status, this.#names);
    if ((before?.conflicts ?? 0) !== status.conflicts) this.#readDisplaced();
    if (SETTLING.some((field) => before?.[field] !== status[field])) showBlocks(this.#blocks, status, this.#names);
    if (before && before.tipHash !== status.tipHash) this.#refresh();
  }

  async #onPending(pending) {
    this.#pending = pending;
    await this.#names.learn(pending.map((transaction) => transaction.from));
    if (this.#pending === pending && !this.signal.aborted) showPending(pending, this.#status, this.#names);
  }

  async #readDisplaced() {
    try {
      const displaced = await this.#node.conflicts();
      await this.#names.learn(displaced.map((transaction) => transaction.from));
      if (!this.signal.aborted) showDisplaced(displaced, this.#names, (text) => this.#sendAgain(text));
    } catch (error) {
      if (!this.signal.aborted) notifyError("The displaced transactions could not be read", error);
    }
  }

  async #sendAgain(text) {
    try {
      await this.#node.submit(text);
      return true;
    } catch (error) {
      notifyError("The message was not taken", error);
      return false;
    }
  }

  #onTracker({ state, code, message }) {
    if (state !== "refused") return;
    notify({ level: "warning", title: `The tracker refused: ${message ?? code ?? "no reason given"}`, text: "Peers that are connected go on. Reload the page to ask the tracker again." });
  }

  #onStorage({ level, message, remedy }) {
    this.#storageFault = level === "error" ? message : null;
    if (this.#status) showStatus(this.#status, this.#storageFault);
    notify({ level, title: message, text: remedy });
  }

  /** Asks for the newest blocks again; calls that come meanwhile lead to one more round. */
  #refresh() {
    this.#refreshAgain = true;
    this.#refreshing ??= this.#refreshRounds().finally(() => { this.#refreshing = null; });
    return this.#refreshing;
  }

  async #refreshRounds() {
    while (this.#refreshAgain && !this.signal.aborted) {
      this.#refreshAgain = false;
      try {
        await this.#refreshOnce();
      } catch (error) {
        if (!this.signal.aborted) notifyError("The blocks could not be read", error);
      }
    }
  }

  async #refreshOnce() {
    const blocks = await this.#node.blocks({ limit: this.#limit });
    blocks.sort((left, right) => right.block_id - left.block_id);
    await this.#names.learn(blocks.flatMap((block) => [minerKey(block), ...block.transactions.map((transaction) => transaction.from)]));
    if (this.signal.aborted) return;
    this.#blocks = blocks;
    showBlocks(blocks, this.#status, this.#names);
    const oldest = blocks.at(-1)?.block_id ?? 1;
    const older = byId("older");
    older.hidden = oldest <= 1;
    setText(older, `Show older blocks (${count(oldest - 1)})`);
    byId("genesis").hidden = oldest > 1;
  }
}

/**
 * The links carry the chain id: whoever follows one gets this very chain or is told that it is another. That of a private network carries
 * its key, so it is shown in a dialog that says what that means.
 */
function setUpLinks(node, networkId, { signal, names }) {
  byId("leave").addEventListener("click", () => { location.hash = "#/"; }, { signal });
  const link = new URL(networkHash(networkId, node.chainId), location.href).href;
  byId("new-tab").href = link;
  byId("invite").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    if (button.dataset.access === "private") {
      showInvite(node, names, signal);
      return;
    }
    if (await copyFrom(button, link)) notify({ title: "Invite link copied", text: link });
    else notify({ level: "warning", title: "The browser did not allow copying", text: `Copy the link by hand: ${link}` });
  }, { signal });
  byId("inviting-close").addEventListener("click", () => byId("inviting").close(), { signal });
  byId("invite-copy").addEventListener("click", async (event) => {
    const field = byId("invite-link");
    if (!(await copyFrom(event.currentTarget, field.value))) field.select();
  }, { signal });
}

async function showInvite(node, names, signal) {
  try {
    const [{ link, qr, passphrase }] = await Promise.all([node.invite(), showMoving(node, names)]);
    if (signal.aborted) return;
    byId("invite-link").value = link;
    drawQr(byId("invite-qr"), qr);
    byId("invite-passphrase-part").hidden = passphrase === null;
    setText(byId("invite-passphrase"), passphrase ?? "");
    if (!byId("inviting").open) byId("inviting").showModal();
  } catch (error) {
    notifyError("The invite could not be made", error);
  }
}

/** What differs in a private network. */
function showAccess(access) {
  const isPrivate = access === "private";
  byId("private-tag").hidden = !isPrivate;
  const invite = byId("invite");
  invite.dataset.access = access;
  setText(invite, isPrivate ? "Invite" : "Copy invite link");
}
