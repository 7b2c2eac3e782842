import { MassaError } from "../core/errors.ts";
import { silentTelemetry, type Telemetry } from "../core/telemetry.ts";
import type { AnyValue } from "../wire/protocol.ts";
import { parseOffset } from "./offset.ts";
import { keptPayload } from "../wire/kept-payload.ts";
import type { EntityKey, InboxRecord, LoggedEvent, Store } from "./store.ts";
import { createWatches } from "./watches.ts";

export interface MemoryStoreOptions {
  /** What rows may take; a write beyond it is refused with `exhausted`. */
  readonly bytesMax: number;
}

interface MemoryStoreParts {
  readonly telemetry?: Telemetry;
  readonly options?: MemoryStoreOptions;
}

interface ValueRow {
  readonly version: number;
  readonly value: AnyValue | undefined;
}

interface EventRow {
  readonly entityId: string;
  readonly sequence: number;
  readonly payload: AnyValue;
}

/** The events of one entity, in order: `rows[n]` has sequence n + 1. */
interface Stream {
  readonly rows: EventRow[];
  snapshot: { readonly sequence: number; readonly payload: AnyValue } | undefined;
}

/** The events of one persistence id, in the order they came: `rows[n]` has offset n + 1. */
interface Log {
  readonly streams: Map<string, Stream>;
  readonly rows: EventRow[];
}

/** About what a row takes beside its payload and its ids. */
const rowBytes = 160;

/**
 * Keeps everything in this process, and only as long as it runs; the reference for other stores. Bytes handed in must not change
 * afterwards. Nothing is ever evicted: a write that does not fit is refused.
 */
export function createMemoryStore({ telemetry = silentTelemetry, options }: MemoryStoreParts = {}): Store {
  return new MemoryStore(telemetry, options?.bytesMax ?? Number.POSITIVE_INFINITY);
}

class MemoryStore implements Store {
  readonly isShared = false;
  readonly #telemetry: Telemetry;
  readonly #bytesMax: number;
  readonly #values = new Map<string, Map<string, ValueRow>>();
  readonly #logs = new Map<string, Log>();
  readonly #offsets = new Map<string, string>();
  readonly #inbox = new Map<string, Set<string>>();
  readonly #watches = createWatches();
  #bytes = 0;
  #isClosed = false;

  constructor(telemetry: Telemetry, bytesMax: number) {
    this.#telemetry = telemetry;
    this.#bytesMax = bytesMax;
    telemetry.gauge("massa_store_bytes", () => this.#bytes);
  }

  readonly values: Store["values"] = {
    get: async ({ persistenceId, entityId }) => {
      this.#check();
      return this.#values.get(persistenceId)?.get(entityId) ?? { version: 0, value: undefined };
    },
    put: async (key, expectedVersion, value, inbox) => {
      this.#check();
      const before = this.#values.get(key.persistenceId)?.get(key.entityId);
      const version = before?.version ?? 0;
      if (version !== expectedVersion) throw this.#conflict(`version ${version}, not ${expectedVersion}`);
      this.#admit(sizeOf(key, value) - (before ? sizeOf(key, before.value) : 0), inbox);
      entryOf(this.#values, key.persistenceId, newMap<ValueRow>).set(key.entityId, {
        version: version + 1,
        value: value && keptPayload(value),
      });
    },
  };

