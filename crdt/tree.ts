import type { Entry, Path } from "./entry.ts";
import { compareDots, dotKey } from "./entry.ts";

/** Live entries, read by path: a table, what a function knew of one, or a change in the making. */
export interface Reading {
  /** The entries that stand at exactly this path. */
  here(path: Path): Iterable<Entry>;
  /** The steps that lead on from this path to at least one entry. */
  steps(path: Path): Iterable<string>;
  stepCount(path: Path): number;
  /** The entries at or below this path. */
  under(path: Path): Iterable<Entry>;
  /** How many stand at or below this path; what has none does not exist. */
  count(path: Path): number;
}

interface Node {
  here: readonly Entry[];
  below: Map<string, Node> | undefined;
  /** Entries at or below. */
  count: number;
}

const none: readonly Entry[] = [];

/** Entries by path. Adding, removing and counting cost the depth of the path, not the size of the tree. */
export class Tree implements Reading {
  readonly #root: Node = { here: none, below: undefined, count: 0 };

  add(entry: Entry): void {
    let node = this.#root;
    node.count += 1;
    for (const step of entry.path) {
      node.below ??= new Map();
      let next = node.below.get(step);
      if (next === undefined) node.below.set(step, (next = { here: none, below: undefined, count: 0 }));
      next.count += 1;
      node = next;
    }
    node.here = node.here.length === 0 ? [entry] : [...node.here, entry];
  }

  /** Takes out the entry with this one's dot at this one's path, if it is there; says whether it was. */
  remove(entry: Entry): boolean {
    const node = this.#find(entry.path);
    const place = node?.here.findIndex((held) => held === entry || compareDots(held.dot, entry.dot) === 0) ?? -1;
    if (node === undefined || place < 0) return false;
    node.here = node.here.toSpliced(place, 1);
    this.#lighten(entry.path);
    return true;
  }

  here(path: Path): readonly Entry[] {
    return this.#find(path)?.here ?? none;
  }

  steps(path: Path): Iterable<string> {
    return this.#find(path)?.below?.keys() ?? [];
  }

  stepCount(path: Path): number {
    return this.#find(path)?.below?.size ?? 0;
  }

  *under(path: Path): Generator<Entry> {
    const waiting = [this.#find(path)];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      yield* node.here;
      if (node.below !== undefined) waiting.push(...[...node.below.values()].reverse());
    }
  }

  count(path: Path): number {
    return this.#find(path)?.count ?? 0;
  }

  #find(path: Path): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const step of path) {
      node = node.below?.get(step);
      if (node === undefined) return undefined;
    }
    return node;
  }

  #lighten(path: Path): void {
    let node = this.#root;
    node.count -= 1;
    for (const step of path) {
      const next = node.below!.get(step)!;
      next.count -= 1;
      if (next.count === 0) {
        node.below!.delete(step);
        return;
      }
      node = next;
    }
  }
}

function countIn(tree: Tree | undefined, path: Path): number {
  return tree === undefined ? 0 : tree.count(path);
}

/** One reading with some entries hidden and others shown beside it. */
export class Overlay implements Reading {
  readonly base: Reading;
  /** Made when they are first written to: most overlays, one for each active entity, stay empty. */
  #hidden: Tree | undefined;
  #shown: Tree | undefined;

  constructor(base: Reading) {
    this.base = base;
  }

  get hidden(): Tree {
    return (this.#hidden ??= new Tree());
  }

  get shown(): Tree {
    return (this.#shown ??= new Tree());
  }

  /** Nothing is hidden or shown any more. */
  clear(): void {
    this.#hidden = undefined;
    this.#shown = undefined;
  }

  here(path: Path): Iterable<Entry> {
    return this.#untouched(path) ? this.base.here(path) : this.#mixed(path, "here");
  }

  steps(path: Path): Iterable<string> {
    return this.#untouched(path) ? this.base.steps(path) : this.#mixedSteps(path);
  }

  stepCount(path: Path): number {
    if (this.#untouched(path)) return this.base.stepCount(path);
    return [...this.#mixedSteps(path)].length;
  }

  under(path: Path): Iterable<Entry> {
    return this.#untouched(path) ? this.base.under(path) : this.#mixed(path, "under");
  }

  count(path: Path): number {
    return this.base.count(path) - countIn(this.#hidden, path) + countIn(this.#shown, path);
  }

  #untouched(path: Path): boolean {
    return countIn(this.#hidden, path) === 0 && countIn(this.#shown, path) === 0;
  }

  *#mixed(path: Path, where: "here" | "under"): Generator<Entry> {
    const hidden = [...this.hidden[where](path)];
    if (hidden.length === 0) yield* this.base[where](path);
    else {
      const gone = new Set(hidden.map(({ dot }) => dotKey(dot)));
      for (const entry of this.base[where](path)) if (!gone.has(dotKey(entry.dot))) yield entry;
    }
    yield* this.shown[where](path);
  }

  *#mixedSteps(path: Path): Generator<string> {
    for (const step of this.base.steps(path)) if (this.count([...path, step]) > 0) yield step;
    for (const step of this.shown.steps(path)) if (this.base.count([...path, step]) === 0) yield step;
  }
}
