import { sorted } from "./elements.ts";
import type { Draft } from "./draft.ts";
import type { Path, Seat } from "./entry.ts";
import type { KeyedOperation, Kind, Operation, OperationOf, Value, ValueOf } from "./operation.ts";
import { Refusal } from "./operation.ts";
import type { Touch } from "./touch.ts";
import type { Reading } from "./tree.ts";
import type { Catalogue, Difference, Type } from "./type.ts";
import { defineType, shownKind } from "./type.ts";

/** Maps in maps beyond this depth are refused; it bounds every recursion over values. */
export const depthMax = 32;

type MapDifference = OperationOf<"ormap"> | undefined;

/** A map from keys to values of any type, this one included; an update of a key outlives a removal that did not see it. */
export function createOrMap(catalogue: Catalogue): Type {
  const mutateKey = (draft: Draft, path: Path, { key, operation }: KeyedOperation, known: boolean): void => {
    const place = [...path, key];
    const kind = shownKind(catalogue, draft, place);
    if (known && kind !== operation.type) return;
    if (kind !== undefined && kind !== operation.type) throw incompatible(catalogue, draft, place, kind, operation);
    catalogue.of(operation.type).mutate(draft, [...place, operation.type], operation);
  };

  const viewKey = (reading: Reading, path: Path, key: string, seat: Seat): Value | undefined =>
    viewAt(catalogue, reading, [...path, key], seat);

  return defineType({
    kind: "ormap",
    title: "ORMap",
    below: "keys",
    admits: () => false,
    mutate(draft, path, { cleared, removed, updated, added }) {
      if (path.length > 2 * depthMax) throw new Refusal(`An ORMap may hold ORMaps at most ${depthMax} deep`);
      if (cleared) draft.dropUnder(path);
      for (const key of removed) draft.dropUnder([...path, key]);
      for (const keyed of updated) mutateKey(draft, path, keyed, true);
      for (const keyed of added) mutateKey(draft, path, keyed, false);
      draft.settle(path);
    },
    view(reading, path, seat) {
      const entries = new Map<string, Value>();
      for (const key of reading.steps(path)) {
        const value = viewKey(reading, path, key, seat);
        if (value !== undefined) entries.set(key, value);
      }
      return { type: "ormap", entries };
    },
    initial: ({ entries }) => ({ ...nothing, added: initials(catalogue, entries, sorted(entries.keys())) }),
    diff: (believed, now) => diffEntries(catalogue, believed, now),
    catchUp(believed, reading, path, seat, touch) {
      if (reading.stepCount(path) === 0) return believed.entries.size === 0 ? undefined : { ...nothing, cleared: true };
      const parts = new Parts();
      for (const key of sorted(touch.steps())) {
        const held = believed.entries.get(key);
        const difference = catchUpAt(catalogue, held, reading, [...path, key], seat, touch.below(key)!);
        parts.take(key, held, difference, () => viewKey(reading, path, key, seat), catalogue);
      }
      return parts.told();
    },
    believe(value = { type: "ormap", entries: new Map() }, operation, by) {
      if (operation.cleared) value.entries.clear();
      for (const key of operation.removed) value.entries.delete(key);
      for (const { key, operation: nested } of operation.updated) {
        const held = value.entries.get(key);
        if (held?.type === nested.type) value.entries.set(key, catalogue.of(nested.type).believe(held, nested, by));
      }
      for (const { key, operation: nested } of operation.added) {
        const held = value.entries.get(key);
        const under = held?.type === nested.type ? held : undefined;
        value.entries.set(key, catalogue.of(nested.type).believe(under, nested, by));
      }
      return value;
    },
    copy({ entries }) {
      const copies = new Map<string, Value>();
      for (const [key, value] of entries) copies.set(key, catalogue.of(value.type).copy(value));
      return { type: "ormap", entries: copies };
    },
    describe: ({ entries }) => `ORMap(${entries.size} entries)`,
  });
}

const nothing: OperationOf<"ormap"> = { type: "ormap", cleared: false, removed: [], updated: [], added: [] };

/** The parts of one map's difference; a key whose value cannot be told by a delta is removed and added in one. */
class Parts {
  readonly #removed: string[] = [];
  readonly #updated: KeyedOperation[] = [];
  readonly #added: KeyedOperation[] = [];

  take(
    key: string,
    held: Value | undefined,
    difference: Difference | "delete",
    now: () => Value | undefined,
    catalogue: Catalogue,
  ): void {
    if (difference === undefined) return;
    if (difference === "delete") this.#removed.push(key);
    else if (difference === "restart") {
      const value = now()!;
      this.#removed.push(key);
      this.#added.push({ key, operation: catalogue.of(value.type).initial(value) });
    } else (held === undefined ? this.#added : this.#updated).push({ key, operation: difference });
  }

  told(): MapDifference {
    if (this.#removed.length + this.#updated.length + this.#added.length === 0) return undefined;
    return { ...nothing, removed: this.#removed, updated: this.#updated, added: this.#added };
  }
}

function diffEntries(catalogue: Catalogue, believed: ValueOf<"ormap">, now: ValueOf<"ormap">): MapDifference {
  if (now.entries.size === 0) return believed.entries.size === 0 ? undefined : { ...nothing, cleared: true };
  const parts = new Parts();
  for (const key of sorted(new Set([...believed.entries.keys(), ...now.entries.keys()]))) {
    const held = believed.entries.get(key);
    const value = now.entries.get(key);
    parts.take(key, held, diffValues(catalogue, held, value), () => value, catalogue);
  }
  return parts.told();
}

function initials(
  catalogue: Catalogue,
  entries: ReadonlyMap<string, Value>,
  keys: readonly string[],
): KeyedOperation[] {
  return keys.map((key) => {
    const value = entries.get(key)!;
    return { key, operation: catalogue.of(value.type).initial(value) };
  });
}

/** What is shown at a place: an entity's root, or a key of a map. */
export function viewAt(catalogue: Catalogue, reading: Reading, place: Path, seat: Seat): Value | undefined {
  const kind = shownKind(catalogue, reading, place);
  return kind && catalogue.of(kind).view(reading, [...place, kind], seat);
}

/** What must be said at a place where one thing is believed and another is so. */
export function diffValues(
  catalogue: Catalogue,
  believed: Value | undefined,
  now: Value | undefined,
): Difference | "delete" {
  if (now === undefined) return believed && "delete";
  if (believed === undefined) return catalogue.of(now.type).initial(now);
  return believed.type === now.type ? catalogue.of(now.type).diff(believed, now) : "restart";
}

/** The same against the table, for what was touched alone. */
export function catchUpAt(
  catalogue: Catalogue,
  believed: Value | undefined,
  reading: Reading,
  place: Path,
  seat: Seat,
  touch: Touch,
): Difference | "delete" {
  const kind = shownKind(catalogue, reading, place);
  const under = kind && touch.below(kind);
  if (kind === undefined || believed?.type !== kind) {
    return diffValues(catalogue, believed, viewAt(catalogue, reading, place, seat));
  }
  return under && catalogue.of(kind).catchUp(believed, reading, [...place, kind], seat, under);
}

/** The error for an operation of another type than the one known at its place. */
export function incompatible(
  catalogue: Catalogue,
  reading: Reading,
  place: Path,
  kind: Kind,
  operation: Operation,
): Refusal {
  const seat: Seat = { self: "", members: new Set() };
  const value = catalogue.of(kind).view(reading, [...place, kind], seat);
  return new Refusal(
    `${catalogue.of(operation.type).title}Delta is incompatible with CRDT ${catalogue.of(kind).describe(value)}`,
  );
}
