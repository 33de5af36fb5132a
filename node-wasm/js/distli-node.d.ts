/** The browser node of Distli Mesh: one DistliNode is one peer of one network. */

export type MiningWhen = "off" | "pending" | "always";

/** The rules a creator may choose; what is left out takes the default. */
export interface Rules {
  /** Target time between blocks, 2,000 to 60,000 ms. */
  intervalMs: number;
  blockBytesMax: number;
  blockTransactionsMax: number;
  transactionBytesMax: number;
  messageBytesMax: number;
  /** Waiting transactions allowed for one sender. */
  senderQuota: number;
  /** Leading zero bits each transaction's stamp must have. */
  stampBits: number;
  finalityDelayMs: number;
}

/**
 * What is stored beside all headers and the state: every block (default), or the newest so many, at least 64, and whatever is not
 * final or not at the tracker. All tabs of a profile share one storage: the smaller choice decides what stays.
 */
export type Keep = "archive" | { recentBlocks: number };

export interface CreateOptions {
  /** 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit. */
  networkId: string;
  /** ws: or wss: URL of the tracker; default is /ws of the page's origin; null works without one. */
  tracker?: string | null;
  /**
   * Who may join. "open" (default): anyone. "private": who has the invite link. "passphrase": who has the link, or the name and the
   * passphrase, which `invite` tells. Nothing of a private network can be read at the tracker.
   */
  access?: "open" | "private" | "passphrase";
  /** Whether the tracker may show the name to strangers; default true. A private network never is. */
  listed?: boolean;
  rules?: Partial<Rules>;
  keep?: Keep;
}

/** One of these names the network; with a chain id, no other chain of that name is opened. */
export interface JoinOptions {
  networkId?: string;
  chainId?: string;
  /** The text of `createInvitation`: the network it leads to is opened without asking anyone; accept it afterwards. */
  invitation?: string;
  /** What is behind `#/p/` in the invite link of a private network. */
  invite?: string;
  /** With `networkId`: joins a private network by its passphrase; a member has to be online. */
  passphrase?: string;
  tracker?: string | null;
  keep?: Keep;
}

/** A text to be copied to another browser by whatever way there is. */
export interface PairingText {
  text: string;
  /** ms since 1970 */
  expiresAt: number;
  /** The text as a QR code: `path` is SVG path data of the dark modules in a square of `size` units, quiet zone included; null if too long. */
  qr: { size: number; path: string } | null;
}

/** What lets somebody into a network. */
export interface Invite {
  /** To a private network it is the key itself: whoever has it is a member. */
  link: string;
  /** The link as a QR code, as in `PairingText`. */
  qr: { size: number; path: string } | null;
  /** The passphrase, if the network has one that is known here. */
  passphrase: string | null;
}

export interface StoredNetwork {
  networkId: string;
  chainId: string;
  /** ms since 1970 */
  addedAt: number;
  /** Height when it was last open; a hint. */
  height: number;
  access: "open" | "private";
  /** Chain id of the network that its owner moved it to. */
  movedTo: string | null;
}

export interface TenantTransaction {
  tx_id: string;
  /** Public key, hex. */
  from: string;
  sequence: number;
  /** ms since 1970, by the sender's clock */
  timestamp: number;
  kind: "message" | "record";
  /** Plain text of a message: show it as text, never as markup. */
  text: string | null;
  /** All signed bytes, hex. */
  raw: string;
  confirmed?: boolean;
  height?: number;
}

export interface PendingTransaction extends TenantTransaction {
  /** How many linked peers have it or were sent it. */
  on_peers: number;
}

export interface LostTransaction extends TenantTransaction {
  /** Id of the transaction that has its place, if known. */
  kept?: string | null;
}

export interface TenantBlock {
  /** Height; the first block is 1. */
  block_id: number;
  block_hash: string;
  previous_hash: string;
  timestamp: number;
  /** The 116 header bytes, hex. */
  header: string;
  /** The miner's key and free bytes, hex. */
  miner: string;
  transactions: TenantTransaction[];
}

/** Bytes by what the messages were about. */
export interface Traffic {
  blocks: number;
  transactions: number;
  history: number;
  other: number;
}

