import type { Cancel, Clock } from "../core/world.ts";
import type { EntityCall } from "./entity-call.ts";

const lateMax = 1000;

/** Streamed commands of one entity whose callers have gone, from `stream_cancelled` until the function has responded. */
export class CancelledStreams {
  readonly #graces = new Map<number, Cancel>();
  /** Those whose response has not come in time, the oldest forgotten first. */
  readonly #late = new Map<number, EntityCall>();

  isAwaited(id: number): boolean {
    return this.#graces.has(id);
  }

  /** Waits for the response to a cancellation; `ignored` is called when it has not come after `graceMs`. */
  await(call: EntityCall, clock: Clock, graceMs: number, ignored: () => void): void {
    const cancel = clock.after(graceMs, () => {
      if (this.#late.size >= lateMax) this.#late.delete(this.#late.keys().next().value!);
      this.#late.set(call.id, call);
      ignored();
    });
    this.#graces.set(call.id, cancel);
  }

  /** The call whose response was given up, should it come after all; it is forgotten here. */
  takeLate(id: number): EntityCall | undefined {
    const call = this.#late.get(id);
    this.#late.delete(id);
    return call;
  }

  settled(id: number): void {
    this.#graces.get(id)?.();
    this.#graces.delete(id);
  }

  /** Waits for nothing any more. */
  clear(): void {
    for (const cancel of this.#graces.values()) cancel();
    this.#graces.clear();
    this.#late.clear();
  }
}
