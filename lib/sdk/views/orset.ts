import type { CrdtDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import { identityOf, type Serializer } from "../serializer.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";
import { anysOf, type Elements, receiveInto } from "./elements.ts";

/** A set of which elements can be removed; an element added and removed at the same time stays. */
export class ORSet<T> extends Crdt {
  readonly #serializer: Serializer<T>;
  #elements: Elements<T> = new Map();
  /** What stood before the command, set when it cleared. */
  #before: Elements<T> | undefined;
  readonly #added: Elements<T> = new Map();
  readonly #removed: Elements<T> = new Map();

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

  /** True when the element was not there. */
  add(value: T): boolean {
    const any = this.#serializer.toAny(value);
    const identity = identityOf(any);
    if (this.#elements.has(identity)) return false;
    const element = this.#removed.get(identity) ?? { any, value };
    this.#elements.set(identity, element);
    if (!this.#removed.delete(identity)) this.#added.set(identity, element);
    this.touch();
    return true;
  }

  /** True when the element was there. */
  delete(value: T): boolean {
    const identity = identityOf(this.#serializer.toAny(value));
    const element = this.#elements.get(identity);
    if (!element) return false;
    this.#elements.delete(identity);
    if (!this.#added.delete(identity)) this.#removed.set(identity, element);
    this.touch();
    return true;
  }

  clear(): void {
    if (this.#elements.size === 0 && this.#removed.size === 0) return;
    if (!this.#before) {
      this.#undo();
      this.#before = this.#elements;
    }
    this.#elements = new Map();
    this.#added.clear();
    this.touch();
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const element of this.#elements.values()) yield element.value;
  }

  override pending(): CrdtDelta | undefined {
    if (!this.#before && this.#added.size === 0 && this.#removed.size === 0) return undefined;
    return deltaOf({
      case: "orset",
      value: {
        cleared: this.#before !== undefined,
        removed: anysOf(this.#removed),
        added: anysOf(this.#added),
      },
    });
  }

  override nothing(): CrdtDelta {
    return deltaOf({ case: "orset", value: {} });
  }

  override commit(): void {
    this.#before = undefined;
    this.#added.clear();
    this.#removed.clear();
  }

  override rollback(): void {
    if (this.#before) {
      this.#elements = this.#before;
      this.commit();
    } else {
      this.#undo();
    }
  }

  override receive(change: CrdtDelta): void {
    const { cleared, removed, added } = contentOf(change, "orset");
    if (cleared) this.#elements.clear();
    for (const any of removed) this.#elements.delete(identityOf(any));
    receiveInto(this.#elements, added, this.#serializer);
  }

  #undo(): void {
    for (const identity of this.#added.keys()) this.#elements.delete(identity);
    for (const [identity, element] of this.#removed) this.#elements.set(identity, element);
    this.#added.clear();
    this.#removed.clear();
  }
}

/** The type of sets of which elements can be removed. */
export function orSet<T>(serializer: Serializer<T>): CrdtType<ORSet<T>> {
  return { create: () => new ORSet(serializer) };
}
