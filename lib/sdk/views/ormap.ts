import type { Any } from "@bufbuild/protobuf/wkt";
import type { CrdtDelta, ORMapEntryDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import { identityOf, type Serializer } from "../serializer.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";

interface Entry<K, V> {
  readonly key: K;
  readonly any: Any;
  readonly view: V;
}

/** CRDTs by key; a key removed and changed at the same time stays. */
export class ORMap<K, V extends Crdt> extends Crdt {
  readonly #keys: Serializer<K>;
  readonly #typeOf: (key: K) => CrdtType<V>;
  #entries = new Map<string, Entry<K, V>>();
  /** What stood before the command, set when it cleared. */
  #before: Map<string, Entry<K, V>> | undefined;
  readonly #added = new Map<string, Entry<K, V>>();
  readonly #removed = new Map<string, Entry<K, V>>();
  /** Entries whose value was changed by the command, those that it removed later included. */
  readonly #changed = new Set<Entry<K, V>>();

  constructor(keys: Serializer<K>, typeOf: (key: K) => CrdtType<V>) {
    super();
    this.#keys = keys;
    this.#typeOf = typeOf;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: K): boolean {
    return this.#entries.has(identityOf(this.#keys.toAny(key)));
  }

  get(key: K): V | undefined {
    return this.#entries.get(identityOf(this.#keys.toAny(key)))?.view;
  }

  /** The value at `key`, made when there is none. */
  getOrCreate(key: K): V {
    const any = this.#keys.toAny(key);
    const identity = identityOf(any);
    const known = this.#entries.get(identity);
    if (known) return known.view;
    const entry = this.#open(any, key);
    this.#entries.set(identity, entry);
    this.#added.set(identity, entry);
    this.touch();
    return entry.view;
  }

  /** True when there was a value at `key`. */
  delete(key: K): boolean {
    const identity = identityOf(this.#keys.toAny(key));
    const entry = this.#entries.get(identity);
    if (!entry) return false;
    this.#entries.delete(identity);
    if (!this.#added.delete(identity)) this.#removed.set(identity, entry);
    this.touch();
    return true;
  }

  clear(): void {
    if (this.#entries.size === 0 && this.#removed.size === 0) return;
    if (!this.#before) {
      this.#undo();
      this.#before = this.#entries;
    }
    this.#entries = new Map();
    this.#added.clear();
    this.touch();
  }

  *[Symbol.iterator](): IterableIterator<[K, V]> {
    for (const entry of this.#entries.values()) yield [entry.key, entry.view];
  }

  override pending(): CrdtDelta | undefined {
    const removed = Array.from(this.#removed.values(), (entry) => entry.any);
    const added = Array.from(this.#added.values(), ({ any, view }) => ({
      key: any,
      delta: view.pending() ?? view.nothing(),
    }));
    const updated = this.#updated();
    if (!this.#before && removed.length === 0 && added.length === 0 && updated.length === 0) return undefined;
    return deltaOf({ case: "ormap", value: { cleared: this.#before !== undefined, removed, updated, added } });
  }

  override nothing(): CrdtDelta {
    return deltaOf({ case: "ormap", value: {} });
  }

  override commit(): void {
    for (const entry of this.#added.values()) entry.view.commit();
    for (const entry of this.#changed) entry.view.commit();
    this.#forget();
  }

  override rollback(): void {
    if (this.#before) this.#entries = this.#before;
    else this.#undo();
    for (const entry of this.#changed) entry.view.rollback();
    this.#forget();
  }

  override receive(change: CrdtDelta): void {
    const { cleared, removed, updated, added } = contentOf(change, "ormap");
    if (cleared) this.#entries.clear();
    for (const any of removed) this.#entries.delete(identityOf(any));
    for (const entry of updated) this.#receiveEntry(entry, false);
    for (const entry of added) this.#receiveEntry(entry, true);
  }

  #updated(): { key: Any; delta: CrdtDelta }[] {
    const updated = [];
    for (const entry of this.#changed) {
      const identity = identityOf(entry.any);
      if (this.#entries.get(identity) !== entry || this.#added.has(identity)) continue;
      const delta = entry.view.pending();
      if (delta) updated.push({ key: entry.any, delta });
    }
    return updated;
  }

  #receiveEntry({ key, delta }: ORMapEntryDelta, replace: boolean): void {
    if (!key || !delta) throw new TypeError("a map's entry came without key or delta");
    const identity = identityOf(key);
    let entry = replace ? undefined : this.#entries.get(identity);
    if (!entry) {
      entry = this.#open(key, this.#keys.fromAny(key));
      this.#entries.set(identity, entry);
    }
    entry.view.receive(delta);
  }

  #open(any: Any, key: K): Entry<K, V> {
    const entry = { key, any, view: this.#typeOf(key).create() };
    entry.view.onTouch(() => {
      this.#changed.add(entry);
      this.touch();
    });
    return entry;
  }

  #undo(): void {
    for (const identity of this.#added.keys()) this.#entries.delete(identity);
    for (const [identity, entry] of this.#removed) this.#entries.set(identity, entry);
    this.#added.clear();
    this.#removed.clear();
  }

  #forget(): void {
    this.#before = undefined;
    this.#added.clear();
    this.#removed.clear();
    this.#changed.clear();
  }
}

/** The type of maps; `values` is the type of all values, or names it for each key. */
export function orMap<K, V extends Crdt>(
  keys: Serializer<K>,
  values: CrdtType<V> | ((key: K) => CrdtType<V>),
): CrdtType<ORMap<K, V>> {
  const typeOf = typeof values === "function" ? values : () => values;
  return { create: () => new ORMap(keys, typeOf) };
}
