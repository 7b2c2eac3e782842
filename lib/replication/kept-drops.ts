import type { Dot, ReplicaId } from "../../crdt/index.ts";

/** Drops of dots that have not been seen here: the add is dead when it comes, and the drop ends when the clock has passed it. */
export class KeptDrops {
  readonly #entities = new Map<ReplicaId, Map<number, string>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(dot: Dot, entity: string): void {
    if (!("replica" in dot)) return;
    const numbers = this.#entities.get(dot.replica) ?? new Map<number, string>();
    this.#entities.set(dot.replica, numbers);
    if (!numbers.has(dot.number)) this.#size += 1;
    numbers.set(dot.number, entity);
  }

  covers(dot: Dot): boolean {
    return "replica" in dot && this.#entities.get(dot.replica)?.has(dot.number) === true;
  }

  /** The clock of `replica` has come to `to` from below `from`. */
  passed(replica: ReplicaId, from: number, to: number): void {
    const numbers = this.#entities.get(replica);
    if (numbers === undefined) return;
    if (to - from < numbers.size) {
      for (let number = from; number <= to; number += 1) this.#end(numbers, number);
    } else {
      for (const number of [...numbers.keys()]) if (number <= to) this.#end(numbers, number);
    }
    if (numbers.size === 0) this.#entities.delete(replica);
  }

  /** The dots kept, by entity. */
  byEntity(): Map<string, Dot[]> {
    const dots = new Map<string, Dot[]>();
    for (const [replica, numbers] of this.#entities) {
      for (const [number, entity] of numbers) {
        const held = dots.get(entity);
        if (held === undefined) dots.set(entity, [{ replica, number }]);
        else held.push({ replica, number });
      }
    }
    return dots;
  }

  #end(numbers: Map<number, string>, number: number): void {
    if (numbers.delete(number)) this.#size -= 1;
  }
}
