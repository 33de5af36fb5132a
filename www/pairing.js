// The dialog "Connect without a server": one person invites, the other answers, both copy a text to the other.
// Texts come from strangers: they only ever go into text fields and to the node, which checks them.

import { byId, copyFrom, drawQr, element, setText } from "./dom.js";
import { reasonOf } from "./notices.js";

const PARTS = {
  host: {
    give: "1. Give this invitation to the other person",
    take: "2. Paste the answer you got back",
    button: "Connect",
  },
  guest: {
    give: "2. Give this answer back",
    take: "1. Paste the invitation you were given",
    button: "Answer it",
  },
};

/** Wires the dialog of an open network; `invitation`, if given, is answered at once. */
export function setUpPairing(node, signal, invitation) {
  const dialog = new PairingDialog(node, signal);
  byId("pairing-open").addEventListener("click", () => dialog.open(), { signal });
  if (invitation) dialog.answer(invitation);
}

class PairingDialog {
  #node;
  #signal;
  #part = "host";
  /** The peer or peers to wait for: how many direct peers there were when a text was handed out. */
  #before = null;

  constructor(node, signal) {
    this.#node = node;
    this.#signal = signal;
    const on = (id, type, handle) => byId(id).addEventListener(type, handle, { signal });
    on("pairing-close", "click", () => byId("pairing").close());
    on("pairing-host", "change", () => this.#show("host"));
    on("pairing-guest", "change", () => this.#show("guest"));
    on("pairing-make", "click", () => this.#work(byId("pairing-make"), () => this.#invite()));
    on("pairing-take", "click", () => this.#work(byId("pairing-take"), () => this.#take()));
    on("pairing-copy", "click", (event) => this.#copy(event.currentTarget));
    node.addEventListener("status", ({ detail }) => this.#onStatus(detail), { signal });
    this.#show("host");
  }

  open() {
    const dialog = byId("pairing");
    if (!dialog.open) dialog.showModal();
  }

  /** Opens the dialog on the guest's side and answers this invitation. */
  answer(invitation) {
    byId("pairing-guest").checked = true;
    this.#show("guest");
    this.open();
    byId("pairing-input").value = invitation;
    this.#work(byId("pairing-take"), () => this.#take());
  }

  #show(part) {
    this.#part = part;
    byId("pairing").dataset.part = part;
    const words = PARTS[part];
    setText(byId("pairing-output-label"), words.give);
    setText(byId("pairing-input-label"), words.take);
    setText(byId("pairing-take"), words.button);
    byId("pairing-input").value = "";
    byId("pairing-made").hidden = true;
    byId("pairing-make-row").hidden = part === "guest";
    byId("pairing-give").hidden = part === "guest";
    this.#say("");
  }

  /** Runs one step, with its button busy meanwhile and its failure in the dialog. */
  async #work(button, step) {
    if (button.dataset.busy === "true") return;
    button.dataset.busy = "true";
    this.#say("");
    try {
      await step();
    } catch (error) {
      this.#say(`${capital(reasonOf(error))}. ${error?.remedy ?? ""}`.trim(), "error");
    } finally {
      delete button.dataset.busy;
    }
  }

  async #invite() {
    this.#say("Looking for the addresses of this device…");
    this.#give(await this.#node.createInvitation());
    this.#say("The invitation is good for ten minutes. Keep this tab open.");
  }

  async #take() {
    const text = byId("pairing-input").value.trim();
    if (text === "") {
      byId("pairing-input").focus();
      return;
    }
    await this.#remember();
    if (this.#part === "host") {
      await this.#node.completeInvitation(text);
      this.#say("Connecting…");
      return;
    }
    this.#say("Looking for the addresses of this device…");
    this.#give(await this.#node.acceptInvitation(text));
    this.#say("Waiting for the other side to take your answer. Keep this tab open.");
  }

  #give({ text, qr }) {
    if (this.#signal.aborted) return;
    byId("pairing-output").value = text;
    drawQr(byId("pairing-qr"), qr);
    setText(byId("pairing-qr-note"), qr ? "Or let the other device read this picture and paste what it says." : "This text is too long for a QR code: copy it.");
    byId("pairing-made").hidden = false;
    byId("pairing-give").hidden = false;
    byId("pairing-make-row").hidden = true;
  }

  async #copy(button) {
    const copied = await copyFrom(button, byId("pairing-output").value);
    if (copied) this.#say("Copied.");
    else byId("pairing-output").select();
  }

  async #remember() {
    this.#before = direct(await this.#node.status());
  }

  #onStatus(status) {
    if (this.#before === null) return;
    const fresh = direct(status).find((peer) => !this.#before.includes(peer));
    if (!fresh) return;
    this.#before = null;
    this.#show(this.#part);
    this.#say("Connected. From here on the network keeps itself together.", "done");
  }

  #say(words, level = "") {
    const place = byId("pairing-state");
    place.dataset.level = level;
    const mark = level === "done" ? element("span", { class: "mark", data: { stage: "ok" }, "aria-hidden": "true" }) : null;
    place.replaceChildren(...[mark, words].filter((part) => part !== null && part !== ""));
  }
}

function direct(status) {
  return status.peers.filter((peer) => peer.transport === "direct").map((peer) => peer.id);
}

function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1).replace(/\.$/, "");
}
