import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { AnyValue } from "../wire/protocol.ts";
import { Contradiction } from "./embedded-errors.ts";
import type { EntityKey, EventStreamHead, InboxRecord, LoggedEvent, StoredValue } from "./store.ts";

/** One thing to be written; carried out whole or not at all. */
export type Write =
  | PutWrite
  | AppendWrite
  | { readonly type: "snapshot"; readonly key: EntityKey; readonly sequence: number; readonly payload: AnyValue }
  | { readonly type: "offset"; readonly consumer: string; readonly offset: string };

interface PutWrite {
  readonly type: "put";
  readonly key: EntityKey;
  readonly expectedVersion: number;
  readonly value: AnyValue | undefined;
  readonly inbox: InboxRecord | undefined;
}

interface AppendWrite {
  readonly type: "append";
  readonly key: EntityKey;
  readonly expectedSequence: number;
  readonly events: readonly AnyValue[];
  readonly inbox: InboxRecord | undefined;
}

/** Bytes after which a page ends, though more was asked for. */
const pageBytes = 4 * 1024 * 1024;

/** Reads and writes the tables of one file; nothing here waits but for the disk. */
export class StoreTables {
  readonly #database: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #value: StatementSync;
  readonly #version: StatementSync;
  readonly #putValue: StatementSync;
  readonly #last: StatementSync;
  readonly #events: StatementSync;
  readonly #addEvent: StatementSync;
  readonly #snapshot: StatementSync;
  readonly #putSnapshot: StatementSync;
  readonly #log: StatementSync;
  readonly #offset: StatementSync;
  readonly #putOffset: StatementSync;
  readonly #message: StatementSync;
  readonly #addMessage: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    const ofEntity = "WHERE persistence_id = ? AND entity_id = ?";
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#value = database.prepare(`SELECT version, type_url, payload FROM value_entities ${ofEntity}`);
    this.#version = database.prepare(`SELECT version FROM value_entities ${ofEntity}`);
    this.#putValue = database.prepare(
      `INSERT INTO value_entities VALUES (?, ?, ?, ?, ?) ON CONFLICT (persistence_id, entity_id)
       DO UPDATE SET version = excluded.version, type_url = excluded.type_url, payload = excluded.payload`,
    );
    this.#last = database.prepare(`SELECT sequence FROM events ${ofEntity} ORDER BY sequence DESC LIMIT 1`);
    this.#events = database.prepare(
      `SELECT sequence, type_url, payload FROM events ${ofEntity} AND sequence > ? ORDER BY sequence LIMIT ?`,
    );
    this.#addEvent = database.prepare(
      "INSERT INTO events (persistence_id, entity_id, sequence, type_url, payload) VALUES (?, ?, ?, ?, ?)",
    );
    this.#snapshot = database.prepare(`SELECT sequence, type_url, payload FROM snapshots ${ofEntity}`);
    this.#putSnapshot = database.prepare(
      `INSERT INTO snapshots VALUES (?, ?, ?, ?, ?) ON CONFLICT (persistence_id, entity_id)
       DO UPDATE SET sequence = excluded.sequence, type_url = excluded.type_url, payload = excluded.payload
       WHERE excluded.sequence > sequence`,
    );
    this.#log = database.prepare(
      `SELECT log_offset, entity_id, sequence, type_url, payload FROM events INDEXED BY events_by_log
       WHERE persistence_id = ? AND log_offset > ? ORDER BY log_offset LIMIT ?`,
    );
    this.#offset = database.prepare("SELECT log_offset FROM consumer_offsets WHERE consumer = ?");
    this.#putOffset = database.prepare(
      `INSERT INTO consumer_offsets VALUES (?, ?) ON CONFLICT (consumer) DO UPDATE SET log_offset = excluded.log_offset`,
    );
    this.#message = database.prepare("SELECT 1 FROM inbox WHERE subscription = ? AND message_id = ?");
    this.#addMessage = database.prepare("INSERT INTO inbox VALUES (?, ?)");
  }

  /**
   * Carries out all in one transaction and waits for the disk. For each the reason of its conflict, or undefined when it was
   * written: a conflict of one leaves the others alone. When it throws nothing was written.
   */
  commit(writes: readonly Write[]): (string | undefined)[] {
    this.#begin.run();
    try {
      const conflicts = writes.map((write) => this.#write(write));
      this.#commit.run();
      return conflicts;
    } catch (failure) {
      // Some failures of the disk have ended the transaction already.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw failure;
    }
  }

  value({ persistenceId, entityId }: EntityKey): StoredValue {
    const row = this.#value.get(persistenceId, entityId);
    if (!row) return { version: 0, value: undefined };
    return { version: row["version"] as number, value: row["type_url"] === null ? undefined : anyOf(row) };
  }

  head({ persistenceId, entityId }: EntityKey): EventStreamHead {
    const row = this.#snapshot.get(persistenceId, entityId);
    return {
      sequence: this.#lastSequence(persistenceId, entityId),
      snapshot: row && { sequence: row["sequence"] as number, payload: anyOf(row) },
    };
  }

  /** Throws a `Contradiction` where one is missing between two. */
  events({ persistenceId, entityId }: EntityKey, afterSequence: number, max: number): AnyValue[] {
    let last = afterSequence;
    const next = (row: Row): AnyValue => {
      const sequence = row["sequence"] as number;
      last += 1;
      if (sequence !== last) throw new Contradiction(`event ${last} of ${entityId} of ${persistenceId} is missing`);
      return anyOf(row);
    };
    return page(this.#events.iterate(persistenceId, entityId, afterSequence, max), next, ({ value }) => value);
  }

  log(persistenceId: string, afterOffset: number, max: number): LoggedEvent[] {
    return page(this.#log.iterate(persistenceId, afterOffset, max), loggedOf, ({ payload }) => payload.value);
  }

  offset(consumer: string): string | undefined {
    return this.#offset.get(consumer)?.["log_offset"] as string | undefined;
  }

  hasMessage({ subscription, messageId }: InboxRecord): boolean {
    return this.#message.get(subscription, messageId) !== undefined;
  }

  #write(write: Write): string | undefined {
    switch (write.type) {
      case "put":
        return this.#put(write);
      case "append":
        return this.#append(write);
      case "snapshot": {
        const { key, sequence, payload } = write;
        this.#putSnapshot.run(key.persistenceId, key.entityId, sequence, payload.typeUrl, payload.value);
        return undefined;
      }
      case "offset":
        this.#putOffset.run(write.consumer, write.offset);
        return undefined;
    }
  }

  #put({ key: { persistenceId, entityId }, expectedVersion, value, inbox }: PutWrite): string | undefined {
    const version = (this.#version.get(persistenceId, entityId)?.["version"] ?? 0) as number;
    if (version !== expectedVersion) return `version ${version}, not ${expectedVersion}`;
    const repeat = this.#record(inbox);
    if (repeat !== undefined) return repeat;
    this.#putValue.run(persistenceId, entityId, version + 1, value?.typeUrl ?? null, value?.value ?? null);
    return undefined;
  }

  #append({ key: { persistenceId, entityId }, expectedSequence, events, inbox }: AppendWrite): string | undefined {
    let sequence = this.#lastSequence(persistenceId, entityId);
    if (sequence !== expectedSequence) return `sequence ${sequence}, not ${expectedSequence}`;
    const repeat = this.#record(inbox);
    if (repeat !== undefined) return repeat;
    for (const { typeUrl, value } of events) this.#addEvent.run(persistenceId, entityId, ++sequence, typeUrl, value);
    return undefined;
  }

  /** The last check of a write, and its record. */
  #record(record: InboxRecord | undefined): string | undefined {
    if (!record) return undefined;
    if (this.hasMessage(record)) return `message ${record.messageId} of ${record.subscription} recorded already`;
    this.#addMessage.run(record.subscription, record.messageId);
    return undefined;
  }

  #lastSequence(persistenceId: string, entityId: string): number {
    return (this.#last.get(persistenceId, entityId)?.["sequence"] ?? 0) as number;
  }
}

type Row = ReturnType<StatementSync["iterate"]> extends Iterable<infer R> ? R : never;

function page<T>(rows: Iterable<Row>, read: (row: Row) => T, bytesOf: (item: T) => Uint8Array): T[] {
  const items: T[] = [];
  let bytes = 0;
  for (const row of rows) {
    const item = read(row);
    items.push(item);
    bytes += bytesOf(item).byteLength;
    if (bytes >= pageBytes) break;
  }
  return items;
}

function anyOf(row: Row): AnyValue {
  return { typeUrl: row["type_url"] as string, value: row["payload"] as Uint8Array };
}

function loggedOf(row: Row): LoggedEvent {
  const [entityId, sequence] = [row["entity_id"] as string, row["sequence"] as number];
  return { entityId, sequence, payload: anyOf(row), offset: String(row["log_offset"]) };
}
