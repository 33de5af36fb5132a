/**
 * Finds or makes the genesis of the network a page asks for: from storage, from the tracker, or new.
 */

import { DistliError } from "./errors.js";
import { genesisFromMembers } from "./knock.js";

const ASK_MS = 8_000;
const MEASURE_MS = 300;
const MEASURE_STEP = 20_000;
const NETWORK_ID = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** A later network of a taken name: the name and the first digits of its chain id. */
const LABEL = /^([a-z0-9][a-z0-9_-]{0,62})(?:~([0-9a-f]{4,64}))?$/;
const NAME_REMEDY = "Use 1 to 63 lower-case letters, digits, - and _, starting with a letter or digit.";

/**
 * @typedef {{networkKey?: Uint8Array, passphrase?: string}} Secret of a private network
 * @typedef {{networkId: string, chainId: string, genesis: Uint8Array, listed: boolean, expectedHeight: number, movedTo?: string, proving?: boolean} & Secret} OpenedNetwork
 * @typedef {{createGenesis: Function, genesisInfo: Function, readInvitation: Function, readInvite: Function,
 *   newPassphrase: Function, passphraseKey: Function, GenesisKnock: any, MiningJob: any}} Wasm
 * @typedef {{archive: import("./storage.js").Archive, wasm: Wasm, trackerHttp: string | null, trackerUrl: string | null,
 *   windowOf: (networkId: string) => Promise<string | null>}} Surroundings
 */

/**
 * Makes a new network owned by this tab's identity and stores it; the tracker learns of it when it is there.
 * @param {Surroundings} around
 * @param {{networkId: string, listed?: boolean, rules?: object, access?: "open" | "private" | "passphrase"}} options
 * @param {Uint8Array} ownerSeed
 * @returns {Promise<OpenedNetwork>}
 */
export async function createNetwork(around, options, ownerSeed) {
  const { archive, wasm } = around;
  const { networkId, rules, access = "open" } = options;
  const listed = access === "open" && (options.listed ?? true);
  requireName(networkId);
  const known = await archive.networks();
  const taken = known.some((network) => network.networkId === networkId);
  if (taken) throw new DistliError(`This browser already has a network “${networkId}”.`, "Join it, or choose another name.", "network_exists");
  // A private network's name is nobody's business, so nobody is asked for it.
  const answer = access === "open" ? await askTracker(around, networkId) : {};
  if (answer.found) throw new DistliError(`The network “${networkId}” already exists.`, "Join it, or choose another name.", "network_exists");
  const hashesPerSecond = measureHashRate(wasm);
  const enterpriseGenesis = await askEnterprise(around);
  const secret = makeSecret(wasm, access, networkId);
  const { networkKey } = secret;
  const made = makeGenesis(wasm, { networkId, createdAt: Date.now(), ownerSeed, hashesPerSecond, enterpriseGenesis, networkKey, rules: rules ?? {} });
  const network = { networkId, chainId: made.chainId, genesis: made.genesis, listed, expectedHeight: 0, ...secret };
  await archive.keepNetwork(network);
  return network;
}

/**
 * @param {Wasm} wasm
 * @param {"open" | "private" | "passphrase"} access
 * @param {string} networkId
 * @returns {Secret}
 */
export function makeSecret(wasm, access, networkId) {
  if (access === "private") return { networkKey: crypto.getRandomValues(new Uint8Array(32)) };
  if (access !== "passphrase") return {};
  const passphrase = wasm.newPassphrase(crypto.getRandomValues(new Uint8Array(8)));
  return { passphrase, networkKey: wasm.passphraseKey(passphrase, networkId) };
}

/**
 * @param {Wasm} wasm
 * @param {object} options
 * @returns {{genesis: Uint8Array, chainId: string}}
 */
function makeGenesis(wasm, options) {
  return inWords(() => wasm.createGenesis(options), "Choose other rules, or leave them out.", "bad_rules");
}

/**
 * Finds the network by its chain id or name: stored ones need no tracker.
 * @param {Surroundings} around
 * @param {{networkId?: string, chainId?: string, invitation?: string, invite?: string, passphrase?: string}} options
 * @returns {Promise<OpenedNetwork>}
 */
