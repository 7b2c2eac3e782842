import type { KeyedOperation, Operation, OperationOf, Value } from "../crdt/index.ts";

const noMapChange: OperationOf<"ormap"> = { type: "ormap", cleared: false, removed: [], updated: [], added: [] };

export const counted = (change: bigint): Operation => ({ type: "pncounter", change });
export const grown = (increment: bigint): Operation => ({ type: "gcounter", increment });
export const setOf = (...added: string[]): Operation => ({ type: "orset", cleared: false, removed: [], added });
export const without = (...removed: string[]): Operation => ({ type: "orset", cleared: false, removed, added: [] });
export const flagged = (value: boolean): Operation => ({ type: "flag", value });
export const voted = (selfVote: boolean): Operation => ({ type: "vote", selfVote, votesFor: 0, totalVoters: 0 });

export const written = (
  value: string,
  customClock: bigint,
  clock: OperationOf<"lwwregister">["clock"] = "custom",
): Operation => ({ type: "lwwregister", value, clock, customClock });

export const added = (...entries: KeyedOperation[]): Operation => ({ ...noMapChange, added: entries });
export const updated = (...entries: KeyedOperation[]): Operation => ({ ...noMapChange, updated: entries });
export const removed = (...keys: string[]): Operation => ({ ...noMapChange, removed: keys });

/** Key `i` of the map at key `o` of a map, made with this. */
export const make = (operation: Operation): Operation => added({ key: "o", operation: added({ key: "i", operation }) });

/** The same key, updated with this. */
export const update = (operation: Operation): Operation =>
  updated({ key: "o", operation: updated({ key: "i", operation }) });

/** The same key, removed from the inner map. */
export const removeInner: Operation = updated({ key: "o", operation: removed("i") });

/** What stands at that key. */
export function inner(value: Value | undefined): Value | undefined {
  const outer = value?.type === "ormap" ? value.entries.get("o") : undefined;
  return outer?.type === "ormap" ? outer.entries.get("i") : undefined;
}
