/** How a register's write is stamped. */
export type RegisterClock = "default" | "reverse" | "custom" | "custom-auto-increment";

/** What happens to one key of a map. */
export interface KeyedOperation {
  readonly key: string;
  readonly operation: Operation;
}

/**
 * What a user function did or is told: the wire's `CrdtDelta` in plain values. Elements, keys and register values are the
 * identity strings of `elementOf`. In order: cleared, removed, updated, added.
 */
export type Operation =
  | { readonly type: "gcounter"; readonly increment: bigint }
  | { readonly type: "pncounter"; readonly change: bigint }
  | { readonly type: "gset"; readonly added: readonly string[] }
  | {
      readonly type: "orset";
      readonly cleared: boolean;
      readonly removed: readonly string[];
      readonly added: readonly string[];
    }
  | {
      readonly type: "lwwregister";
      readonly value: string;
      readonly clock: RegisterClock;
      readonly customClock: bigint;
    }
  | { readonly type: "flag"; readonly value: boolean }
  | {
      readonly type: "ormap";
      readonly cleared: boolean;
      readonly removed: readonly string[];
      readonly updated: readonly KeyedOperation[];
      readonly added: readonly KeyedOperation[];
    }
  | { readonly type: "vote"; readonly selfVote: boolean; readonly votesFor: number; readonly totalVoters: number };

export type Kind = Operation["type"];

/** An operation of one type. */
export type OperationOf<K extends Kind> = Extract<Operation, { readonly type: K }>;

/** What a user function sees: the wire's state of one CRDT in plain values. Owned by whoever made it. */
export type Value =
  | { readonly type: "gcounter"; value: bigint }
  | { readonly type: "pncounter"; value: bigint }
  | { readonly type: "gset"; readonly elements: Set<string> }
  | { readonly type: "orset"; readonly elements: Set<string> }
  | { readonly type: "lwwregister"; value: string }
  | { readonly type: "flag"; value: boolean }
  | { readonly type: "ormap"; readonly entries: Map<string, Value> }
  | { readonly type: "vote"; selfVote: boolean; votesFor: number; totalVoters: number };

/** A value of one type. */
export type ValueOf<K extends Kind> = Extract<Value, { readonly type: K }>;

/** A user function asked for what its type does not allow; the text is the protocol's. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}
