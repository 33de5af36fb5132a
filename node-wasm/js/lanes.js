/**
 * What waits for one data channel, in three lanes: blocks and requests, transactions, history. Pure bookkeeping.
 *
 * What has been handed to the channel can't be overtaken any more, so the lanes differ in how much they may hand over: history one chunk
 * at a time and only while the channel's buffer is empty, so that a new block never waits for more than that chunk.
 */

/** A lane is handed over while no more than this is buffered, bytes. */
const BUFFERED_MAX = [1 << 20, 1 << 18, 0];

export class Lanes {
  /** @type {Uint8Array[][]} */
  #lanes = BUFFERED_MAX.map(() => []);
  #bytes = 0;

  /** Bytes that wait. */
  get bytes() {
    return this.#bytes;
  }

  /**
   * @param {Uint8Array} chunk
   * @param {number} lane 0 is the most urgent; unknown ones come last
   */
  push(chunk, lane) {
    this.#lanes[Math.min(lane, BUFFERED_MAX.length - 1)].push(chunk);
    this.#bytes += chunk.length;
  }

  /**
   * The chunk that may be handed over now.
   * @param {number} buffered what the channel has not sent yet
   * @returns {Uint8Array | undefined}
   */
  next(buffered) {
    for (const [lane, chunks] of this.#lanes.entries()) {
      const [first] = chunks;
      if (!first) continue;
      if (buffered > BUFFERED_MAX[lane]) return undefined;
      chunks.shift();
      this.#bytes -= first.length;
      return first;
    }
    return undefined;
  }
}
