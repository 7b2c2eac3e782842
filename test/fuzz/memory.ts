const mib = 1024 * 1024;
/** What a proxy may have grown by, from after its warm-up to the end. */
const growthMax = 50 * mib;
/** Too short to tell growth from warming up. */
const shortestMs = 60_000;

/** The resident memory of a process over time. */
export class Memory {
  readonly #read: () => number;
  readonly #totalMs: number;
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(read: () => number, totalMs: number) {
    this.#read = read;
    this.#totalMs = totalMs;
  }

  sample(atMs: number): void {
    this.#samples.push({ atMs, bytes: this.#read() });
  }

  /** Now, and the growth since the warm-up when there was one. */
  get told(): string {
    const now = this.#samples.at(-1)?.bytes ?? 0;
    const growth = this.#growth();
    return `${Math.round(now / mib)} MB${growth === undefined ? "" : ` (${growth < 0 ? "" : "+"}${Math.round(growth / mib)})`}`;
  }

  /** What is wrong with it, if anything. */
  complaint(): string | undefined {
    const growth = this.#growth();
    if (growth === undefined || growth <= growthMax) return undefined;
    return `its memory grew by ${Math.round(growth / mib)} MB after the warm-up: ${this.told}`;
  }

  /** Between the medians of the tenth of the time after the warm-up (a fifth) and of the last tenth so far. */
  #growth(): number | undefined {
    const nowMs = this.#samples.at(-1)?.atMs ?? 0;
    const tenthMs = this.#totalMs / 10;
    if (this.#totalMs < shortestMs || nowMs < 4 * tenthMs) return undefined;
    return this.#median(nowMs - tenthMs, nowMs) - this.#median(2 * tenthMs, 3 * tenthMs);
  }

  #median(fromMs: number, toMs: number): number {
    const within = this.#samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs).map(({ bytes }) => bytes);
    return within.sort((left, right) => left - right)[within.length >> 1] ?? 0;
  }
}
