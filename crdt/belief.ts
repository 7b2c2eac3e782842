import { catalogue } from "./catalogue.ts";
import type { Applied, ReplicaId, Seat } from "./entry.ts";
import type { Operation, Value } from "./operation.ts";
import { catchUpAt } from "./ormap.ts";
import { Touch } from "./touch.ts";
import type { Reading } from "./tree.ts";
import type { Correction } from "./view.ts";
import { diff, view } from "./view.ts";

/** Beyond this many touched entries a whole comparison is cheaper than the list. */
const touchedMax = 4_096;

/**
 * What a user function must believe of its entity: what it was last told, plus its own operations. Corrections start from here,
 * not from what the replica knew, or a write that lost would never be corrected. A new stream begins with a new belief, whose
 * first `catchUp` is the delta of its init.
 */
export class Belief {
  #value: Value | undefined;
  #touch = new Touch();
  #whole = true;
  #members: ReadonlySet<ReplicaId> | undefined;

  /** What is believed; `undefined` before anything was told or done. To be read only. */
  get value(): Value | undefined {
    return this.#value;
  }

  /** The table changed: by others, or by the function itself. Costs what changed. */
  touch(applied: Applied): void {
    if (this.#whole) return;
    this.#touch.note(applied);
    if (this.#touch.size > touchedMax) this.touchAll();
  }

  /** Anything may have changed: the next correction compares the whole. */
  touchAll(): void {
    this.#whole = true;
    this.#touch.clear();
  }

  /** The function did this, and `mutate` took it. */
  own(operation: Operation): void {
    this.#take(operation, "function");
  }

  /** The function was told this, in an init or a delta. */
  told(operation: Operation): void {
    this.#take(operation, "proxy");
  }

  /**
   * What must be said now so that the function believes what the table shows; it is believed from here on. After `restart` and
   * `delete` the stream ends, and a new belief begins with the next. Looks only at what was touched, but for a change of members.
   */
  catchUp(table: Reading, seat: Seat): Correction {
    const correction =
      this.#whole || !sameMembers(this.#members, seat.members)
        ? diff(this.#value, view(table, seat))
        : catchUpAt(catalogue, this.#value, table, [], seat, this.#touch);
    this.#members = seat.members;
    this.#whole = false;
    this.#touch.clear();
    if (typeof correction === "object") this.told(correction);
    return correction;
  }

  #take(operation: Operation, by: "proxy" | "function"): void {
    const held = this.#value?.type === operation.type ? this.#value : undefined;
    this.#value = catalogue.of(operation.type).believe(held, operation, by);
  }
}

function sameMembers(left: ReadonlySet<ReplicaId> | undefined, right: ReadonlySet<ReplicaId>): boolean {
  if (left === right) return true;
  if (left?.size !== right.size) return false;
  for (const member of right) if (!left.has(member)) return false;
  return true;
}