export interface Status {
  networkId: string;
  chainId: string;
  access: "open" | "private";
  peerId: string;
  /** This tab's public key, hex. */
  publicKey: string;
  height: number;
  /** Height of the best known header; above `height` while syncing. */
  bestHeight: number;
  tipHash: string;
  /** Cumulative work. */
  work: string;
  difficulty: number | string;
  pendingCount: number;
  peers: { id: string; transport: "direct" | "relay" | "connecting" }[];
  tracker: "connected" | "connecting" | "offline";
  trackerUrl: string | null;
  /** `when` is what was asked for; `paused` says why it rests meanwhile. */
  mining: { when: MiningWhen; paused: "hidden" | "battery" | null; workers: number; hashesPerSecond: number; active: boolean };
  /** Newest height the tracker confirmed by hash. */
  syncedHeight: number;
  /** Newest height in a decided enterprise block. */
  anchoredHeight: number;
  /** Height of the enterprise block under which that was verified, and the validators that signed it. */
  enterpriseHeight: number | bigint;
  signers: string[];
  /** Height of the newest final block, which every chain that counts contains; this browser verified the proof. 0 for none. */
  finalHeight: number;
  /**
   * Two blocks of one height of the enterprise chain that are both signed by a quorum, and the keys that signed both (hex): the first such
   * that was seen, also before this start. What the validators call final does not count then.
   */
  split: { enterpriseHeight: number | bigint; culprits: string[]; oneRound: boolean } | null;
  /** Whether this tab's key may report the network: everybody's in an open one, in a private one its owner's. */
  reporter: boolean;
  /** Whether it does: always in an open network, in a private one as `proveFinality` says. */
  reporting: boolean;
  /** How often the owner of a private network reset what was final, as far as it was followed here. */
  resets: number;
  /** The lowest height from which on all blocks are here; 1 if all are. */
  bodiesFrom: number;
  /** Branches that finality left behind, the newest 16. */
  abandoned: number;
  storage: {
    /** Whether this tab writes for all tabs of the profile. */
    writer: boolean;
    /** Whether the browser promised not to evict. */
    persisted: boolean;
    /** Whether Web Locks are there. */
    locks: boolean;
    usageBytes: number;
    quotaBytes: number;
  };
  conflicts: number;
  clockOffsetMs: number;
  /** Bytes of messages to and from peers since the start, without the channel's own. */
  sentBytes: Traffic;
  receivedBytes: Traffic;
}

export interface Notice {
  message: string;
  remedy: string;
}

export interface StorageNotice extends Notice {
  level: "info" | "warning" | "error";
}

export interface DistliEvents {
  /** At most four a second. */
  status: CustomEvent<Status>;
  /** A block of the main chain, oldest first; after a reorganisation the same height comes again. Of a long sync only the newest 50. */
  block: CustomEvent<{ block: TenantBlock }>;
  /** The whole list of waiting transactions. */
  pending: CustomEvent<PendingTransaction[]>;
  /** Something a peer, the tracker or a file offered was not accepted. */
  refused: CustomEvent<{ reason: string; source: string }>;
  /** One sender used a sequence number twice. */
  conflict: CustomEvent<Record<string, unknown>>;
  /** The chain shown so far left out a final block: blocks `from` to `to` are gone, their transactions wait again or are in conflict. */
  abandoned: CustomEvent<{ from: number; to: number; tip: string; finalHeight: number }>;
  /**
   * The owner moved this private network. `joined`: this tab has the new one's key, and `join({ chainId })` opens it. `confirmed`: those who
   * are away will hear of it, too. `known`: it was so when the network was opened.
   */
  moved: CustomEvent<{ networkId: string; chainId: string; joined: boolean; confirmed: boolean; known: boolean }>;
  /** The owner of this private network voided what was final from the height `from` on: signed, executed by the validators, verified here. */
  reset: CustomEvent<{ number: number; from: number }>;
  /** The validators contradicted each other; `split` in the status says so from then on, and `splitProof` shows it to others. */
  split: CustomEvent<{ enterpriseHeight: number | bigint }>;
  storage: CustomEvent<StorageNotice>;
  tracker: CustomEvent<{ state: string; code?: string; message?: string }>;
  error: CustomEvent<Notice>;
}

