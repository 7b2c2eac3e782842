import type { Applied, Entry } from "../../crdt/index.ts";
import { dotKey, Table } from "../../crdt/index.ts";

/** The tables of one group's entities. One that is empty is held only as long as somebody needs it to stay the same object. */
export class Tables {
  readonly #tables = new Map<string, Table>();
  readonly #holds = new Map<string, number>();

  get size(): number {
    return this.#tables.size;
  }

  names(): IterableIterator<string> {
    return this.#tables.keys();
  }

  get(entity: string): Table | undefined {
    return this.#tables.get(entity);
  }

  /** The entity's table, made if there is none; `settle` must follow unless it is held. */
  at(entity: string): Table {
    let table = this.#tables.get(entity);
    if (table === undefined) this.#tables.set(entity, (table = new Table()));
    return table;
  }

  /** The entity's table to read from; one that is not held is not kept if it is empty. */
  look(entity: string): Table {
    return this.#tables.get(entity) ?? new Table();
  }

  /** Forgets the entity if it does not exist and nobody holds it. */
  settle(entity: string): void {
    if (this.#tables.get(entity)?.size === 0 && !this.#holds.has(entity)) this.#tables.delete(entity);
  }

  hold(entity: string): void {
    this.at(entity);
    this.#holds.set(entity, (this.#holds.get(entity) ?? 0) + 1);
  }

  release(entity: string): void {
    const holds = (this.#holds.get(entity) ?? 0) - 1;
    if (holds > 0) this.#holds.set(entity, holds);
    else this.#holds.delete(entity);
    this.settle(entity);
  }
}

/** What several changes together did to each entity: nothing is both gained and lost. */
export class Net {
  readonly #byEntity = new Map<string, Applied[]>();

  add(entity: string, applied: Applied): void {
    if (applied.gained.length + applied.lost.length === 0) return;
    const before = this.#byEntity.get(entity);
    if (before === undefined) this.#byEntity.set(entity, [applied]);
    else before.push(applied);
  }

  *changes(): Iterable<readonly [entity: string, applied: Applied]> {
    for (const [entity, steps] of this.#byEntity) {
      const applied = steps.length === 1 ? steps[0]! : merge(steps);
      if (applied.gained.length + applied.lost.length > 0) yield [entity, applied];
    }
  }
}

/** A dot lives once: what is lost later than it was gained was never there, and nothing that was lost comes back. */
function merge(steps: readonly Applied[]): Applied {
  const gained = new Map<string, Entry>();
  const lost: Entry[] = [];
  for (const step of steps) {
    for (const entry of step.lost) if (!gained.delete(dotKey(entry.dot))) lost.push(entry);
    for (const entry of step.gained) gained.set(dotKey(entry.dot), entry);
  }
  return { gained: [...gained.values()], lost };
}
