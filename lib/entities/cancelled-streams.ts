import type { Cancel, Clock } from "../core/world.ts";
import type { Method } from "../discovery/service-table.ts";
import type { EntityCall } from "./entity-call.ts";

const lateMax = 1000;

/**
 * Methods of which a cancellation was left unanswered. SDKs may do so when the handler has nothing to say to it (Cloudstate's for
 * Node does); to wait for each would hold up an entity whose watchers come and go.
 */
export type HeedlessMethods = Pick<WeakSet<Method>, "add" | "delete" | "has">;

/** Streamed commands of one entity whose callers have gone, from `stream_cancelled` until the function has responded. */
export class CancelledStreams {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #heedless: HeedlessMethods;
  readonly #graces = new Map<number, Cancel>();
  /** Those whose response is not waited for, or has not come in time; the oldest are forgotten first. */
  readonly #late = new Map<number, EntityCall>();

  constructor(clock: Clock, graceMs: number, heedless: HeedlessMethods) {
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#heedless = heedless;
  }

  isAwaited(id: number): boolean {
    return this.#graces.has(id);
  }

  /**
   * Waits for the response to a cancellation; `ignored` is called when it has not come in time. False when it is not waited for,
   * because another one of the method was not answered.
   */
  await(call: EntityCall, ignored: () => void): boolean {
    if (this.#heedless.has(call.method)) {
      this.#keep(call);
      return false;
    }
    const cancel = this.#clock.after(this.#graceMs, () => {
      this.#heedless.add(call.method);
      this.#keep(call);
      ignored();
    });
    this.#graces.set(call.id, cancel);
    return true;
  }

  /** The call whose response was given up, should it come after all; it is forgotten here. */
  takeLate(id: number): EntityCall | undefined {
    const call = this.#late.get(id);
    this.#late.delete(id);
    return call;
  }

  /** The function has responded: from now on the responses to the method are waited for. */
  answered({ method }: EntityCall): void {
    this.#heedless.delete(method);
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

  #keep(call: EntityCall): void {
    if (this.#late.size >= lateMax) this.#late.delete(this.#late.keys().next().value!);
    this.#late.set(call.id, call);
  }
}
