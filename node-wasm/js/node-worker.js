/**
 * The worker in which a node lives: loads the wasm, opens the session, and translates between it and the page's messages.
 *
 * From the page: {type: "start", options}, {type: "call", id, method, params}, {type: "fact", fact} (WebRTC), {type: "local", id, text}.
 * To the page: {type: "started", …} or {type: "failed", error}, {type: "reply", id, value | error}, {type: "event", name, detail},
 * {type: "rtc", order}, {type: "window", …}, {type: "set_aside", …}, {type: "read_local", id, networkId}.
 */

import init, {
  Core, createGenesis, GenesisKnock, genesisInfo, MiningJob, newPassphrase, passphraseKey, qrCode, readInvitation, readInvite, writeInvite,
} from "../pkg/node_wasm.js";
import { DistliError, flatten } from "./errors.js";
import { NodeSession } from "./node-session.js";

/** @type {NodeSession | null} */
let session = null;
/** @type {Map<number, (text: string | null) => void>} */
const reading = new Map();
let lastRead = 0;

self.onmessage = ({ data }) => {
  switch (data.type) {
    case "start":
      start(data.options);
      break;
    case "call":
      call(data);
      break;
    case "fact":
      session?.loop.handle(data.fact);
      break;
    case "local":
      reading.get(data.id)?.(data.text);
      reading.delete(data.id);
      break;
    default: // A newer page: not for us.
  }
};

/** @param {import("./node-session.js").StartOptions} options */
async function start(options) {
  try {
    const module = await loadWasm();
    const wasm = {
      Core, MiningJob, GenesisKnock, createGenesis, genesisInfo, newPassphrase, passphraseKey, readInvitation, readInvite, writeInvite, qrCode, module,
    };
    session = await NodeSession.open(wasm, options, { post, windowOf });
    const { network, identity } = session;
    post({ type: "started", networkId: network.networkId, chainId: network.chainId, slot: identity.slot });
  } catch (error) {
    post({ type: "failed", error: flatten(error) });
  }
}

/** Compiles the module once; the mining workers get the compiled one. */
async function loadWasm() {
  const url = new URL("../pkg/node_wasm_bg.wasm", import.meta.url);
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`status ${response.status}`);
    const streams = response.headers.get("content-type")?.startsWith("application/wasm");
    const module = await (streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer()));
    await init({ module_or_path: module });
    return module;
  } catch (error) {
    throw new DistliError(`The node program could not be loaded (${error}).`, "Reload the page; a browser that is older than Chrome 91, Firefox 89 or Safari 16.4 can't run it.");
  }
}

/** @param {{id: number, method: string, params: any}} request */
async function call({ id, method, params }) {
  try {
    if (!session) throw new DistliError("The node is not running.", "Create or join a network first.");
    const value = await session.methods[/** @type {keyof NodeSession["methods"]} */ (method)](params);
    post({ type: "reply", id, value });
  } catch (error) {
    post({ type: "reply", id, error: flatten(error) });
  }
}

/**
 * What localStorage holds for a network; only the page can read it.
 * @param {string} networkId
 * @param {string} [chainId]
 * @returns {Promise<string | null>}
 */
function windowOf(networkId, chainId) {
  const id = ++lastRead;
  return new Promise((resolve) => {
    reading.set(id, resolve);
    post({ type: "read_local", id, networkId, chainId });
  });
}

/**
 * @param {{type: string, [field: string]: any}} message
 * @param {Transferable[]} [transfer]
 */
function post(message, transfer = []) {
  self.postMessage(message, { transfer });
}
