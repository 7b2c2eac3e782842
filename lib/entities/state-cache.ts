import type { Telemetry } from "../core/telemetry.ts";
import type { EntityKey } from "../store/store.ts";
import type { Snapshot } from "../wire/event-sourced-protocol.ts";
import { keptPayload } from "../wire/kept-payload.ts";
import type { AnyValue } from "../wire/protocol.ts";

/** What is kept of a value entity. */
export interface KeptValue {
  readonly type: "value";
  readonly version: number;
  readonly value: AnyValue | undefined;
}

/** What is kept of an event-sourced entity: all that its next start replays. */
export interface KeptEvents {
  readonly type: "event-sourced";
  readonly snapshot: Snapshot | undefined;
  /** All events after the snapshot, or from the first on. */
  readonly events: readonly AnyValue[];
}

export type KeptState = KeptValue | KeptEvents;

/** A read of the store under way. What it brought is kept unless the entity was written, or forgotten, meanwhile. */
export interface StateRead extends Disposable {
  keep(state: KeptState): void;
}

export interface StateCacheOptions {
  /** Bytes of state kept, by estimate (`entities.cache`); 0 keeps nothing. */
  readonly bytesMax: number;
  /**
   * The unbroken term of ownership in which this node alone writes the entity, undefined when it holds none. What was kept in
   * one term is never used in another, because somebody else may have written between them.
   */
  readonly term: (key: EntityKey) => number | undefined;
}

interface Entry {
  readonly term: number;
  readonly state: KeptState;
  /** The events of `state`, which is shared with nobody. */
  readonly events: AnyValue[];
  bytes: number;
}

/** Estimates of what an entry and each Any in it weigh beside their bytes. */
const entryBytes = 240;
const anyBytes = 160;
/** One entity may take this part of the cache; a longer history than that is read from the store. */
const shareMax = 1 / 16;

/** State of entities as it is stored, the least recently used forgotten first: they start from it without a read. */
export class StateCache {
  readonly #options: StateCacheOptions;
  readonly #telemetry: Telemetry;
  readonly #entries = new Map<string, Entry>();
  /** The reads under way, by entity, of which nothing was written since they began. */
  readonly #reads = new Map<string, Set<StateRead>>();
  #bytes = 0;

  constructor(options: StateCacheOptions, telemetry: Telemetry) {
    this.#options = options;
    this.#telemetry = telemetry;
    telemetry.gauge("massa_entities_cache_bytes", () => this.#bytes);
    telemetry.gauge("massa_entities_cache_entries", () => this.#entries.size);
  }

  /** To be taken before a write of the store, and given to `keep` after it; undefined when nothing is to be kept. */
  term(key: EntityKey): number | undefined {
    return this.#options.bytesMax > 0 ? this.#options.term(key) : undefined;
  }

  /** Whether the state of one entity may weigh so much, by the same estimate. */
  fits(events: number, payloadBytes: number): boolean {
    return events * anyBytes + payloadBytes <= this.#options.bytesMax * shareMax;
  }

  /** What an entity that starts now may start from. */
  find(type: KeptState["type"], key: EntityKey): KeptState | undefined {
    const name = nameOf(type, key);
    const entry = this.#valid(name, this.term(key));
    if (entry) this.#touch(name, entry);
    const counter = entry ? "massa_entities_cache_hits_total" : "massa_entities_cache_misses_total";
    this.#telemetry.count(counter, { kind: type });
    return entry?.state;
  }

  /** To be begun before a read of the store. */
  read(type: KeptState["type"], key: EntityKey): StateRead {
    const name = nameOf(type, key);
    const term = this.term(key);
    const reads = this.#reads.get(name) ?? new Set();
    const read: StateRead = {
      keep: (state) => {
        if (reads.has(read)) this.#put(name, term, state);
      },
      [Symbol.dispose]: () => {
        if (reads.delete(read) && reads.size === 0) this.#reads.delete(name);
      },
    };
    this.#reads.set(name, reads.add(read));
    return read;
  }

  /** Keeps what was just written, as a copy, for use in this term alone. Payloads may be slices of what was received. */
  keep(key: EntityKey, term: number | undefined, state: KeptState): void {
    const name = nameOf(state.type, key);
    this.#outdate(name);
    this.#put(name, term, state);
  }

  #put(name: string, term: number | undefined, state: KeptState): void {
    this.#remove(name);
    if (term === undefined) return;
    const entry = entryOf(term, state);
    entry.bytes += 2 * name.length;
    this.#entries.set(name, entry);
    this.#bytes += entry.bytes;
    this.#shrink(name, entry);
  }

  /** Adds events that were just written after `position` to what is kept of an entity, if anything is. */
  extend(key: EntityKey, term: number | undefined, position: number, events: readonly AnyValue[]): void {
    const name = nameOf("event-sourced", key);
    this.#outdate(name);
    const entry = this.#valid(name, term);
    if (!entry) return;
    if (sequenceOf(entry) !== position) {
      this.#remove(name);
      return;
    }
    for (const event of events) {
      entry.events.push(keptPayload(event));
      const bytes = weightOf(event);
      entry.bytes += bytes;
      this.#bytes += bytes;
    }
    this.#touch(name, entry);
    this.#shrink(name, entry);
  }

  forget(type: KeptState["type"], key: EntityKey): void {
    const name = nameOf(type, key);
    this.#outdate(name);
    this.#remove(name);
  }

  /** What reads that began before bring is old. */
  #outdate(name: string): void {
    this.#reads.get(name)?.clear();
    this.#reads.delete(name);
  }

  #valid(name: string, term: number | undefined): Entry | undefined {
    const entry = this.#entries.get(name);
    if (!entry || entry.term === term) return entry;
    this.#remove(name);
    return undefined;
  }

  #touch(name: string, entry: Entry): void {
    this.#entries.delete(name);
    this.#entries.set(name, entry);
  }

  #shrink(newest: string, { bytes }: Entry): void {
    const { bytesMax } = this.#options;
    if (bytes > bytesMax * shareMax) this.#remove(newest);
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= bytesMax) return;
      this.#remove(oldest);
    }
  }

  #remove(name: string): void {
    const entry = this.#entries.get(name);
    if (!entry) return;
    this.#entries.delete(name);
    this.#bytes -= entry.bytes;
  }
}

/** Of the last event that is kept. */
function sequenceOf({ state, events }: Entry): number {
  return (state.type === "event-sourced" ? (state.snapshot?.sequence ?? 0) : 0) + events.length;
}

function nameOf(type: KeptState["type"], { persistenceId, entityId }: EntityKey): string {
  return `${type === "value" ? "v" : "e"}${persistenceId.length}:${persistenceId}${entityId}`;
}

function entryOf(term: number, state: KeptState): Entry {
  switch (state.type) {
    case "value": {
      const value = state.value && keptPayload(state.value);
      return { term, state: { ...state, value }, events: [], bytes: entryBytes + (value ? weightOf(value) : 0) };
    }
    case "event-sourced": {
      const snapshot = state.snapshot && { ...state.snapshot, payload: keptPayload(state.snapshot.payload) };
      const events = state.events.map(keptPayload);
      const bytes = events.reduce((sum, event) => sum + weightOf(event), snapshot ? weightOf(snapshot.payload) : 0);
      return { term, state: { type: "event-sourced", snapshot, events }, events, bytes: entryBytes + bytes };
    }
  }
}

function weightOf({ value }: AnyValue): number {
  return anyBytes + value.byteLength;
}
