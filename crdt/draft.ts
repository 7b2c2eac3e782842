import type { Change, Content, Dot, Dots, Entry, Path, ReplicaId } from "./entry.ts";
import { dotKey } from "./entry.ts";
import type { Reading } from "./tree.ts";
import { Overlay } from "./tree.ts";

/** Above every number that a replica can reach, so that an add in the making is later than all of its replica. */
const unnumbered = 2 ** 52;

/** A change in the making, over what the function knew; later parts of one operation see what earlier parts did. */
export class Draft extends Overlay {
  readonly #dots: Dots;
  readonly #drops: Dot[] = [];
  readonly #adds = new Map<string, Entry>();
  #made = 0;

  /** The wall clock in milliseconds, for the stamps of registers. */
  readonly nowMs: number;

  constructor(known: Reading, dots: Dots, nowMs: number) {
    super(known);
    this.#dots = dots;
    this.nowMs = nowMs;
  }

  get replica(): ReplicaId {
    return this.#dots.replica;
  }

  /** The dot that the next `add` will have, as far as comparing goes; its number is given at the end. */
  get upcoming(): Dot {
    return { replica: this.#dots.replica, number: unnumbered + this.#made };
  }

  add(path: Path, content: Content): void {
    const entry: Entry = { dot: this.upcoming, path, content };
    this.#made += 1;
    this.#adds.set(dotKey(entry.dot), entry);
    this.shown.add(entry);
  }

  drop(entry: Entry): void {
    if (this.#adds.delete(dotKey(entry.dot))) {
      this.shown.remove(entry);
      return;
    }
    this.#drops.push(entry.dot);
    this.hidden.add(entry);
  }

  dropHere(path: Path): void {
    for (const entry of [...this.here(path)]) this.drop(entry);
  }

  dropUnder(path: Path): void {
    for (const entry of [...this.under(path)]) this.drop(entry);
  }

  /** Ends an update of `path`: what it adds there or below keeps the path alive, or else a presence does. */
  settle(path: Path): void {
    for (const entry of [...this.here(path)]) if (entry.content.type === "presence") this.drop(entry);
    if (this.shown.count(path) === 0) this.add(path, { type: "presence" });
  }

  /** The change, its adds numbered only now: a refused operation spends no number. */
  finish(): Pick<Change, "drops" | "adds"> {
    const adds: Entry[] = [];
    for (const { path, content } of this.#adds.values()) {
      adds.push({ dot: { replica: this.#dots.replica, number: this.#dots.next() }, path, content });
    }
    return { drops: this.#drops, adds };
  }
}
