import type { StorePlace } from "../core/config-values.ts";
import type { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { EmbeddedStoreOptions } from "./embedded.ts";
import { createMemoryStore, type MemoryStoreOptions } from "./memory.ts";
import type { Store } from "./store.ts";

export interface StoreOptions {
  readonly place: StorePlace;
  readonly memory: MemoryStoreOptions;
  readonly file: Omit<EmbeddedStoreOptions, "file">;
}

export interface StoreSurroundings {
  readonly log: Logger;
  readonly telemetry: Telemetry;
  /** The store is gone for good, and only a new start brings it back. */
  readonly lost: (error: MassaError) => void;
}

/** Opens the store that the configuration names; rejects with a message for the operator when a file will not do. */
export async function openStore(
  { place, memory, file }: StoreOptions,
  { log, telemetry, lost }: StoreSurroundings,
): Promise<Store> {
  switch (place.type) {
    case "memory":
      return createMemoryStore({ telemetry, options: memory });
    case "file": {
      // Whoever keeps nothing pays for no SQLite.
      const { openEmbeddedStore } = await import("./embedded.ts");
      return openEmbeddedStore({ log, telemetry, lost, options: { ...file, file: place.path } });
    }
  }
}
