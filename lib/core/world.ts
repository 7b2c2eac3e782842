import { randomBytes, randomInt } from "node:crypto";

/** Stops a timer; calling it twice, or after the timer has run, does nothing. */
export type Cancel = () => void;

/** Time, as milliseconds. `now` may jump with the machine's clock, `monotonic` never goes back. */
export interface Clock {
  now(): number;
  monotonic(): number;
  /** Runs `callback` once after `delayMs`. */
  after(delayMs: number, callback: () => void): Cancel;
  /** Runs `callback` every `periodMs` until cancelled. */
  every(periodMs: number, callback: () => void): Cancel;
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>;
}

export interface Random {
  /** A whole number in [0, below). */
  int(below: number): number;
  bytes(count: number): Uint8Array;
}

/** All that a core may not take from the machine by itself; the simulator brings its own. */
export interface World {
  readonly clock: Clock;
  readonly random: Random;
}

/** The machine's own clock and randomness. */
export const realWorld: World = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    every(periodMs, callback) {
      const timer = setInterval(callback, periodMs);
      return () => clearInterval(timer);
    },
    sleep(delayMs, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<undefined>();
      if (signal.aborted) {
        reject(signal.reason as Error);
        return promise;
      }
      const stopped = () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", stopped);
        resolve(undefined);
      }, delayMs);
      signal.addEventListener("abort", stopped, { once: true });
      return promise;
    },
  },
  random: {
    int: (below) => randomInt(below),
    bytes: (count) => new Uint8Array(randomBytes(count)),
  },
};

/** SplitMix32: small and seedable; the same seed gives the same numbers. */
export function seededRandom(seed: number): Random {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  return {
    int: (below) => next() % below,
    bytes: (count) => Uint8Array.from({ length: count }, () => next() & 0xff),
  };
}
