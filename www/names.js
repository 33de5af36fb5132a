// Turns public keys into what the user knows: "you", or the short peer id that the list of peers shows too.
// A peer id is SHA-256("distli/peer/1" ‖ key). Plain http has no hash function in the page; the key itself is shown there.

const SHOWN_DIGITS = 8;
const PEER_TAG = new TextEncoder().encode("distli/peer/1");

export class Names {
  #ownKey = "";
  #ownPeer = "";
  #peers = new Map();

  /** Sets who this tab is: its public key and its peer id, both hex. */
  setOwn(publicKey, peer) {
    this.#ownKey = publicKey ?? "";
    this.#ownPeer = peer ?? "";
  }

  /** Computes the peer ids of keys not seen before. */
  async learn(keys) {
    if (!globalThis.crypto?.subtle) return;
    const fresh = [...new Set(keys)].filter((key) => key && !this.#peers.has(key));
    await Promise.all(fresh.map(async (key) => this.#peers.set(key, await peerId(key))));
  }

  isOwn(key) {
    return (this.#ownKey !== "" && key === this.#ownKey) || (this.#ownPeer !== "" && this.#peers.get(key) === this.#ownPeer);
  }

  label(key) {
    return this.isOwn(key) ? "you" : shortPeer(this.#peers.get(key) ?? key);
  }
}

/** A peer id as it is shown everywhere. */
export function shortPeer(id) {
  return id ? id.slice(0, SHOWN_DIGITS) : "unknown";
}

async function peerId(key) {
  const bytes = Uint8Array.from(key.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const input = new Uint8Array(PEER_TAG.length + bytes.length);
  input.set(PEER_TAG);
  input.set(bytes, PEER_TAG.length);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", input));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
