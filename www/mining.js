// The mining panel: switch, mode, workers, rests, live rate with its last minute. Remembers mode and workers, never the switch:
// a fresh page does not mine.

import { byId, element, setText } from "./dom.js";
import { count, duration, hashRate } from "./format.js";
import { notifyError } from "./notices.js";

const PREFERENCES = "distli/mining";
const SAMPLES_MAX = 60;
const SAMPLE_EVERY_MS = 1000;
const SPARK_WIDTH = 120;
const SPARK_HEIGHT = 34;

/** Wires the panel to a node until `signal` aborts; returns a function that shows a status. */
export function setUpMining(node, signal) {
  const toggle = byId("mine-toggle");
  const mode = byId("mine-mode");
  const workers = byId("mine-workers");
  const pauses = { hidden: byId("pause-hidden"), battery: byId("pause-battery") };
  byId("pause-battery-choice").hidden = !("getBattery" in navigator);
  const samples = [];
  let sampledAt = 0;
  fillWorkers(workers);
  restore(mode, workers, pauses);

  const order = async (on) => {
    toggle.dataset.busy = "true";
    try {
      if (on) await node.startMining({ when: mode.value, workers: Number(workers.value), pause: chosen(pauses) });
      else await node.stopMining();
      toggle.setAttribute("aria-checked", String(on));
    } catch (error) {
      notifyError(on ? "Mining did not start" : "Mining did not stop", error);
    } finally {
      delete toggle.dataset.busy;
    }
  };
  const isOn = () => toggle.getAttribute("aria-checked") === "true";
  toggle.addEventListener("click", () => {
    if (!toggle.dataset.busy) order(!isOn());
  }, { signal });
  for (const choice of [mode, workers, pauses.hidden, pauses.battery]) {
    choice.addEventListener("change", () => {
      remember(mode, workers, pauses);
      if (isOn()) order(true);
    }, { signal });
  }

  return (status) => {
    const mining = status.mining ?? { when: "off", active: false, hashesPerSecond: 0 };
    if (!toggle.dataset.busy) toggle.setAttribute("aria-checked", String(mining.when !== "off"));
    const rate = mining.active ? mining.hashesPerSecond : 0;
    const value = byId("hash-rate");
    setText(value, hashRate(rate));
    value.dataset.hps = String(Math.round(rate ?? 0));
    const now = Date.now();
    if (now - sampledAt >= SAMPLE_EVERY_MS) {
      sampledAt = now;
      samples.push(rate ?? 0);
      if (samples.length > SAMPLES_MAX) samples.shift();
      byId("spark").setAttribute("points", samples.some((sample) => sample > 0) ? points(samples) : "");
    }
    showState(status, mining);
  };
}

function showState(status, mining) {
  const stage = mining.active ? "live" : mining.when === "off" ? "" : "wait";
  let words = "Off. This tab spends no work.";
  if (mining.active) words = `Mining block ${count(status.height + 1)}${expectation(status, mining)}`;
  else if (mining.when !== "off" && mining.paused) words = mining.paused === "battery" ? "On. Rests until the device is plugged in." : "On. Rests while this tab is hidden.";
  else if (mining.when !== "off" && status.syncing) words = "On. Asks peers for newer blocks first.";
  else if (mining.when === "pending") words = "On. Waits until something is pending.";
  else if (mining.when === "always") words = "On. Starting…";
  const place = byId("mining-state");
  place.dataset.active = String(Boolean(mining.active));
  if (place.dataset.stage === stage && place.lastChild?.textContent === words) return;
  place.dataset.stage = stage;
  place.replaceChildren(element("span", { class: "mark", data: { stage }, "aria-hidden": "true" }), element("span", { text: words }));
}

/** How long a block takes here on average, if the status tells the expected number of hashes. */
function expectation(status, mining) {
  const seconds = Number(status.difficulty) / Number(mining.hashesPerSecond);
  return Number.isFinite(seconds) && seconds > 0 ? `, about ${duration(Math.max(1000, seconds * 1000))} each at this rate` : "";
}

function points(samples) {
  const top = Math.max(1, ...samples);
  const first = SAMPLES_MAX - samples.length;
  return samples.map((sample, index) => {
    const x = ((first + index) / (SAMPLES_MAX - 1)) * SPARK_WIDTH;
    return `${x.toFixed(1)},${(1 + SPARK_HEIGHT * (1 - sample / top)).toFixed(1)}`;
  }).join(" ");
}

function fillWorkers(select) {
  const cores = Math.max(1, Math.min(16, navigator.hardwareConcurrency || 2));
  select.replaceChildren(...Array.from({ length: cores }, (_, index) => element("option", { value: String(index + 1), text: String(index + 1) })));
  select.value = String(Math.max(1, cores - 1));
}

function chosen(pauses) {
  return { hidden: pauses.hidden.checked, battery: pauses.battery.checked };
}

function restore(mode, workers, pauses) {
  try {
    const saved = JSON.parse(localStorage.getItem(PREFERENCES) ?? "{}");
    if (["pending", "always"].includes(saved.mode)) mode.value = saved.mode;
    if ([...workers.options].some((option) => option.value === String(saved.workers))) workers.value = String(saved.workers);
    for (const [name, box] of Object.entries(pauses)) box.checked = saved.pause?.[name] === true;
  } catch {
    // A damaged or forbidden preference is no preference.
  }
}

function remember(mode, workers, pauses) {
  try {
    localStorage.setItem(PREFERENCES, JSON.stringify({ mode: mode.value, workers: Number(workers.value), pause: chosen(pauses) }));
  } catch {
    // Without storage the choice lasts until the page is closed.
  }
}
