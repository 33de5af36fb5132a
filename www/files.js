// Export and import of a chain file. An import is proved by the node before anything of it is used.

import { byId, element } from "./dom.js";
import { bytes, count } from "./format.js";
import { notify, notifyError, reasonOf } from "./notices.js";

const IMPORT_BYTES_MAX = 256 * 1024 * 1024;

/** Wires the buttons to a node until `signal` aborts. */
export function setUpFiles(node, signal) {
  const progress = byId("copy-progress");
  const working = async (work) => {
    progress.hidden = false;
    try {
      await work();
    } finally {
      progress.hidden = true;
    }
  };
  byId("export").addEventListener("click", () => working(async () => {
    try {
      const { filename, text } = await node.exportChain();
      save(filename, text);
      notify({ title: `Exported ${filename}`, text: `${bytes(text.length)}. Keep it somewhere else: it is your copy if this browser clears its data.` });
    } catch (error) {
      notifyError("The chain was not exported", error);
    }
  }), { signal });
  byId("import").addEventListener("change", (event) => working(async () => {
    const input = event.target;
    const [file] = input.files;
    if (!file) return;
    try {
      await importFile(node, file);
    } catch (error) {
      notifyError(`${file.name} was refused`, {
        reason: reasonOf(error), remedy: error?.remedy ?? "Nothing of it was used; your chain is as before. Ask for a fresh export of this network.",
      });
    } finally {
      input.value = "";
    }
  }), { signal });
}

async function importFile(node, file) {
  if (file.size > IMPORT_BYTES_MAX) throw new Error(`it has ${bytes(file.size)}, ${bytes(IMPORT_BYTES_MAX)} are allowed`);
  const result = await node.importChain(await file.text());
  if (result?.legacy) {
    notify({ level: "warning", title: `${file.name} is an unverified legacy file`, text: "Version 1.0 files carry no proof. It was read but not merged into this chain." });
    return;
  }
  const known = result?.alreadyKnown ?? 0;
  notify({ title: `Imported ${file.name}`, text: `${count(result?.accepted ?? 0)} new, ${count(known)} already known. Each block was checked.` });
}

/** Hands a text to the user as a file. */
export function save(filename, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = element("a", { href: url, download: filename });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
