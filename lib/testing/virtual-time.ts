import type { Cancel, Clock } from "../core/world.ts";

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
  isCanceled: boolean;
}

/** Time that goes on only by what is scheduled: the earliest first, of equal times the first to be scheduled. */
export class VirtualTime {
  readonly #heap: Timer[] = [];
  #nowMs = 0;
  #order = 0;

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback, isCanceled: false };
    this.#push(timer);
    return () => void (timer.isCanceled = true);
  }

  /** Runs the next thing that is due by `untilMs`; false, and it is then, if there is none. */
  step(untilMs: number): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return false;
      }
      this.#pop();
      if (next.isCanceled) continue;
      this.#nowMs = next.atMs;
      next.callback();
      return true;
    }
  }

  run(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs;
    while (this.step(untilMs));
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let place = heap.push(timer) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (isBefore(heap[above]!, timer)) break;
      heap[place] = heap[above]!;
      place = above;
    }
    heap[place] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below += 1;
      if (isBefore(last, heap[below]!)) break;
      heap[place] = heap[below]!;
      place = below;
    }
    heap[place] = last;
  }
}

function isBefore(left: Timer, right: Timer): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

/** The clock of one simulated process: its timers end with it, and are held while it is stopped. */
export class ProcessClock implements Clock {
  readonly #time: VirtualTime;
  readonly #startedMs: number;
  readonly #held: (() => void)[] = [];
  #isStopped = false;
  #isOver = false;
  /** How far the machine's clock is off. */
  skewMs: number;

  constructor(time: VirtualTime, skewMs: number) {
    this.#time = time;
    this.#startedMs = time.now();
    this.skewMs = skewMs;
  }

  now(): number {
    return 1_700_000_000_000 + this.#time.now() + this.skewMs;
  }

  monotonic(): number {
    return this.#time.now() - this.#startedMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    let isCanceled = false;
    this.#time.after(delayMs, () => {
      const run = () => {
        if (!isCanceled && !this.#isOver) callback();
      };
      if (this.#isStopped) this.#held.push(run);
      else run();
    });
    return () => void (isCanceled = true);
  }

  every(periodMs: number, callback: () => void): Cancel {
    let cancel = this.after(periodMs, tick.bind(this));
    return () => cancel();
    function tick(this: ProcessClock): void {
      cancel = this.after(periodMs, tick.bind(this));
      callback();
    }
  }

  sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const cancel = this.after(delayMs, () => resolve(undefined));
    signal.addEventListener("abort", () => {
      cancel();
      reject(signal.reason as Error);
    });
    return promise;
  }

  stop(): void {
    this.#isStopped = true;
  }

  goOn(): void {
    this.#isStopped = false;
    for (const run of this.#held.splice(0)) run();
  }

  end(): void {
    this.#isOver = true;
  }
}
