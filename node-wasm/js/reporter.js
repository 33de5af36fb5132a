/**
 * What the page gets to see: throttled status, new blocks, the pending list, notices, and the localStorage window.
 */

const STATUS_MS = 250;
const MINING_STATUS_MS = 500;
const PENDING_MS = 10;
/** Beyond, how many peers have each pending transaction is told when something else happens to them. */
const PENDING_FOLLOWED_MAX = 50;
const WINDOW_MS = 1_000;
const QUOTA_MS = 30_000;
/** After a long sync only the newest blocks of a step are announced; the others are there to be read. */
const ANNOUNCED_MAX = 50;
/** So far behind the best header, new blocks are announced now and then: showing each would take the time to get the next. */
const BEHIND_BLOCKS = 50;
const BEHIND_MS = 500;
const ALMOST_FULL = 0.9;

/** A task that takes long is run so seldom that it takes a tenth of the time at most. */
const SHARE = 10;

/**
 * Runs a task at once, then at most every `ms`, never losing the last request.
 * @param {number} ms
 * @param {() => void} task
 */
function throttled(ms, task) {
  let timer = 0;
  let again = false;
  const run = () => {
    again = false;
    const started = performance.now();
    task();
    const took = performance.now() - started;
    timer = setTimeout(() => {
      timer = 0;
      if (again) run();
    }, Math.max(ms, took * SHARE));
  };
  return {
    call() {
      again = true;
      if (!timer) timer = setTimeout(run, 0);
    },
    cancel: () => clearTimeout(timer),
  };
}

export class Reporter {
  joined = false;
  #session;
  #trackerUrl;
  #quota = { usageBytes: 0, quotaBytes: 0, persisted: false };
  #quotaTimer = 0;
  #miningTimer = 0;
  #warnedFull = false;
  #started = false;
  #notedHeight = 0;
  #status = throttled(STATUS_MS, () => this.#sendStatus());
  #pending = throttled(PENDING_MS, () => this.#session.event("pending", this.#session.core.pending()));
  #unannounced = 0;
  #behind = throttled(BEHIND_MS, () => this.#announce());
  #window = throttled(WINDOW_MS, () => this.#sendWindow());

  /**
   * @param {import("./node-session.js").NodeSession} session
   * @param {string | null} trackerUrl
   */
  constructor(session, trackerUrl) {
    this.#session = session;
    this.#trackerUrl = trackerUrl;
  }

  /**
   * Begins to report, once the chain is restored.
   * @param {number} height
   */
  start(height) {
    this.#started = true;
    this.#notedHeight = height;
    this.#measureQuota();
    this.#quotaTimer = setInterval(() => this.#measureQuota(), QUOTA_MS);
    this.#miningTimer = setInterval(() => this.#session.pool.active && this.#status.call(), MINING_STATUS_MS);
    this.#status.call();
    this.#pending.call();
  }

  /** Writes the window a last time and falls silent. */
  async stop() {
    clearInterval(this.#quotaTimer);
    clearInterval(this.#miningTimer);
    this.#status.cancel();
    this.#pending.cancel();
    this.#behind.cancel();
    this.#window.cancel();
    if (this.#started) await this.#sendWindow();
    this.#started = false;
  }

  /** Something happened; the status may have changed. */
  changed() {
    if (this.#started) this.#status.call();
  }

  /** The full status of this node. */
  status() {
    const { core, mining, network, pool, store, archive, trackerState, trackerUrl } = this.#session;
    const status = core.status();
    return {
      ...status,
      access: network.networkKey ? "private" : "open",
      tracker: trackerState,
      trackerUrl: trackerUrl ?? this.#trackerUrl,
      mining: { ...mining, workers: pool.size, hashesPerSecond: pool.hashesPerSecond, active: pool.active },
      storage: { writer: store.writer, locks: archive.locks.native, ...this.#quota },
    };
  }

  /**
   * Passes an event of the Core on to the page.
   * @param {any} event
   */
  onEvent(event) {
    switch (event.kind) {
      case "tip":
        this.#onTip(event);
        break;
      case "pending":
      case "confirmed":
        this.#pending.call();
        this.#window.call();
        break;
      case "tracker":
        this.joined = event.state === "joined";
        this.#session.event("tracker", event);
        this.changed();
        break;
      case "refused":
        this.#session.event("refused", { reason: event.reason, source: event.source });
        break;
      case "conflict":
        this.#session.event("conflict", event);
        break;
      case "abandoned":
        this.#session.event("abandoned", { from: event.from, to: event.to, tip: event.tip, finalHeight: event.finalHeight });
        this.#pending.call();
        this.changed();
        break;
      case "reset":
        this.#session.event("reset", { number: event.number, from: event.from });
        this.#pending.call();
        this.changed();
        break;
      case "split":
        this.#session.event("split", { enterpriseHeight: event.enterpriseHeight });
        this.changed();
        break;
      case "clock":
        this.#session.event("error", {
          message: `This device's clock differs from its peers' by ${Math.round(Number(event.offsetMs) / 1_000)} seconds.`,
          remedy: "Set the clock of this device.",
        });
        break;
      default: // peers, synced, anchored, final: all of it is in the status.
        this.#window.call();
        this.changed();
    }
  }

  /** @param {{height: number, connected?: number}} event */
  #onTip({ height, connected }) {
    if (!this.#started) return;
    this.#unannounced += connected ?? 1;
    if (this.#session.core.bestHeight() > height + BEHIND_BLOCKS) this.#behind.call();
    else this.#announce();
    this.#window.call();
  }

  #announce() {
    const count = Math.min(this.#unannounced, ANNOUNCED_MAX);
    this.#unannounced = 0;
    for (const block of this.#session.core.blocks(undefined, count)) this.#session.event("block", { block });
    this.#pending.call();
  }

  #sendStatus() {
    const status = this.status();
    this.#session.event("status", status);
    // Which peers have what waits changes without an event of its own.
    if (status.pendingCount > 0 && status.pendingCount <= PENDING_FOLLOWED_MAX) this.#pending.call();
  }

  /** Hands the window to the page, if this tab is the one that writes. */
  async #sendWindow() {
    const { core, network, store, archive, post } = this.#session;
    if (!store.writer) return;
    const { height, syncedHeight } = core.status();
    post({ type: "window", networkId: network.networkId, chainId: network.chainId, text: core.window(Date.now()), synced: String(syncedHeight) });
    if (height === this.#notedHeight) return;
    this.#notedHeight = height;
    await archive.noteHeight(network.chainId, height).catch(() => {}); // A hint only; the archive itself reports its failures.
  }

  async #measureQuota() {
    try {
      const { usage = 0, quota = 0 } = await navigator.storage.estimate();
      const persisted = await navigator.storage.persisted();
      this.#quota = { usageBytes: usage, quotaBytes: quota, persisted };
      this.#warnWhenFull(usage, quota);
    } catch {
      // Plain http offers no estimate; the zeros say so.
    }
  }

  /**
   * @param {number} usage
   * @param {number} quota
   */
  #warnWhenFull(usage, quota) {
    if (this.#warnedFull || quota === 0 || usage < quota * ALMOST_FULL) return;
    this.#warnedFull = true;
    this.#session.event("storage", {
      level: "warning",
      message: "The browser's storage for this page is almost full.",
      remedy: "Export the chain, then free space on this device or in this browser's site data.",
    });
  }
}
