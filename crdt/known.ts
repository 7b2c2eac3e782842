import type { Applied, Change, Entry } from "./entry.ts";
import { dotKey } from "./entry.ts";
import { Overlay } from "./tree.ts";

/**
 * What a user function knew of an entity: the replica's table, minus what came since, plus what went since; at first all that
 * the table holds. A function's change is judged against this, and drops only what stands here. Every change of the table must be
 * told here, in order, right after it.
 */
export class Known extends Overlay {
  #went: Map<string, Entry> | undefined;

  /** A change from elsewhere reached the table and is withheld from the function. */
  note(applied: Applied): void {
    for (const entry of applied.lost) {
      if (!this.hidden.remove(entry)) {
        this.shown.add(entry);
        (this.#went ??= new Map()).set(dotKey(entry.dot), entry);
      }
    }
    for (const entry of applied.gained) this.hidden.add(entry);
  }

  /** A change made here reached the table: one by the function, or a fold of this replica's own amounts. */
  own(change: Pick<Change, "drops" | "adds">): void {
    if (this.#went === undefined) return;
    for (const dot of change.drops) {
      const entry = this.#went.get(dotKey(dot));
      if (entry === undefined) continue;
      this.#went.delete(dotKey(dot));
      this.shown.remove(entry);
    }
  }

  /** The function was told of everything. */
  caughtUp(): void {
    this.clear();
    this.#went = undefined;
  }
}
