/** When mining rests although it is switched on: while the page is hidden, while the device runs on battery; each by choice. */

/** @typedef {{hidden: boolean, battery: boolean}} PauseChoice */

/**
 * Why mining rests now; null if it need not.
 * @param {PauseChoice} choice what the user wants it to rest for
 * @param {{hidden: boolean, onBattery: boolean}} now
 * @returns {"hidden" | "battery" | null}
 */
export function pauseReason(choice, { hidden, onBattery }) {
  if (choice.hidden && hidden) return "hidden";
  if (choice.battery && onBattery) return "battery";
  return null;
}

/** Watches page and battery, and tells when the reason changes. Where the browser hides its battery it counts as plugged in. */
export class MiningPause {
  /** @type {PauseChoice} */
  #choice = { hidden: false, battery: false };
  #onChange;
  /** @type {any} */
  #battery = null;
  #asked = false;
  /** @type {"hidden" | "battery" | null} */
  #reason = null;
  #look = () => {
    const reason = this.reason;
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.#onChange();
  };

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    document.addEventListener("visibilitychange", this.#look);
  }

  get reason() {
    const onBattery = this.#battery ? !this.#battery.charging : false;
    return pauseReason(this.#choice, { hidden: document.hidden, onBattery });
  }

  /** @param {Partial<PauseChoice>} choice */
  async choose(choice) {
    this.#choice = { hidden: Boolean(choice.hidden), battery: Boolean(choice.battery) };
    if (this.#choice.battery) await this.#watchBattery();
    this.#reason = this.reason;
  }

  close() {
    document.removeEventListener("visibilitychange", this.#look);
    this.#battery?.removeEventListener("chargingchange", this.#look);
  }

  async #watchBattery() {
    if (this.#asked) return;
    this.#asked = true;
    try {
      this.#battery = (await /** @type {any} */ (navigator).getBattery?.()) ?? null;
      this.#battery?.addEventListener("chargingchange", this.#look);
    } catch {
      // Forbidden: as if plugged in.
    }
  }
}
