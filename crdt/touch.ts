import type { Applied, Entry } from "./entry.ts";

/** Which paths may have changed, as a tree; every path on the way to a touched one is touched too. */
export class Touch {
  #below: Map<string, Touch> | undefined;
  #size = 0;

  /** Touched ends of paths, counted with repetition. */
  get size(): number {
    return this.#size;
  }

  note(applied: Applied): void {
    for (const entry of applied.gained) this.#mark(entry);
    for (const entry of applied.lost) this.#mark(entry);
  }

  steps(): Iterable<string> {
    return this.#below?.keys() ?? [];
  }

  below(step: string): Touch | undefined {
    return this.#below?.get(step);
  }

  clear(): void {
    this.#below = undefined;
    this.#size = 0;
  }

  #mark(entry: Entry): void {
    this.#size += 1;
    let below = (this.#below ??= new Map<string, Touch>());
    for (const [index, step] of entry.path.entries()) {
      let next = below.get(step);
      if (next === undefined) below.set(step, (next = new Touch()));
      if (index < entry.path.length - 1) below = next.#below ??= new Map<string, Touch>();
    }
  }
}
