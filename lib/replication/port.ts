import type { Applied, Effect, ReplicaId, Seat, Table } from "../../crdt/index.ts";

/** How many members must have applied a change before it is answered. */
export type Consistency = "local" | "majority" | "all";

/** What an entity hears of its table. */
export interface Watcher {
  /**
   * A change from elsewhere, after it was applied; never empty. Own changes and folds of own amounts are not told: they change
   * nothing that the entity does not know.
   */
  changed(applied: Applied): void;
  /** Other members count now: `seat()` has changed. */
  members(): void;
}

/** Numbers for the adds of one change; a number is spent only if the change is made. */
export interface ChangeDots {
  readonly replica: ReplicaId;
  next(): number;
}

/** A change made here, as it was applied to the table. */
export interface Made {
  /** The last number of the change's run, for `confirm`; of a change without content that of the one before it. */
  readonly number: number;
  readonly applied: Applied;
}

/**
 * The CRDT entities of one persistence id on this node, replicated among all nodes that host it. Single-threaded; everything but
 * `read` and the confirmations happens before the call returns. No watcher is called from within a call.
 */
export interface ReplicaGroup {
  readonly replica: ReplicaId;
  /** From where votes are seen: this replica, and the members in that host the group, itself included. */
  seat(): Seat;
  /** The entity's table, empty if it does not exist. The object stays the same while the entity is watched. */
  table(entity: string): Table;
  /** Waits until the table is as fresh as an activation wants it, then gives it. Watch first, or the object may be another one later. */
  read(entity: string): Promise<Table>;
  /** Several may watch one entity. */
  watch(entity: string, watcher: Watcher): void;
  /** Ends the watching of this same object. */
  unwatch(entity: string, watcher: Watcher): void;
  /**
   * Makes a change: `make` takes a number for each add from `dots`; it is applied here at once, and sent soon. What `make` throws
   * is passed on and spends no number. Drops and adds must come from the table as the entity knew it. Watchers are told, but for
   * `by`, who makes it: two services may share a persistence id, and then the same entity.
   */
  change(entity: string, make: (dots: ChangeDots) => Effect, by?: Watcher): Made;
  /**
   * Calls `done` once, perhaps from within this call: true when so many members have applied everything up to `number`, false
   * after `crdt.writeTimeout` or when the proxy closes. What was not confirmed stays and spreads all the same. Returns how to
   * stop waiting; `done` is not called after it.
   */
  confirm(number: number, consistency: Consistency, done: (isConfirmed: boolean) => void): () => void;
}

/** The replicated state of all CRDT services of this node. */
export interface Replication {
  /** The group of a persistence id; it need not be hosted yet, and the object stays the same. */
  group(persistenceId: string): ReplicaGroup;
  /** What this node hosts, after discovery and whenever it changes. State of groups that are gone is kept until the process ends. */
  hosted(persistenceIds: readonly string[]): void;
  /** Undefined once every hosted group has the state of a peer, or opened alone; until then why not. */
  readonly notReady: string | undefined;
  /** Calls `ready` once as soon as `notReady` is undefined, perhaps at once. */
  onReady(ready: () => void): void;
}
