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
/** For so long what was learned of the function's threads is taken for granted. */
const learnedForMs = 10_000;

export interface PressureOptions {
  /** How long a stream hangs before room is made for it. */
  readonly afterMs: number;
  /** For streams that are held until their entity ends. */
  readonly streams?: HeldStreams;
}

export interface HeldStreams {
  /** How many there are, those that wait included. */
  readonly count: () => number;
  /** One hung while so many were served: as many threads the function seems to have. Called again when it is learned anew. */
  readonly learned: (served: number) => void;
}

/**
 * Calls `makeRoom` for every waiter that has hung for so long; as soon as there is something that can make room, if nothing can
 * now. Room is made once for a call, and for a stream once more for every further `afterMs`. How many streams were served while
 * one hung is kept in mind until more are, or for a while: room for further ones is made at once.
 */
export function createPressure(clock: Clock, { afterMs, streams }: PressureOptions, makeRoom: () => boolean): Pressure {
  /** In the order in which they may ask for room, but for those that were in `hurried`. */
  const young = new Map<Waiter, number>();
  const hanging = new Set<Waiter>();
  /** They would hang, by what was learned; and when they may ask for room if that is not so. */
  const hurried = new Map<Waiter, number>();
  let learnedAtMs = Number.NEGATIVE_INFINITY;
  let servedMax = Number.POSITIVE_INFINITY;
  let timer: Cancel | undefined;
  let timerAtMs = Number.POSITIVE_INFINITY;

  function arm(withinMs = Number.POSITIVE_INFINITY): void {
    const nowMs = clock.monotonic();
    const [first = Number.POSITIVE_INFINITY] = young.values();
    const retry = hanging.size + hurried.size > 0 ? retryMs : Number.POSITIVE_INFINITY;
    const waitMs = Math.max(1, Math.min(retry, withinMs, first - nowMs));
    if (nowMs + waitMs >= timerAtMs || waitMs === Number.POSITIVE_INFINITY) return;
    timer?.();
    timerAtMs = nowMs + waitMs;
    timer = clock.after(waitMs, () => {
      timer = undefined;
      timerAtMs = Number.POSITIVE_INFINITY;
      look();
      arm();
    });
  }

  function look(): void {
    const nowMs = clock.monotonic();
    if (servedMax < Number.POSITIVE_INFINITY && (nowMs - learnedAtMs >= learnedForMs || served() > servedMax)) {
      servedMax = Number.POSITIVE_INFINITY;
    }
    if (servedMax === Number.POSITIVE_INFINITY) {
      for (const [waiter, atMs] of hurried) young.set(waiter, atMs);
      hurried.clear();
    }
    for (const [waiter, atMs] of young) {
      if (atMs > nowMs) break;
      young.delete(waiter);
      if (!waiter.isServed) hanging.add(waiter);
    }
    const madeForOld = makeRoomFor(hanging, nowMs, roomAtOnceMax);
    makeRoomFor(hurried, nowMs, roomAtOnceMax - madeForOld);
    if (streams && madeForOld > 0 && servedMax === Number.POSITIVE_INFINITY) {
      servedMax = served();
      learnedAtMs = nowMs;
      streams.learned(servedMax);
    }
  }

  /** How many of them room was made for, until there was no more to be had. */
  function makeRoomFor(waiters: Map<Waiter, number> | Set<Waiter>, nowMs: number, most: number): number {
    let made = 0;
    for (const waiter of waiters.keys()) {
      if (waiter.isServed) waiters.delete(waiter);
      else if (waiter.load === 0 || (made < most && makeRoom())) {
        if (waiter.load > 0) made += 1;
        waiters.delete(waiter);
        if (streams) young.set(waiter, nowMs + afterMs);
      } else break;
    }
    return made;
  }

  function served(): number {
    if (!streams) return 0;
    let unserved = 0;
    for (const waiters of [young, hanging, hurried]) {
      for (const { isServed } of waiters.keys()) if (!isServed) unserved += 1;
    }
    return streams.count() - unserved;
  }

  function forget(waiter: Waiter): void {
    hanging.delete(waiter);
    young.delete(waiter);
    hurried.delete(waiter);
  }

  return {
    watch(waiter) {
      forget(waiter);
      const atMs = clock.monotonic() + afterMs;
      if (streams && streams.count() > servedMax) {
        hurried.set(waiter, atMs);
        arm(0);
        return;
      }
      young.set(waiter, atMs);
      arm();
    },
    forget,
    stop() {
      timer?.();
      timer = undefined;
      timerAtMs = Number.POSITIVE_INFINITY;
      young.clear();
      hanging.clear();
      hurried.clear();
    },
  };
}