  readonly events: Store["events"] = {
    head: async (key) => {
      this.#check();
      const stream = this.#streamOf(key);
      return { sequence: stream?.rows.length ?? 0, snapshot: stream?.snapshot };
    },
    read: async (key, afterSequence, max) => {
      this.#check();
      const rows = this.#streamOf(key)?.rows.slice(afterSequence, afterSequence + max) ?? [];
      return rows.map(({ payload }) => payload);
    },
    append: async (key, expectedSequence, events, inbox) => {
      this.#check();
      const sequence = this.#streamOf(key)?.rows.length ?? 0;
      if (sequence !== expectedSequence) throw this.#conflict(`sequence ${sequence}, not ${expectedSequence}`);
      let bytes = 0;
      for (const event of events) bytes += sizeOf(key, event);
      this.#admit(bytes, inbox);
      if (events.length === 0) return;
      const log = entryOf(this.#logs, key.persistenceId, newLog);
      const { rows } = entryOf(log.streams, key.entityId, newStream);
      for (const event of events) {
        const row = { entityId: key.entityId, sequence: rows.length + 1, payload: keptPayload(event) };
        rows.push(row);
        log.rows.push(row);
      }
      this.#watches.tell(key.persistenceId);
    },
    saveSnapshot: async (key, sequence, payload) => {
      this.#check();
      const before = this.#streamOf(key)?.snapshot;
      if (before && before.sequence >= sequence) return;
      this.#admit(sizeOf(key, payload) - (before ? sizeOf(key, before.payload) : 0), undefined);
      const log = entryOf(this.#logs, key.persistenceId, newLog);
      entryOf(log.streams, key.entityId, newStream).snapshot = { sequence, payload: keptPayload(payload) };
    },
    log: async (persistenceId, offset, max) => {
      this.#check();
      const begin = parseOffset(offset);
      const rows = this.#logs.get(persistenceId)?.rows.slice(begin, begin + max) ?? [];
      return rows.map((row, index): LoggedEvent => ({ ...row, offset: String(begin + index + 1) }));
    },
    watch: (persistenceId, grown) => {
      this.#check();
      return this.#watches.add(persistenceId, grown);
    },
  };

  readonly offsets: Store["offsets"] = {
    get: async (consumer) => {
      this.#check();
      return this.#offsets.get(consumer);
    },
    put: async (consumer, offset) => {
      this.#check();
      if (!this.#offsets.has(consumer)) this.#admit(consumer.length + rowBytes, undefined);
      this.#offsets.set(consumer, offset);
    },
  };

  readonly inbox: Store["inbox"] = {
    has: async (record) => {
      this.#check();
      return this.#has(record);
    },
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#bytes = 0;
    for (const map of [this.#values, this.#logs, this.#offsets, this.#inbox, this.#watches]) map.clear();
  }

  #streamOf({ persistenceId, entityId }: EntityKey): Stream | undefined {
    return this.#logs.get(persistenceId)?.streams.get(entityId);
  }

  #has({ subscription, messageId }: InboxRecord): boolean {
    return this.#inbox.get(subscription)?.has(messageId) ?? false;
  }

  /** All checks of a write but its version, and then its record: what comes after must not fail. */
  #admit(growth: number, record: InboxRecord | undefined): void {
    if (record && this.#has(record)) {
      throw this.#conflict(`message ${record.messageId} of ${record.subscription} recorded already`);
    }
    const bytes = growth + (record ? record.messageId.length + rowBytes : 0);
    if (bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      this.#telemetry.count("massa_limit_reached_total", { limit: "store.memory" });
      this.#telemetry.count("massa_store_writes_total", { outcome: "failed" });
      throw new MassaError("exhausted", `the memory store is full: it holds store.memory of ${this.#bytesMax} bytes`);
    }
    this.#bytes += bytes;
    if (record) entryOf(this.#inbox, record.subscription, newSet<string>).add(record.messageId);
    this.#telemetry.count("massa_store_writes_total", { outcome: "written" });
  }

  #conflict(found: string): MassaError {
    this.#telemetry.count("massa_store_writes_total", { outcome: "conflict" });
    return new MassaError("conflict", `another write came first: found ${found}`);
  }

  #check(): void {
    if (this.#isClosed) throw new MassaError("unavailable", "the store is closed");
  }
}

function sizeOf({ entityId }: EntityKey, value: AnyValue | undefined): number {
  return rowBytes + entityId.length + (value?.value.byteLength ?? 0);
}

function entryOf<V>(map: Map<string, V>, key: string, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

function newMap<V>(): Map<string, V> {
  return new Map();
}

function newSet<V>(): Set<V> {
  return new Set();
}

function newLog(): Log {
  return { streams: new Map(), rows: [] };
}

function newStream(): Stream {
  return { rows: [], snapshot: undefined };
}
