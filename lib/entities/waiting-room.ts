import type { MassaError } from "../core/errors.ts";
import type { Service } from "../discovery/service-table.ts";
import type { CallOwner, EntityCall } from "./entity-call.ts";

/** An entity that may not start yet, with its commands in order. */
export interface Waiting {
  readonly key: string;
  readonly entityId: string;
  readonly service: Service;
  readonly calls: EntityCall[];
}

/** Entities that wait until others have made room for them, first come first served. */
export class WaitingRoom implements CallOwner {
  readonly #waiting = new Map<string, Waiting>();

  get size(): number {
    return this.#waiting.size;
  }

  get(key: string): Waiting | undefined {
    return this.#waiting.get(key);
  }

  add(waiting: Waiting): void {
    this.#waiting.set(waiting.key, waiting);
    for (const call of waiting.calls) this.#own(call);
  }

  accept(waiting: Waiting, call: EntityCall): void {
    this.#own(call);
    waiting.calls.push(call);
  }

  #own(call: EntityCall): void {
    call.owner = this;
    call.keepPayload();
  }

  /** The next one; those whose callers have all gone are forgotten. */
  take(): Waiting | undefined {
    for (const waiting of this.#waiting.values()) {
      this.#waiting.delete(waiting.key);
      const calls = waiting.calls.filter((call) => !call.abandoned);
      if (calls.length > 0) return { ...waiting, calls };
    }
    return undefined;
  }

  cancelled(): void {
    // The call is abandoned, and left out when its entity starts.
  }

  /** Fails what has waited since before `openedBeforeMs`. */
  expire(openedBeforeMs: number, error: () => MassaError): void {
    for (const waiting of this.#waiting.values()) {
      const [first] = waiting.calls;
      if (first === undefined || first.openedAtMs >= openedBeforeMs) continue;
      const late = waiting.calls.filter((call) => call.openedAtMs < openedBeforeMs);
      waiting.calls.splice(0, late.length);
      if (waiting.calls.length === 0) this.#waiting.delete(waiting.key);
      for (const call of late) if (!call.abandoned) call.fail(error());
    }
  }

  close(error: () => MassaError): void {
    for (let next = this.take(); next; next = this.take()) for (const call of next.calls) call.fail(error());
  }
}
