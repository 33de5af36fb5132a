// Notices to the user: at most four at once, equal ones are counted instead of repeated, each can be dismissed.
// Information leaves by itself after eight seconds; warnings and errors stay until they are dismissed.

import { byId, element, setText } from "./dom.js";

const VISIBLE_MAX = 4;
const INFORMATION_MS = 8000;
const STAGES = { info: "ok", warning: "wait", error: "fail" };

/** Shows a notice. `level` is "info", "warning" or "error"; `text` says more, usually how to mend it. */
export function notify({ level = "info", title, text = "" }) {
  const region = byId("notices");
  const key = `${level}\n${title}\n${text}`;
  const same = [...region.children].find((child) => child.dataset.key === key);
  if (same) {
    repeat(same);
    return;
  }
  const item = notice(level, title, text);
  item.dataset.key = key;
  region.append(item);
  if (level === "info") setTimeout(() => item.remove(), INFORMATION_MS);
  while (region.children.length > VISIBLE_MAX) region.firstElementChild.remove();
}

/** Shows an error that something threw: what happened, and its remedy where it names one. */
export function notifyError(title, error) {
  notify({ level: "error", title: `${title}: ${reasonOf(error)}`, text: error?.remedy ?? "" });
}

/** What happened, without the remedy: errors of the node carry the two apart. */
export function reasonOf(error) {
  return error?.reason ?? error?.message ?? String(error);
}

/** Removes every notice, when another view is opened. */
export function clearNotices() {
  byId("notices").replaceChildren();
}

function notice(level, title, text) {
  const words = element("div", {},
    element("p", {}, element("span", { class: "notice-title", text: title }), element("span", { class: "notice-count small soft" })),
    text ? element("p", { class: "notice-text soft", text }) : null);
  const dismiss = element("button", {
    type: "button", class: "button button-quiet button-small", text: "Dismiss", "aria-label": `Dismiss: ${title}`, data: { testid: "notice-dismiss" },
    on: { click: (event) => event.currentTarget.closest(".notice").remove() },
  });
  return element("div", { class: "notice", role: level === "info" ? "status" : "alert", data: { testid: "notice", level } },
    element("span", { class: "mark", data: { stage: STAGES[level] }, "aria-hidden": "true" }), words, dismiss);
}

function repeat(item) {
  const times = Number(item.dataset.times ?? 1) + 1;
  item.dataset.times = String(times);
  setText(item.querySelector(".notice-count"), ` ×${times}`);
}
