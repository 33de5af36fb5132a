/**
 * Service worker: keeps the app shell, so that a reloaded page opens while the tracker is down.
 *
 * Cache first, one cache for each version: a page never mixes files of two builds. A new version is fetched whole in the background and
 * takes over at the next load of the last open page. Only the files of the build are ever answered from here; /api, /ws and everything
 * else always goes to the network. The build replaces the two placeholders below.
 */

const VERSION = "__VERSION__";
const ASSETS = ["__ASSETS__"];
const CACHE_PREFIX = "distli-shell-";
const CACHE = CACHE_PREFIX + VERSION;
const KNOWN = new Set(ASSETS);

self.addEventListener("install", (event) => {
  event.waitUntil(precache());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(takeOver());
});

self.addEventListener("message", (event) => {
  if (event.data === "skip-waiting") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  const path = url.pathname === "/index.html" ? "/" : url.pathname;
  if (!KNOWN.has(path)) return;
  event.respondWith(request.mode === "navigate" ? openPage(path) : fromCache(path, request));
});

/** Fetches the whole version past the HTTP cache; a single failure leaves the old version in place. */
async function precache() {
  const cache = await caches.open(CACHE);
  await cache.addAll(ASSETS.map((path) => new Request(path, { cache: "reload" })));
}

/** Drops the caches of older versions and serves pages that were loaded without a worker. */
async function takeOver() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(CACHE_PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/**
 * Opens a page; if a newer version waits and no other page is open, lets it take over first.
 * @param {string} path
 */
async function openPage(path) {
  const { waiting } = self.registration;
  if (waiting) {
    const pages = await self.clients.matchAll({ type: "window" });
    if (pages.length < 2) {
      waiting.postMessage("skip-waiting");
      return new Response("", { headers: { Refresh: "0", "Content-Type": "text/html" } });
    }
  }
  return fromCache(path, path);
}

/**
 * @param {string} path
 * @param {RequestInfo} request
 */
async function fromCache(path, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(path)) ?? fetch(request);
}
