/** One process start: 128 random bits as 32 hexadecimal digits, never used again. */
export type ReplicaId = string;

/** A dot names one add for ever: the replica that made it, and its number there (1, 2, 3 …). */
export interface NumberedDot {
  readonly replica: ReplicaId;
  readonly number: number;
}

/** A dot named after a bridged message: a hash of where the message stands and which entity it reached, its offset, and an index. */
export interface NamedDot {
  readonly source: string;
  readonly offset: bigint;
  readonly index: number;
}

export type Dot = NumberedDot | NamedDot;

/** A dot as a map key. */
export type DotKey = string;

export function dotKey(dot: Dot): DotKey {
  return "replica" in dot ? `${dot.replica}:${dot.number}` : `${dot.source}@${dot.offset}#${dot.index}`;
}

/** Replica → the last number applied with none missing before it. An absent replica stands at 0. */
export type Clock = ReadonlyMap<ReplicaId, number>;

/** What has been seen: a dot that is covered and not live was dropped. */
export interface Seen {
  covers(dot: Dot): boolean;
}

/**
 * Where in an entity: alternating type name and key, ending for sets in the element, e.g. `["ormap", k, "orset", e]`.
 * Keys and elements are opaque strings (`element.ts`: an Any's identity, from which its exact bytes come back).
 */
export type Path = readonly string[];

/** What a live dot holds at its path. `presence` marks something that exists without holding anything. */
export type Content =
  | { readonly type: "presence" }
  | { readonly type: "element" }
  | { readonly type: "flag" }
  | { readonly type: "amount"; readonly amount: bigint }
  | { readonly type: "value"; readonly stamp: bigint; readonly value: string }
  | { readonly type: "vote"; readonly vote: boolean };

export interface Entry {
  readonly dot: Dot;
  readonly path: Path;
  readonly content: Content;
}

/** What one command did to one entity: the dots it saw and ended, and what it added. */
export interface Change {
  readonly entity: string;
  readonly drops: readonly Dot[];
  readonly adds: readonly Entry[];
}

/** A change with the run of numbers, both ends included, that its replica spent on it; it travels whole. */
export interface NumberedChange extends Change {
  readonly from: number;
  readonly to: number;
}

/** What applying something did to a table: the entries that are new in it, and those that are gone from it. */
export interface Applied {
  readonly gained: readonly Entry[];
  readonly lost: readonly Entry[];
}

/**
 * What one reading of a table brings to an asker: the entries it has not seen, and the names of those it may have that are
 * live here. What the asker holds, this side has seen, and neither list names, was dropped.
 */
export interface Repair {
  readonly entries: readonly Entry[];
  readonly kept: readonly Dot[];
}

/** Unsent amounts of one path that became one: the dots that are no more, and the one that holds the sum. */
export interface Fold {
  readonly entity: string;
  readonly gone: readonly Dot[];
  readonly entry: Entry;
}

/** Where the next dots come from. */
export interface Dots {
  readonly replica: ReplicaId;
  next(): number;
}

/** From whose place a value is seen: votes count for the members, and one of them is one's own. */
export interface Seat {
  readonly self: ReplicaId;
  readonly members: ReadonlySet<ReplicaId>;
}

/** A total order of dots: numbered before named, then by replica and number, or by source, offset and index. */
export function compareDots(left: Dot, right: Dot): number {
  if ("replica" in left) {
    if (!("replica" in right)) return -1;
    return compareTexts(left.replica, right.replica) || left.number - right.number;
  }
  if ("replica" in right) return 1;
  const byOffset = left.offset < right.offset ? -1 : left.offset > right.offset ? 1 : 0;
  return compareTexts(left.source, right.source) || byOffset || left.index - right.index;
}

function compareTexts(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** What a clock has seen, and, where given, single dots beyond it (kept drops). No clock covers a named dot. */
export function seenBy(clock: Clock, beyond?: ReadonlySet<DotKey>): Seen {
  return {
    covers: (dot) =>
      ("replica" in dot && dot.number <= (clock.get(dot.replica) ?? 0)) || (beyond?.has(dotKey(dot)) ?? false),
  };
}
