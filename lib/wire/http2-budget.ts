/**
 * Bounds the bytes that many streams hold together, at the price of one addition a write: what is spent is an upper
 * estimate, and only when that reaches the limit are the streams asked what they really hold.
 */
export class Budget {
  readonly #limitBytes: number;
  readonly #held: () => number;
  #spentBytes = 0;

  /** `held` sums what all streams hold at the moment. */
  constructor(limitBytes: number, held: () => number) {
    this.#limitBytes = limitBytes;
    this.#held = held;
  }

  /** Whether so many bytes more fit. They count as held until the streams are asked. */
  spend(bytes: number): boolean {
    if (this.#spentBytes + bytes <= this.#limitBytes) {
      this.#spentBytes += bytes;
      return true;
    }
    const heldBytes = this.#held();
    // Near the limit the answer is no, so that the streams are not asked again and again.
    if (heldBytes + bytes > this.#limitBytes - this.#limitBytes / 64) return false;
    this.#spentBytes = heldBytes + bytes;
    return true;
  }
}
