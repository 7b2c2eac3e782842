import { statSync } from "node:fs";
import { MassaError } from "../core/errors.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { AnyValue } from "../wire/protocol.ts";
import { Link, type LinkOptions, type LinkParts } from "./embedded-link.ts";
import type { Write } from "./embedded-tables.ts";
import { parseOffset } from "./offset.ts";
import { keptPayload } from "../wire/kept-payload.ts";
import type { EventStreamHead, LoggedEvent, Store, StoredValue } from "./store.ts";
import { createWatches } from "./watches.ts";

export type EmbeddedStoreOptions = LinkOptions;

/** About what a write takes on its way beside its payloads. */
const writeBytes = 200;

/**
 * Keeps everything in one SQLite file that belongs to this process alone. A write resolves once it is on the disk. Rejects with a
 * message that names the file and says what to do when it cannot be opened.
 */
export async function openEmbeddedStore(parts: LinkParts): Promise<Store> {
  const link = new Link(parts);
  const path = await link.opened;
  parts.log.info({ file: path }, "store is open");
  parts.telemetry.gauge("massa_store_bytes", () => sizeOf(path) + sizeOf(`${path}-wal`));
  return new EmbeddedStore(link, parts.telemetry);
}

class EmbeddedStore implements Store {
  readonly isShared = false;
  readonly #link: Link;
  readonly #telemetry: Telemetry;
  readonly #watches = createWatches();

  constructor(link: Link, telemetry: Telemetry) {
    this.#link = link;
    this.#telemetry = telemetry;
  }

  readonly values: Store["values"] = {
    get: async (key) => (await this.#link.read({ type: "value", key })) as StoredValue,
    put: (key, expectedVersion, value, inbox) => {
      const kept = value && keptPayload(value);
      return this.#write({ type: "put", key, expectedVersion, value: kept, inbox }, kept?.value.byteLength ?? 0);
    },
  };

  readonly events: Store["events"] = {
    head: async (key) => (await this.#link.read({ type: "head", key })) as EventStreamHead,
    read: async (key, afterSequence, max) =>
      (await this.#link.read({ type: "events", key, afterSequence, max })) as readonly AnyValue[],
    append: async (key, expectedSequence, events, inbox) => {
      let bytes = 0;
      for (const { value } of events) bytes += value.byteLength + writeBytes;
      const kept = events.map(keptPayload);
      await this.#write({ type: "append", key, expectedSequence, events: kept, inbox }, bytes);
      if (events.length > 0) this.#watches.tell(key.persistenceId);
    },
    saveSnapshot: (key, sequence, payload) =>
      this.#write({ type: "snapshot", key, sequence, payload: keptPayload(payload) }, payload.value.byteLength),
    log: async (persistenceId, offset, max) =>
      (await this.#link.read({
        type: "log",
        persistenceId,
        afterOffset: parseOffset(offset),
        max,
      })) as readonly LoggedEvent[],
    watch: (persistenceId, grown) => {
      this.#link.check();
      return this.#watches.add(persistenceId, grown);
    },
  };

  readonly offsets: Store["offsets"] = {
    get: async (consumer) => (await this.#link.read({ type: "offset", consumer })) as string | undefined,
    put: (consumer, offset) => this.#write({ type: "offset", consumer, offset }, offset.length),
  };

  readonly inbox: Store["inbox"] = {
    has: async (record) => (await this.#link.read({ type: "message", record })) as boolean,
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link[Symbol.asyncDispose]();
    this.#watches.clear();
  }

  async #write(write: Write, bytes: number): Promise<void> {
    const conflict = await this.#link.write(write, bytes + writeBytes);
    const outcome = conflict === undefined ? "written" : "conflict";
    this.#telemetry.count("massa_store_writes_total", { outcome });
    if (conflict !== undefined) throw new MassaError("conflict", `another write came first: found ${conflict}`);
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