export async function findNetwork(around, { networkId, chainId, invitation, invite, passphrase }) {
  if (invitation !== undefined) return fromInvitation(around, invitation);
  if (invite !== undefined) return fromInvite(around, invite);
  if (passphrase !== undefined) return fromPassphrase(around, networkId, passphrase);
  const wanted = wish(networkId, chainId);
  const label = networkId ?? String(chainId);
  const known = await around.archive.networks();
  const matching = known.filter((one) => isWanted(one, wanted));
  const stored = matching[0];
  if (stored && matching.length === 1) return fromStored(stored);
  const answer = await askTracker(around, chainId ?? label);
  if (answer.found) {
    const network = checked(around.wasm, answer.found.genesis, wanted, label);
    await around.archive.keepNetwork(network);
    return network;
  }
  if (stored) return fromStored(stored);
  if (answer.unknown) {
    throw new DistliError(`No network “${label}” is known here or at the tracker.`, "Check the name, or create the network.", "network_unknown");
  }
  return fromWindow(around, wanted, label);
}

/**
 * The network that an invitation leads to: the genesis is inside, so nobody has to be asked.
 * @param {Surroundings} around
 * @param {string} text
 * @returns {Promise<OpenedNetwork>}
 */
async function fromInvitation({ archive, wasm }, text) {
  const { networkId, chainId, genesis, expiresAt } = readInvitation(wasm, text);
  if (Number(expiresAt) <= Date.now()) throw new DistliError("The invitation expired.", "Ask for a new one; it is good for ten minutes.", "bad_invitation");
  const stored = (await archive.networks()).find((network) => network.chainId === chainId);
  if (stored) return fromStored(stored);
  if (wasm.genesisInfo(genesis).access === "private") {
    throw new DistliError(`“${networkId}” is private, and this invitation does not hold its key.`, "Open its invite link or join with its passphrase first.", "private");
  }
  const network = { networkId, chainId, genesis, listed: false, expectedHeight: 0 };
  await archive.keepNetwork(network);
  return network;
}

/**
 * The private network that an invite leads to: its key and its genesis are inside.
 * @param {Surroundings} around
 * @param {string} text
 * @returns {Promise<OpenedNetwork>}
 */
async function fromInvite({ archive, wasm }, text) {
  const { networkKey, genesis, networkId, chainId } = inWords(() => wasm.readInvite(text), "Copy the whole link again, or ask for it anew.", "bad_invite");
  const network = { networkId, chainId, genesis, listed: false, expectedHeight: 0, networkKey };
  const stored = (await archive.networks()).find((known) => known.chainId === chainId);
  if (stored?.networkKey) return fromStored(stored);
  await archive.keepNetwork(network);
  return network;
}

/**
 * The private network of a name and a passphrase; its genesis is with those who have it.
 * @param {Surroundings} around
 * @param {string | undefined} networkId
 * @param {string} passphrase
 * @returns {Promise<OpenedNetwork>}
 */
async function fromPassphrase({ archive, wasm, trackerUrl }, networkId, passphrase) {
  requireName(networkId);
  const name = String(networkId);
  const networkKey = inWords(() => wasm.passphraseKey(passphrase, name), "It is five words of five letters, such as lusab-babad-gutih-tugad-bafub.", "bad_passphrase");
  const same = (/** @type {Uint8Array | undefined} */ key) => key !== undefined && key.every((byte, index) => byte === networkKey[index]);
  const stored = (await archive.networks()).find((known) => same(known.networkKey));
  if (stored) return fromStored(stored);
  const genesis = await genesisFromMembers(wasm, networkKey, trackerUrl, name);
  const { chainId } = wasm.genesisInfo(genesis);
  const network = { networkId: name, chainId, genesis, listed: false, expectedHeight: 0, networkKey, passphrase };
  await archive.keepNetwork(network);
  return network;
}

/**
 * Runs a function of the wasm, whose errors are sentences.
 * @param {() => any} run
 * @param {string} remedy
 * @param {string} code
 */
function inWords(run, remedy, code) {
  try {
    return run();
  } catch (error) {
    throw new DistliError(String(error instanceof Error ? error.message : error), remedy, code);
  }
}

/**
 * @param {Wasm} wasm
 * @param {string} text
 */
function readInvitation(wasm, text) {
  return inWords(() => wasm.readInvitation(text), "Copy the whole invitation again, or ask for a new one.", "bad_invitation");
}

/**
 * @param {import("./storage.js").StoredNetwork} stored
 * @returns {OpenedNetwork}
 */
function fromStored({ networkId, chainId, genesis, listed, height, networkKey, passphrase, movedTo, proving }) {
  return { networkId, chainId, genesis, listed: listed ?? true, expectedHeight: height ?? 0, networkKey, passphrase, movedTo, proving };
}

/**
 * The last resort while the tracker is away and IndexedDB was evicted: the window in localStorage also carries the genesis.
 * @param {Surroundings} around
 * @param {Wanted} wanted
 * @param {string} label
 * @returns {Promise<OpenedNetwork>}
 */
