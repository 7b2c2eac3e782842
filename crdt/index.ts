/**
 * Replicated data types as one table of dots, without any dependency: usable alone as `massa/crdt`.
 *
 * A replica turns an operation into a change (`mutate`), applies it to its table, and sends it; others apply it too, each
 * origin's changes in order. Whoever missed some is brought up by `since` and `joinInto`. `view` is what an entity looks like.
 *
 * ```ts
 * let last = 0;
 * const table = new Table();
 * const dots = { replica: "5d41402abc4b2a76b9719d911017c592", next: () => ++last };
 * const change = mutate({ type: "pncounter", change: 3n }, new Known(table), dots, Date.now());
 * table.apply(change); // and, anywhere else, other.apply(change)
 * view(table, { self: dots.replica, members: new Set([dots.replica]) }); // { type: "pncounter", value: 3n }
 * ```
 *
 * @module
 */
export { Belief } from "./belief.ts";
export { MalformedBytes } from "./bytes.ts";
export { anyOf, elementOf } from "./element.ts";
export type { Payload } from "./element.ts";
export { decodeChanges, decodeClock, decodeRepair, encodeChanges, encodeClock, encodeRepair } from "./encoding.ts";
export { amountPaths, foldSent, foldUnsent } from "./fold.ts";
export type { FoldedChanges } from "./fold.ts";
export { Known } from "./known.ts";
export { dropAll, mutate } from "./mutate.ts";
export type { Effect } from "./mutate.ts";
export { Refusal } from "./operation.ts";
export type { KeyedOperation, Kind, Operation, OperationOf, RegisterClock, Value, ValueOf } from "./operation.ts";
export { digest, gather, since, slices } from "./repair.ts";
export { compareDots, dotKey, join, seenBy, Table } from "./table.ts";
export type {
  Applied,
  Change,
  Clock,
  Content,
  Dot,
  DotKey,
  Dots,
  Entry,
  Fold,
  NamedDot,
  NumberedChange,
  NumberedDot,
  Path,
  Repair,
  ReplicaId,
  Seat,
  Seen,
} from "./entry.ts";
export type { State } from "./table.ts";
export type { Reading } from "./tree.ts";
export { believe, diff, initial, view } from "./view.ts";
export type { Correction } from "./view.ts";
