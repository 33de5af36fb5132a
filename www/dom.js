// The few DOM operations that the app and the dashboard need. Text only ever enters the page as text nodes:
// there is no way through this module to turn a string into markup.

/**
 * Creates an element. `attributes` become attributes, except `text` (its text), `data` (a map of data-* values) and
 * `on` (a map of event listeners); an attribute that is null, undefined or false is left out.
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with this id; a missing one is a mistake in the page, so it throws. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no element #${id}`);
  return node;
}

/** Sets an element's text if it differs, so that screen readers and selections are not disturbed. */
export function setText(node, text) {
  const value = String(text);
  if (node.textContent !== value) node.textContent = value;
}

/**
 * Makes the children of `parent` match `items` in order, reusing the element of each key.
 * `create(item)` makes an element, `update(element, item)` refreshes one (also called once after create).
 */
export function reconcile(parent, items, keyOf, create, update = () => {}) {
  const known = new Map();
  for (const child of [...parent.children]) known.set(child.dataset.key, child);
  let cursor = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    known.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === cursor) cursor = cursor.nextElementSibling;
    else parent.insertBefore(child, cursor);
  }
  for (const child of known.values()) child.remove();
}

/** A square mark of a stage (see tokens.css) with its words. */
export function state(stage, words) {
  return element("span", { class: "state" }, element("span", { class: "mark", data: { stage }, "aria-hidden": "true" }), words);
}

/** A button that shows a shortened value and copies the whole one. */
export function copyButton(whole, shown, what) {
  return element("button", {
    type: "button", class: "copy", text: shown, title: whole, "aria-label": `${what} ${shown}, copy`,
    on: { click: (event) => copyFrom(event.currentTarget, whole) },
  });
}

/** Copies text and marks the button for two seconds. Resolves to whether it was copied. */
export async function copyFrom(button, text) {
  const copied = await copy(text);
  if (copied) {
    button.dataset.copied = "true";
    setTimeout(() => delete button.dataset.copied, 2000);
  }
  return copied;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Plain http has no clipboard interface; selecting and copying still works there. */
function copyBySelection(text) {
  const area = element("textarea", { class: "visually-hidden", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

/** Shows a QR code (`{size, path}`, drawn by the node) in an svg with one path; hides it where there is none. */
export function drawQr(picture, qr) {
  picture.toggleAttribute("hidden", qr === null);
  if (!qr) return;
  picture.setAttribute("viewBox", `0 0 ${qr.size} ${qr.size}`);
  picture.firstElementChild.setAttribute("d", qr.path);
}