/** What every promise here rejects with: `message` is `reason` and `remedy` together. */
export interface DistliError extends Error {
  reason: string;
  remedy: string;
  /** e.g. network_unknown, network_exists, offline, bad_network_id, bad_invitation, bad_invite, bad_passphrase, private, nobody_there, not_owner, reset_refused, closed */
  code?: string;
}

export class DistliNode extends EventTarget {
  private constructor();
  readonly networkId: string;
  readonly chainId: string;

  /** Measures the hash rate for the first difficulty, makes the genesis, stores it and joins; works offline. */
  static create(options: CreateOptions): Promise<DistliNode>;
  /** Opens a stored network, also offline, or fetches its genesis from the tracker. */
  static join(options: JoinOptions): Promise<DistliNode>;
  /** The networks of this browser profile, newest first. */
  static stored(): Promise<StoredNetwork[]>;

  /** Signs and stores a transaction, then sends it. Resolves when it is stored, not when it is confirmed. */
  submit(message: string | { record: Uint8Array }): Promise<{ id: string; sequence: number }>;
  /**
   * `workers`: 1 to 16 mining workers; by default one core less than there are. `pause`: rest while the page is hidden, or
   * while the device runs on battery (browsers that do not tell count as plugged in); default neither.
   */
  startMining(options?: {
    when?: "pending" | "always";
    workers?: number;
    pause?: { hidden?: boolean; battery?: boolean };
  }): Promise<void>;
  stopMining(): Promise<void>;
  status(): Promise<Status>;
  /** Up to `limit` blocks of the main chain (default 50), newest first, from the height `from` (default the tip) downwards. */
  blocks(range?: { from?: number; limit?: number }): Promise<TenantBlock[]>;
  pending(): Promise<PendingTransaction[]>;
  /** What was sent from this browser and lost its place in the sequence to another transaction, oldest first. */
  conflicts(): Promise<LostTransaction[]>;
  /** The link that lets somebody in, for a page at this address (default: this one). */
  invite(page?: string): Promise<Invite>;
  /** Whose keys are known in a private network (senders, miners, direct peers), and whether this tab owns it. */
  members(): Promise<{ owner: boolean; members: string[] }>;
  /**
   * For the owner of a private network whose invite leaked: makes its successor, whose key only these members get (150 at most), and sends
   * the record that tells them. Resolves when that is stored; `moved` follows here as it does there.
   */
  moveNetwork(chosen: { members: string[] }): Promise<{ networkId: string; chainId: string; members: number }>;
  /**
   * For the owner of a private network: whether this tab reports its blocks, sealed, so that they become final; default no. Tracker and
   * validators then learn the genesis, headers, times and sizes. Kept in this browser.
   */
  proveFinality(on: boolean): Promise<void>;
  /**
   * For the owner of a private network: voids what is final from a height on, for everybody and on record. Resolves when the validators
   * executed it; `reset` follows here as at every member.
   */
  resetFinality(wish: { from: number }): Promise<{ number: number }>;
  /** Begins a pairing without any server: the text goes to the other browser, good for ten minutes. */
  createInvitation(): Promise<PairingText>;
  /** Answers an invitation to this network; the text goes back to who invited. */
  acceptInvitation(text: string): Promise<PairingText>;
  /** Takes the answer to an invitation of this tab; the link comes up by itself, usually within a second. */
  completeInvitation(text: string): Promise<{ peer: string }>;
  /** The whole chain as a self-proving file; rejects while blocks are missing (`bodiesFrom` above 1). */
  exportChain(): Promise<{ filename: string; text: string }>;
  /** What shows anybody that the validators contradicted each other (`split` in the status); rejects where none was seen. */
  splitProof(): Promise<{ filename: string; text: string }>;
  /** Verifies every block; rejects with the reason and takes nothing if one is wrong. */
  importChain(text: string): Promise<{ accepted: number; alreadyKnown: number }>;
  /** Saves, leaves the network, frees the identity and the locks, ends the workers. */
  close(): Promise<void>;

  addEventListener<K extends keyof DistliEvents>(
    type: K,
    listener: (event: DistliEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
