// The page: follows the address, opens and closes networks, and keeps the node at window.distli.node for developers.
// The node and its WebAssembly are loaded when a network is opened, not before.

import { byId, element, setText } from "./dom.js";
import { refreshTimes } from "./format.js";
import { clearNotices, notify, notifyError, reasonOf } from "./notices.js";
import { inviteOf, networkHash, parseRoute } from "./route.js";
import { setUpStart, showStart } from "./start.js";

const TIMES_EVERY_MS = 5000;
const SLOW_MS = 6000;

/** What to do when the route of a network is followed: join unless the user asked to create it. */
let wish = null;
/** Ends the shown view. */
let leaveView = () => {};
/** Counts route changes, so that a slow opening that was left behind is closed when it arrives. */
let visit = 0;
/** The view that is shown; a change moves the keyboard focus to the content. */
let shown = null;

window.distli = { node: null };

setUpStart((request) => {
  wish = request;
  const hash = networkHash(request.networkId);
  if (location.hash === hash) followRoute();
  else location.hash = hash;
}, (text) => {
  const invite = inviteOf(text);
  if (invite) openBy("the invite", { invite });
  else openBy("the invitation", { invitation: text });
}, (networkId, passphrase) => openBy(networkId, { networkId, passphrase }));
addEventListener("hashchange", followRoute);
setInterval(refreshTimes, TIMES_EVERY_MS);
followRoute();
performance.mark("interactive");
registerServiceWorker();
performance.mark("interactive");

async function followRoute() {
  visit += 1;
  leaveView();
  leaveView = () => {};
  clearNotices();
  const route = parseRoute(location.hash);
  const request = wish;
  wish = null;
  if (route.view === "network") {
    await openNetwork(route, isFor(request, route) ? request : null);
    return;
  }
  if (route.view === "invite") {
    // The address holds the key: it does not stay there, nor in the history.
    history.replaceState(null, "", "#/");
    await openBy("the invite", { invite: route.invite });
    return;
  }
  show("start", "");
  leaveView = showStart();
  if (route.view === "unknown") {
    notify({ level: "warning", title: "This link names no network", text: `“${route.text.slice(0, 80)}” is not a network name. Ask for the link again or choose a network below.` });
  }
}

/** Whether a wish is about the network of this address. */
function isFor(request, { networkId, chainId }) {
  return request?.node ? request.node.chainId === chainId : request?.networkId === networkId;
}

/** Opens the network that an invite, a passphrase or an invitation leads to; an invitation is answered there. */
async function openBy(what, options) {
  visit += 1;
  const mine = visit;
  leaveView();
  leaveView = () => {};
  clearNotices();
  showOpening(what, false);
  if (options.passphrase) setText(byId("opening-step"), "Computing the key, which takes a moment on purpose; then a member who is online is asked for the network.");
  try {
    const { DistliNode } = await import("./node/distli-node.js");
    const node = await DistliNode.join(options);
    if (mine !== visit) {
      await node.close();
      return;
    }
    wish = { node, invitation: options.invitation };
    const hash = networkHash(node.networkId, node.chainId);
    if (location.hash === hash) followRoute();
    else location.hash = hash;
  } catch (error) {
    if (mine !== visit) return;
    show("start", "");
    leaveView = showStart();
    notifyError(`${capital(what)} can't be opened`, error);
  }
}

