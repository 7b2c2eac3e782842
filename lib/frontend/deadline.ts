import { MassaError } from "../core/errors.ts";
import type { Cancel, Clock } from "../core/world.ts";

/** The longest delay that a timer takes; a later deadline counts as this one. */
const timerMsMax = 2 ** 31 - 1;
/** Timers may run that much before their time. */
const earlyMsMax = 1;

/** The time that a client has set for its call; `expired` hears when it is over. */
export class Deadline {
  /** On `Clock.monotonic`. */
  readonly atMs: number;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #cancel: Cancel;

  constructor(clock: Clock, timeoutMs: number, expired: (error: MassaError) => void) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.atMs = clock.monotonic() + timeoutMs;
    this.#cancel = clock.after(Math.min(timeoutMs, timerMsMax), () => expired(this.#error()));
  }

  /** Stops the timer. */
  cancel(): void {
    this.#cancel();
  }

  /** What the client is told of a failure: whoever else gave up for this deadline knows inner names alone. */
  told(failure: MassaError): MassaError {
    const isOver = failure.code === "deadline" && this.#clock.monotonic() >= this.atMs - earlyMsMax;
    return isOver ? this.#error() : failure;
  }

  #error(): MassaError {
    return new MassaError(
      "deadline",
      `the call did not end within ${readable(this.#timeoutMs)}, the client's deadline`,
    );
  }
}

function readable(ms: number): string {
  return ms < 1_000 ? `${Number(ms.toPrecision(6))} ms` : `${Number((ms / 1_000).toFixed(2))} s`;
}
