import { MassaError } from "../lib/core/errors.ts";
import type { Cancel, Clock } from "../lib/core/world.ts";

interface WatchdogParts {
  readonly clock: Clock;
  /** How long nothing may come while there is something to come, and how long the broker may take to say whether there is. */
  readonly stallMs: number;
  /** Whether messages are wanted at the moment: not while the feed is paused or away. */
  readonly isWanting: () => boolean;
  /** How many messages are still to come to this feed; asked only when none has come for a time. */
  readonly lag: () => Promise<number>;
  readonly stalled: (error: MassaError) => void;
}

/**
 * Has a feed prove that it moves: a message comes, or the broker says that there is none. A feed that does neither for two periods
 * in a row is stalled.
 */
export class Watchdog {
  readonly #parts: WatchdogParts;
  #timer: Cancel | undefined;
  /** Distinguishes the answers of this watch from those of an earlier one. */
  #watch = 0;
  #hasMoved = false;
  /** How many were still to come when nothing came for a period. */
  #suspected: number | undefined;

  constructor(parts: WatchdogParts) {
    this.#parts = parts;
  }

  /** A feed is open, from now on. */
  start(): void {
    this.stop();
    this.#hasMoved = false;
    this.#suspected = undefined;
    this.#later();
  }

  moved(): void {
    this.#hasMoved = true;
  }

  stop(): void {
    this.#watch += 1;
    this.#timer?.();
  }

  #later(): void {
    this.#timer = this.#parts.clock.after(this.#parts.stallMs, () => this.#look());
  }

  #look(): void {
    const { isWanting, stallMs } = this.#parts;
    if (this.#hasMoved || !isWanting()) {
      this.#hasMoved = false;
      this.#suspected = undefined;
      return this.#later();
    }
    if (this.#suspected !== undefined) {
      return this.#end(`${this.#suspected} messages wait and none has come for ${stallMs * 2} ms`);
    }
    this.#ask();
  }

  #ask(): void {
    const { clock, lag, stallMs } = this.#parts;
    const watch = this.#watch;
    const isCurrent = () => watch === this.#watch;
    const answered = (next: () => void) => {
      if (!isCurrent()) return;
      this.#timer?.();
      next();
    };
    this.#timer = clock.after(stallMs, () => this.#end(`the broker has said nothing for ${stallMs * 2} ms`));
    lag().then(
      (waiting) =>
        answered(() => {
          this.#suspected = waiting > 0 ? waiting : undefined;
          this.#later();
        }),
      (reason: unknown) =>
        answered(() => this.#end(`the broker does not tell its lag: ${MassaError.from(reason).message}`)),
    );
  }

  #end(cause: string): void {
    this.stop();
    this.#parts.stalled(new MassaError("unavailable", cause));
  }
}