async function openNetwork(route, request) {
  const mine = visit;
  showOpening(route.networkId, request?.create);
  const slow = setTimeout(() => setText(byId("opening-step"), "Still waiting. If the tracker is down, networks kept in this browser open without it."), SLOW_MS);
  let node = null;
  try {
    const [{ DistliNode }, { showNetwork }] = await Promise.all([import("./node/distli-node.js"), import("./network.js")]);
    node = request?.node ?? (request?.create
      ? await DistliNode.create({ networkId: route.networkId, listed: request.listed, access: request.access })
      : await DistliNode.join(route.chainId ? { networkId: route.networkId, chainId: route.chainId } : { networkId: route.networkId }));
    if (mine !== visit) {
      await node.close();
      return;
    }
    window.distli.node = node;
    show("network", route.networkId);
    const { ready, stop } = showNetwork(node, route.networkId, request?.invitation);
    leaveView = () => {
      stop();
      closeNode(node);
    };
    await ready;
  } catch (error) {
    if (mine !== visit) return;
    console.warn("opening failed", error);
    leaveView();
    leaveView = () => {};
    showFailure(route, request, error);
  } finally {
    clearTimeout(slow);
  }
}

function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function closeNode(node) {
  if (window.distli.node === node) window.distli.node = null;
  node.close().catch((error) => console.warn("closing failed", error));
}

function show(view, networkId) {
  byId("view-start").hidden = view !== "start";
  byId("view-opening").hidden = view !== "opening";
  document.getElementById("view-network")?.remove();
  if (view === "network") byId("main").append(byId("network-template").content.cloneNode(true));
  document.title = networkId === "" ? "Distli Mesh" : `${networkId} – Distli Mesh`;
  scrollTo(0, 0);
  if (shown !== null && shown !== view) byId("main").focus({ preventScroll: true });
  shown = view;
}

function showOpening(networkId, create) {
  show("opening", networkId);
  setText(byId("opening-title"), `${create ? "Creating" : "Opening"} ${networkId}`);
  setText(byId("opening-step"), create ? "Measuring this machine to set the first difficulty…" : "Reading the kept chain and asking the tracker…");
  byId("opening-progress").hidden = false;
  byId("opening-failure").hidden = true;
}

function showFailure(route, request, error) {
  const { networkId } = route;
  show("opening", networkId);
  setText(byId("opening-title"), networkId);
  byId("opening-progress").hidden = true;
  byId("opening-failure").hidden = false;
  const actions = byId("failure-actions");
  const again = (create) => {
    wish = { networkId, create, listed: request?.listed ?? byId("listed").checked, access: request?.access };
    followRoute();
  };
  const button = (text, main, click) => element("button", { type: "button", class: main ? "button button-main" : "button", text, on: { click } });
  const back = element("a", { class: "button", href: "#/", text: "Choose another network" });
  let message = reasonOf(error);
  let remedy = error?.remedy ?? "";
  if (error?.code === "network_exists") {
    message = `A network called ${networkId} already exists.`;
    remedy = "Join it, or go back and create yours under another name.";
    actions.replaceChildren(button(`Join ${networkId}`, true, () => again(false)), back);
  } else if (error?.code === "network_unknown" && route.chainId) {
    message = `The tracker does not know the chain that this link to ${networkId} names.`;
    remedy = "Ask who sent the link to open the network once while the tracker runs, then try again.";
    actions.replaceChildren(button("Try again", true, () => again(false)), back);
  } else if (error?.code === "network_unknown") {
    message = `There is no network called ${networkId} on this tracker.`;
    remedy = "Check the spelling, or create it: you are then its first peer.";
    actions.replaceChildren(button(`Create ${networkId}`, true, () => again(true)), back);
  } else {
    if (remedy === "") remedy = "Try again. If it stays, reload the page; what is kept in this browser is not lost.";
    actions.replaceChildren(button("Try again", true, () => again(Boolean(request?.create))), back);
  }
  setText(byId("failure-message"), message);
  setText(byId("failure-remedy"), remedy);
  actions.firstElementChild.focus();
}

/** Lets a reloaded page open while the tracker is down. Registered late: it must not slow the first view. */
function registerServiceWorker() {
  if (!("serviceWorker" in navigator)) return;
  const register = () => navigator.serviceWorker.register("./sw.js").catch((error) => console.warn("pages will not open offline", error));
  if (document.readyState === "complete") register();
  else addEventListener("load", register, { once: true });
}
