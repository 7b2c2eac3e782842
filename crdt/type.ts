import type { Draft } from "./draft.ts";
import type { Content, Path, Seat } from "./entry.ts";
import type { Kind, Operation, OperationOf, Value, ValueOf } from "./operation.ts";
import type { Touch } from "./touch.ts";
import type { Reading } from "./tree.ts";

/** What must be said to a function that believes one thing while another is so; `restart` where no delta can say it. */
export type Difference = Operation | "restart" | undefined;

/**
 * One CRDT type: how an operation becomes drops and adds, how live entries look to a function, and how a function is told
 * of a new look. `path` ends in the type's name. There is no merge here: the join is one for all types.
 */
interface TypeOf<K extends Kind> {
  readonly kind: K;
  /** As the protocol writes it in texts, e.g. `GCounter`. */
  readonly title: string;
  /** What follows the type's name in a path: nothing, an element, or a key and another type. */
  readonly below: Below;
  /** Whether an entry may hold this, at the type's path or, for elements, one step below. Presence always may. */
  admits(content: Content): boolean;
  mutate(draft: Draft, path: Path, operation: OperationOf<K>): void;
  view(reading: Reading, path: Path, seat: Seat): ValueOf<K>;
  /** The operation that makes this value out of nothing. */
  initial(value: ValueOf<K>): OperationOf<K>;
  diff(believed: ValueOf<K>, now: ValueOf<K>): OperationOf<K> | "restart" | undefined;
  /** Carries out an operation as the function does, in place where there is a value. */
  believe(value: ValueOf<K> | undefined, operation: OperationOf<K>, by: Teller): ValueOf<K>;
  /** Like `diff` with the view, but looks only at touched paths; without it the view is made whole. */
  catchUp?(
    believed: ValueOf<K>,
    reading: Reading,
    path: Path,
    seat: Seat,
    touch: Touch,
  ): OperationOf<K> | "restart" | undefined;
  copy(value: ValueOf<K>): ValueOf<K>;
  /** A short text for errors, e.g. `GCounter(5)`. */
  describe(value: ValueOf<K>): string;
}

type Below = "nothing" | "elements" | "keys";

/** Who an operation comes from: the proxy tells what is so, the function what it did. */
type Teller = "proxy" | "function";

/** A type with its kind checked at each call, so that all eight can stand in one table. */
export interface Type {
  readonly kind: Kind;
  readonly title: string;
  readonly below: Below;
  admits(content: Content): boolean;
  mutate(draft: Draft, path: Path, operation: Operation): void;
  view(reading: Reading, path: Path, seat: Seat): Value;
  initial(value: Value): Operation;
  diff(believed: Value, now: Value): Difference;
  believe(value: Value | undefined, operation: Operation, by: Teller): Value;
  catchUp(believed: Value, reading: Reading, path: Path, seat: Seat, touch: Touch): Difference;
  copy(value: Value): Value;
  describe(value: Value): string;
}

export function defineType<K extends Kind>(type: TypeOf<K>): Type {
  const operationOf = (operation: Operation): OperationOf<K> => {
    if (isOf(type.kind, operation)) return operation;
    throw new Error(`an operation on a ${operation.type} was given to ${type.kind}`);
  };
  const valueOf = (value: Value): ValueOf<K> => {
    if (isOf(type.kind, value)) return value;
    throw new Error(`a ${value.type} was given to ${type.kind}`);
  };
  return {
    kind: type.kind,
    title: type.title,
    below: type.below,
    admits: (content) => type.admits(content),
    mutate: (draft, path, operation) => type.mutate(draft, path, operationOf(operation)),
    view: (reading, path, seat) => type.view(reading, path, seat),
    initial: (value) => type.initial(valueOf(value)),
    diff: (believed, now) => type.diff(valueOf(believed), valueOf(now)),
    believe: (value, operation, by) => type.believe(value && valueOf(value), operationOf(operation), by),
    catchUp: (believed, reading, path, seat, touch) =>
      type.catchUp
        ? type.catchUp(valueOf(believed), reading, path, seat, touch)
        : type.diff(valueOf(believed), type.view(reading, path, seat)),
    copy: (value) => type.copy(valueOf(value)),
    describe: (value) => type.describe(valueOf(value)),
  };
}

function isOf<K extends Kind, T extends { readonly type: Kind }>(
  kind: K,
  thing: T,
): thing is Extract<T, { readonly type: K }> {
  return thing.type === kind;
}

/** All types by kind, and the order in which side-by-side types are looked for. */
export interface Catalogue {
  readonly order: readonly Kind[];
  of(kind: Kind): Type;
}

/** The kind shown at a place: the first in the fixed order that has a live entry there. */
export function shownKind(catalogue: Catalogue, reading: Reading, place: Path): Kind | undefined {
  let first = catalogue.order.length;
  for (const step of reading.steps(place)) {
    const at = catalogue.order.findIndex((kind) => kind === step);
    if (at >= 0 && at < first) first = at;
  }
  return catalogue.order[first];
}