async function fromWindow(around, wanted, label) {
  try {
    const text = wanted.name ? await around.windowOf(wanted.name) : null;
    const network = checked(around.wasm, JSON.parse(text ?? "null")?.genesis, wanted, label);
    await around.archive.keepNetwork(network);
    return network;
  } catch {
    throw new DistliError(
      `The network “${label}” is not stored in this browser, and the tracker does not answer.`,
      "Start the tracker or check the connection, then try again.",
      "offline",
    );
  }
}

/**
 * What a network must be to be the one that was asked for. A label beside a taken name says how its chain id begins.
 * @typedef {{name?: string, prefix: string}} Wanted
 * @param {string | undefined} networkId
 * @param {string | undefined} chainId
 * @returns {Wanted}
 */
export function wish(networkId, chainId) {
  if (networkId === undefined && chainId !== undefined) return { prefix: chainId };
  const [, name, prefix] = LABEL.exec(String(networkId)) ?? [];
  if (name === undefined) throw new DistliError("That is not a possible network name.", NAME_REMEDY, "bad_network_id");
  return { name, prefix: chainId ?? prefix ?? "" };
}

/**
 * @param {{networkId: string, chainId: string}} network
 * @param {Wanted} wanted
 */
export function isWanted(network, { name, prefix }) {
  return (name === undefined || network.networkId === name) && network.chainId.startsWith(prefix);
}

/** @param {unknown} networkId */
function requireName(networkId) {
  if (typeof networkId === "string" && NETWORK_ID.test(networkId)) return;
  throw new DistliError("That is not a possible network name.", NAME_REMEDY, "bad_network_id");
}

/**
 * Takes a genesis only if it is the one that was asked for.
 * @param {Wasm} wasm
 * @param {unknown} hex
 * @param {Wanted} wanted
 * @param {string} label
 * @returns {OpenedNetwork}
 */
function checked(wasm, hex, wanted, label) {
  const genesis = bytesOf(hex);
  const info = wasm.genesisInfo(genesis);
  if (!isWanted(info, wanted)) {
    throw new DistliError(
      `The tracker has another network under the name “${label}”.`,
      "Check the invitation, or ask its sender for the tracker that knows this network.",
      "network_exists",
    );
  }
  return { networkId: info.networkId, chainId: info.chainId, genesis, listed: true, expectedHeight: 0 };
}

/** @param {unknown} hex */
function bytesOf(hex) {
  if (typeof hex !== "string" || !/^([0-9a-f]{2})+$/i.test(hex)) {
    throw new DistliError("The tracker sent something that is no genesis.", "Check the tracker's address and version.");
  }
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/**
 * Asks the tracker for a genesis by label or chain id.
 * @param {Surroundings} around
 * @param {string} networkId
 * @returns {Promise<{found?: {genesis: string}, unknown?: true, unreachable?: true}>}
 */
async function askTracker({ trackerHttp }, networkId) {
  if (!trackerHttp) return { unreachable: true };
  try {
    const url = `${trackerHttp}/api/networks/${encodeURIComponent(networkId)}/genesis`;
    const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS), cache: "no-store" });
    if (response.ok) return { found: await response.json() };
    return response.status === 404 ? { unknown: true } : { unreachable: true };
  } catch {
    return { unreachable: true };
  }
}

/**
 * The hash of the genesis of the enterprise chain behind the tracker, which a new network pins: whoever has the network can then
 * verify what is final. Without a tracker or a validator there is none, and nothing in the network becomes final.
 * @param {Surroundings} around
 * @returns {Promise<string | undefined>}
 */
async function askEnterprise({ trackerHttp }) {
  if (!trackerHttp) return undefined;
  try {
    const response = await fetch(`${trackerHttp}/api/enterprise-genesis`, { signal: AbortSignal.timeout(ASK_MS), cache: "no-store" });
    return response.ok ? (await response.json()).hash : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Hashes for about 300 ms on a target nothing meets.
 * @param {Wasm} wasm
 */
function measureHashRate({ MiningJob }) {
  const target = new Uint8Array(32);
  target[31] = 1;
  const job = new MiningJob(new Uint8Array(116), target, 0, 2 ** 32 - 1);
  const started = performance.now();
  let took = 0;
  while (took < MEASURE_MS) {
    if (job.step(MEASURE_STEP).exhausted) break;
    took = performance.now() - started;
  }
  const hashes = Number(job.hashes);
  job.free();
  return Math.max(1, Math.round((hashes * 1_000) / Math.max(took, 1)));
}
