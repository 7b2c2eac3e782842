import type { Cancel, Clock } from "../core/world.ts";

/** A stream, or a call, that the function may leave hanging until others end. */
export interface Waiter {
  /** Commands that wait for it to be served. */
  readonly load: number;
  /** The function has answered on it, or it is over. */
  readonly isServed: boolean;
}

/**
 * A function with few threads takes every stream, serves as many as it has threads, and lets the others hang until one of
 * those ends: then idle entities must make room.
 */
export interface Pressure {
  /** Watches a stream from its opening on, until it is served. */
  watch(waiter: Waiter): void;
  /** Lets go of one that is served, which holds nothing up but memory. */
  forget(waiter: Waiter): void;
  stop(): void;
}

/** How often room is looked for while streams hang for which there was none, and how much is made at once at most. */
const retryMs = 10;
const roomAtOnceMax = 64;

export interface PressureOptions {
  /** How long a stream hangs before room is made for it. */
  readonly afterMs: number;
  /** Whether room is made once more for every further `afterMs`. */
  readonly repeats: boolean;
}

/** Calls `makeRoom` for every stream that has hung for so long; as soon as there is something that can make room, if nothing can now. */
export function createPressure(clock: Clock, { afterMs, repeats }: PressureOptions, makeRoom: () => boolean): Pressure {
  /** In the order in which they may ask for room. */
  const young = new Map<Waiter, number>();
  const hanging = new Set<Waiter>();
  let timer: Cancel | undefined;

  function arm(): void {
    if (timer) return;
    const [first] = young.values();
    const untilFirstMs = first === undefined ? Number.POSITIVE_INFINITY : first - clock.monotonic();
    const waitMs = hanging.size > 0 ? Math.min(retryMs, untilFirstMs) : untilFirstMs;
    if (waitMs === Number.POSITIVE_INFINITY) return;
    timer = clock.after(Math.max(1, waitMs), () => {
      timer = undefined;
      look();
      arm();
    });
  }

  function look(): void {
    const nowMs = clock.monotonic();
    for (const [waiter, atMs] of young) {
      if (atMs > nowMs) break;
      young.delete(waiter);
      if (!waiter.isServed) hanging.add(waiter);
    }
    let made = 0;
    for (const waiter of hanging) {
      if (waiter.isServed) hanging.delete(waiter);
      else if (waiter.load === 0 || (made < roomAtOnceMax && makeRoom())) {
        if (waiter.load > 0) made += 1;
        hanging.delete(waiter);
        if (repeats) young.set(waiter, nowMs + afterMs);
      } else break;
    }
  }

  return {
    watch(waiter) {
      hanging.delete(waiter);
      young.delete(waiter);
      young.set(waiter, clock.monotonic() + afterMs);
      arm();
    },
    forget(waiter) {
      hanging.delete(waiter);
      young.delete(waiter);
    },
    stop() {
      timer?.();
      timer = undefined;
      young.clear();
      hanging.clear();
    },
  };
}
