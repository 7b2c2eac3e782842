import type { AnyValue } from "../wire/protocol.ts";

/** Which entity: the namespace of its state, and its id within (spec: state is keyed by persistence id, not by service). */
export interface EntityKey {
  readonly persistenceId: string;
  readonly entityId: string;
}

/** A message that was carried out; recorded in the transaction of what it changed, so that a redelivery is known. */
export interface InboxRecord {
  /** The subscription that delivered it, and what names the message there. */
  readonly subscription: string;
  readonly messageId: string;
}

/** The state of a value entity. Versions start at 1, grow by one with each write and never go back, deletes included. */
export interface StoredValue {
  /** 0 when it was never written. */
  readonly version: number;
  /** Absent when it was never written or was deleted. */
  readonly value: AnyValue | undefined;
}

export interface ValueStore {
  get(key: EntityKey): Promise<StoredValue>;
  /**
   * Writes, or deletes when `value` is undefined. Resolves once it is as durable as the store is; rejects with `conflict`
   * when the version is another than `expectedVersion` or the message is recorded already, and then nothing was written.
   * The bytes must not change afterwards.
   */
  put(key: EntityKey, expectedVersion: number, value: AnyValue | undefined, inbox?: InboxRecord): Promise<void>;
}

/** What an event-sourced entity starts from. */
export interface EventStreamHead {
  /** Sequence of the last event; 0 when there is none. */
  readonly sequence: number;
  readonly snapshot: { readonly sequence: number; readonly payload: AnyValue } | undefined;
}

/** One event in the log of a persistence id. */
export interface LoggedEvent {
  readonly entityId: string;
  readonly sequence: number;
  readonly payload: AnyValue;
  /** Its place in the log; to be compared by the store only. */
  readonly offset: string;
}

export interface EventStore {
  head(key: EntityKey): Promise<EventStreamHead>;
  /**
   * Events after `afterSequence` in order, without gaps, at most `max` of them: fewer when they are large, none only when there
   * are no more.
   */
  read(key: EntityKey, afterSequence: number, max: number): Promise<readonly AnyValue[]>;
  /**
   * Appends all of them or none, as `expectedSequence + 1` and on; an empty list only records the message. Resolves once they
   * are as durable as the store is; rejects with `conflict` when the last sequence is another one or the message is recorded
   * already, and then nothing was written. The bytes must not change afterwards.
   */
  append(key: EntityKey, expectedSequence: number, events: readonly AnyValue[], inbox?: InboxRecord): Promise<void>;
  /** Keeps the snapshot; an older one than is there is ignored. */
  saveSnapshot(key: EntityKey, sequence: number, payload: AnyValue): Promise<void>;
  /**
   * Events of all entities of a persistence id after `offset` (undefined: from the first) in the order of the log, gap-free: an
   * event never turns up before one that was read. Fewer than `max` when they are large, none only at the end. Rejects with
   * `invalid` for what is no offset of this store.
   */
  log(persistenceId: string, offset: string | undefined, max: number): Promise<readonly LoggedEvent[]>;
  /** Calls back, soon and never from within `append`, whenever the log of a persistence id may have grown. Returns the unsubscription. */
  watch(persistenceId: string, grown: () => void): () => void;
}

/** How far each consumer of an event log has come. */
export interface OffsetStore {
  get(consumer: string): Promise<string | undefined>;
  put(consumer: string, offset: string): Promise<void>;
}

export interface Inbox {
  has(record: InboxRecord): Promise<boolean>;
}

/**
 * Where value and event-sourced entities are kept. Methods may be called concurrently and reject with a `MassaError`: `conflict`;
 * `exhausted` for a bound of the store; `unavailable` when it cannot be reached, has no room or is closed; `internal` when what it
 * holds is damaged. After anything but `conflict`, `exhausted` and "closed" a write may or may not have happened. Ids are any text.
 */
export interface Store extends AsyncDisposable {
  readonly values: ValueStore;
  readonly events: EventStore;
  readonly offsets: OffsetStore;
  readonly inbox: Inbox;
  /** Whether other nodes see the same state; if not, a cluster needs `store.shared: false` to be allowed. */
  readonly isShared: boolean;
}
