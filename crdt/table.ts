import type { Applied, Change, Dot, DotKey, Entry, Fold, Path, Repair, Seen } from "./entry.ts";
import { dotKey } from "./entry.ts";
import type { Reading } from "./tree.ts";
import { Tree } from "./tree.ts";

export { compareDots, dotKey, seenBy } from "./entry.ts";

/**
 * The live entries of one entity, by dot and by path. It holds no clock: what has been seen is the node's knowledge, and an
 * argument where it matters. An entity exists while `size` is not 0.
 */
export class Table implements Reading {
  readonly #live = new Map<DotKey, Entry>();
  readonly #tree = new Tree();

  constructor(entries: Iterable<Entry> = []) {
    for (const entry of entries) this.#gain(entry);
  }

  get size(): number {
    return this.#live.size;
  }

  entries(): IterableIterator<Entry> {
    return this.#live.values();
  }

  has(key: DotKey): boolean {
    return this.#live.has(key);
  }

  get(key: DotKey): Entry | undefined {
    return this.#live.get(key);
  }

  here(path: Path): readonly Entry[] {
    return this.#tree.here(path);
  }

  steps(path: Path): Iterable<string> {
    return this.#tree.steps(path);
  }

  stepCount(path: Path): number {
    return this.#tree.stepCount(path);
  }

  under(path: Path): Iterable<Entry> {
    return this.#tree.under(path);
  }

  count(path: Path): number {
    return this.#tree.count(path);
  }

  /**
   * Carries out a change whose adds have not been seen here (the caller's clock says so); a drop of what is not live does
   * nothing. Costs the depth of the paths touched, whatever the table's size.
   */
  apply(change: Pick<Change, "drops" | "adds">): Applied {
    const lost: Entry[] = [];
    const gained: Entry[] = [];
    for (const dot of change.drops) this.#lose(dotKey(dot), lost);
    for (const entry of change.adds) if (this.#gain(entry)) gained.push(entry);
    return { gained, lost };
  }

  /**
   * The causal join with what another side holds, in place. `seen` is what was seen here, `otherSeen` there; an entry stays if
   * both have it, or if the side without it has never seen it. It never chooses between live entries.
   */
  joinInto(seen: Seen, other: Repair, otherSeen: Seen): Applied {
    const there = new Set(other.kept.map(dotKey));
    for (const entry of other.entries) there.add(dotKey(entry.dot));
    const lost: Entry[] = [];
    for (const [key, entry] of this.#live) {
      if (!there.has(key) && otherSeen.covers(entry.dot)) this.#lose(key, lost);
    }
    const gained: Entry[] = [];
    for (const entry of other.entries) if (!seen.covers(entry.dot) && this.#gain(entry)) gained.push(entry);
    return { gained, lost };
  }

  /** Puts a fold of unsent amounts in place. Nobody else has seen these dots, and no sum changes. */
  fold(fold: Fold): void {
    for (const dot of fold.gone) this.#lose(dotKey(dot), []);
    this.#lose(dotKey(fold.entry.dot), []);
    this.#gain(fold.entry);
  }

  #gain(entry: Entry): boolean {
    const key = dotKey(entry.dot);
    if (this.#live.has(key)) return false;
    this.#live.set(key, entry);
    this.#tree.add(entry);
    return true;
  }

  #lose(key: DotKey, lost: Entry[]): void {
    const entry = this.#live.get(key);
    if (entry === undefined) return;
    this.#live.delete(key);
    this.#tree.remove(entry);
    lost.push(entry);
  }
}

/** Live entries and what has been seen: a dot that is covered and not live was dropped. */
export interface State {
  readonly live: ReadonlyMap<DotKey, Entry>;
  readonly seen: Seen;
}

/**
 * The least state that knows all that both know: an entry stays if both have it, or if the other has never seen its dot.
 * Commutative, associative, idempotent; the same for every type.
 */
export function join(left: State, right: State): State {
  const live = new Map<DotKey, Entry>();
  for (const [key, entry] of left.live) if (right.live.has(key) || !right.seen.covers(entry.dot)) live.set(key, entry);
  for (const [key, entry] of right.live) if (!left.seen.covers(entry.dot)) live.set(key, entry);
  return { live, seen: { covers: (dot: Dot) => left.seen.covers(dot) || right.seen.covers(dot) } };
}
