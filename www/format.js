// Numbers, times and hashes as text. Pure functions; times are milliseconds since 1970.

const grouped = new Intl.NumberFormat("en-US");
const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayTime = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** 1234567 → "1,234,567". */
export function count(value) {
  return grouped.format(Number(value ?? 0));
}

/** count(2) + noun: "1 peer", "2 peers". */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${Number(value) === 1 ? one : many}`;
}

/** The first and last digits of a hash, enough to tell two apart by eye. */
export function shortHash(hash, head = 8, tail = 6) {
  const text = String(hash ?? "");
  return text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(text.length - tail)}`;
}

/** 4210000 → "4.21 MH/s". */
export function hashRate(perSecond) {
  return `${scaled(perSecond, 1000, ["", "k", "M", "G", "T"])}H/s`;
}

/** 1536 → "1.5 KiB". */
export function bytes(value) {
  return `${scaled(value, 1024, ["", "Ki", "Mi", "Gi", "Ti"])}B`;
}

/** 95000 → "1 min 35 s". */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(Number(ms) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${plural(Math.floor(seconds / 86400), "day")} ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** How long ago a moment was: "now", "12 seconds ago", "3 hours ago". */
export function ago(at, now = Date.now()) {
  const seconds = Math.round((Number(at) - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 3) return "now";
  if (size < 60) return relative.format(seconds, "second");
  if (size < 3600) return relative.format(Math.trunc(seconds / 60), "minute");
  if (size < 86400) return relative.format(Math.trunc(seconds / 3600), "hour");
  return relative.format(Math.trunc(seconds / 86400), "day");
}

/** The moment itself: the time for today, else date and time. */
export function moment(at) {
  const date = new Date(Number(at));
  if (Number.isNaN(date.getTime())) return "unknown time";
  return date.toDateString() === new Date().toDateString() ? clockTime.format(date) : dayTime.format(date);
}

/** Fills a <time> element with the age of `at`; refreshTimes keeps it true. */
export function setTime(node, at) {
  const date = new Date(Number(at));
  if (!at || Number.isNaN(date.getTime())) {
    node.textContent = "never";
    return node;
  }
  node.dateTime = date.toISOString();
  node.title = date.toLocaleString();
  node.textContent = ago(at);
  return node;
}

/** Rewrites every <time datetime> below `root` as an age. */
export function refreshTimes(root = document) {
  const now = Date.now();
  for (const node of root.querySelectorAll("time[datetime]")) {
    const text = ago(Date.parse(node.dateTime), now);
    if (node.textContent !== text) node.textContent = text;
  }
}

function scaled(value, step, prefixes) {
  let number = Number(value) || 0;
  let index = 0;
  while (number >= step && index < prefixes.length - 1) {
    number /= step;
    index += 1;
  }
  const digits = index === 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
  return `${number.toFixed(digits)} ${prefixes[index]}`;
}
