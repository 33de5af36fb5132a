// The page's addresses: `#/p/<invite>` is the invite to a private network, `#/` is the start, `#/n/<network id>` is a network, `#/n/<network id>@<chain id>` that very chain.

/** What a network may be called. */
const NETWORK_ID = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** The label of a later network of the same name: `name~` and the first digits of its chain id. */
const LABEL = /^[a-z0-9][a-z0-9_-]{0,62}(~[0-9a-f]{4,64})?$/;
const CHAIN_ID = /^[0-9a-f]{64}$/;

/** What the address asks for: {view: "start"} or {view: "invite", invite} or {view: "network", networkId, chainId?} or {view: "unknown", text}. */
export function parseRoute(hash) {
  const path = hash.replace(/^#\/?/, "");
  if (path === "") return { view: "start" };
  const invite = inviteOf(hash);
  if (invite) return { view: "invite", invite };
  let target;
  try {
    target = /^n\/(.+)$/.exec(decodeURIComponent(path))?.[1];
  } catch {
    target = undefined;
  }
  const [networkId, chainId] = target?.split("@") ?? [];
  if (!networkId || !LABEL.test(networkId) || (chainId !== undefined && !CHAIN_ID.test(chainId))) {
    return { view: "unknown", text: target ?? path };
  }
  return { view: "network", networkId, chainId };
}

/** What is behind `#/p/` in a text, such as a pasted link; null if that is not in it. */
export function inviteOf(text) {
  return /#\/p\/([\w-]+)\s*$/.exec(text)?.[1] ?? null;
}

/** The address of a network; with a chain id it opens no other chain of that name. */
export function networkHash(networkId, chainId) {
  return `#/n/${networkId}${chainId ? `@${chainId}` : ""}`;
}

/** Whether a text can name an existing network: a network name, or one with the start of its chain id behind it. */
export function isLabel(text) {
  return LABEL.test(text);
}

/** Says what is wrong with a network name, in words that mend it; null when it is right. */
export function nameProblem(name) {
  if (NETWORK_ID.test(name)) return null;
  if (name === "") return "Type a name first: 1 to 63 characters of a–z, 0–9, - and _.";
  if (name.length > 63) return `That is ${name.length} characters; 63 are allowed.`;
  const suggestion = suggestName(name);
  const hint = suggestion ? ` Try ${suggestion}.` : "";
  if (/[A-Z]/.test(name)) return `Capital letters are not allowed.${hint}`;
  if (/\s/.test(name)) return `Spaces are not allowed.${hint}`;
  if (/^[-_]/.test(name)) return `The first character must be a letter or a digit.${hint}`;
  const odd = [...name].find((character) => !/[a-z0-9_-]/.test(character));
  return `“${odd}” is not allowed, only a–z, 0–9, - and _.${hint}`;
}

function suggestName(name) {
  const plain = name.normalize("NFKD").toLowerCase().replace(/[\u0300-\u036f]/g, "");
  const text = plain.replace(/[^a-z0-9_-]+/g, "-").replace(/^[-_]+|[-_]+$/g, "").slice(0, 63);
  return NETWORK_ID.test(text) ? text : null;
}
