/** Queues by key of which each lets one item out at a time, in order. An empty lane takes no memory. */
export class Lanes<T> {
  readonly #lanes = new Map<string, T[]>();
  #size = 0;

  /** Items inside, those let out and not yet done included. */
  get size(): number {
    return this.#size;
  }

  /** Puts an item at the end of its lane; true: it is the first, and let out. */
  enter(key: string, item: T): boolean {
    this.#size += 1;
    const lane = this.#lanes.get(key);
    if (!lane) {
      this.#lanes.set(key, [item]);
      return true;
    }
    lane.push(item);
    return false;
  }

  /** The first item of the lane is done; the next one, if any, is let out. */
  leave(key: string): T | undefined {
    const lane = this.#lanes.get(key);
    if (!lane) return undefined;
    lane.shift();
    this.#size -= 1;
    if (lane.length === 0) this.#lanes.delete(key);
    return lane[0];
  }

  /** Takes out those that match and are not let out. */
  remove(isGone: (item: T) => boolean): void {
    for (const lane of this.#lanes.values()) {
      const kept = lane.filter((item, index) => index === 0 || !isGone(item));
      this.#size -= lane.length - kept.length;
      lane.splice(0, lane.length, ...kept);
    }
  }

  /** Everything inside, lane by lane in order. */
  items(): readonly T[] {
    return [...this.#lanes.values()].flat();
  }
}
