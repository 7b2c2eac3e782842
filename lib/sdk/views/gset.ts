import type { CrdtDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import { identityOf, type Serializer } from "../serializer.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";
import { anysOf, type Elements, receiveInto } from "./elements.ts";

/** A set that only grows. */
export class GSet<T> extends Crdt {
  readonly #serializer: Serializer<T>;
  readonly #elements: Elements<T> = new Map();
  readonly #added: Elements<T> = new Map();

  constructor(serializer: Serializer<T>) {
    super();
    this.#serializer = serializer;
  }

  get size(): number {
    return this.#elements.size;
  }

  has(value: T): boolean {
    return this.#elements.has(identityOf(this.#serializer.toAny(value)));
  }

  /** True when the element is new. */
  add(value: T): boolean {
    const any = this.#serializer.toAny(value);
    const identity = identityOf(any);
    if (this.#elements.has(identity)) return false;
    const element = { any, value };
    this.#elements.set(identity, element);
    this.#added.set(identity, element);
    this.touch();
    return true;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const element of this.#elements.values()) yield element.value;
  }

  override pending(): CrdtDelta | undefined {
    return this.#added.size === 0 ? undefined : deltaOf({ case: "gset", value: { added: anysOf(this.#added) } });
  }

  override nothing(): CrdtDelta {
    return deltaOf({ case: "gset", value: {} });
  }

  override commit(): void {
    this.#added.clear();
  }

  override rollback(): void {
    for (const identity of this.#added.keys()) this.#elements.delete(identity);
    this.#added.clear();
  }

  override receive(change: CrdtDelta): void {
    receiveInto(this.#elements, contentOf(change, "gset").added, this.#serializer);
  }
}

/** The type of sets that only grow. */
export function gSet<T>(serializer: Serializer<T>): CrdtType<GSet<T>> {
  return { create: () => new GSet(serializer) };
}
