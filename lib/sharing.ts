import { MassaError } from "./core/errors.ts";
import type { Clock } from "./core/world.ts";
import type { ServiceTable } from "./discovery/service-table.ts";
import type { Mesh } from "./mesh/mesh.ts";
import type { Store } from "./store/store.ts";

export interface SharingParts {
  readonly store: Pick<Store, "isShared">;
  readonly mesh: Pick<Mesh, "othersConfigured">;
  readonly clock: Clock;
  readonly options: SharingOptions;
}

export interface SharingOptions {
  /** `store.shared`: false accepts that each node keeps entities of its own. */
  readonly mustShare: boolean;
  /** `mesh.expect` and `mesh.expectByGroup`. */
  readonly expect: number | undefined;
  readonly expectByGroup: Readonly<Record<string, number>>;
}

/**
 * Keeps value and event-sourced entities of one id from being several: what nodes keep in stores that the others cannot see, only
 * one of them may host.
 */
export interface Sharing {
  /** The services whose entities no other node would see. */
  unsharedOf(table: ServiceTable): readonly string[];
  /** Why the table cannot be served by one of the several proxies that are expected; undefined: it can. */
  refusal(table: ServiceTable, signal: AbortSignal): Promise<MassaError | undefined>;
}

/** How long dialling may take to find out that a configured address is this node's own. */
const dialledMs = 2_000;
const lookEveryMs = 20;

export function createSharing({ store, mesh, clock, options }: SharingParts): Sharing {
  const isFree = store.isShared || !options.mustShare;

  const storedIn = ({ services }: ServiceTable) =>
    isFree
      ? []
      : [...services.values()].filter(({ entityType }) => entityType === "value" || entityType === "event-sourced");

  /** By the setting where there is one, else by the addresses that dialling does not find to be this node's own. */
  const othersExpected = async (persistenceId: string, signal: AbortSignal): Promise<number> => {
    const configured = options.expectByGroup[persistenceId] ?? options.expect;
    if (configured !== undefined) return configured - 1;
    const endMs = clock.monotonic() + dialledMs;
    while (mesh.othersConfigured() > 0 && clock.monotonic() < endMs) await clock.sleep(lookEveryMs, signal);
    return mesh.othersConfigured();
  };

  return {
    unsharedOf: (table) => storedIn(table).map(({ name }) => name),
    async refusal(table, signal) {
      for (const { name, persistenceId } of storedIn(table)) {
        const others = await othersExpected(persistenceId, signal);
        if (others > 0) return tooMany(name, others + 1);
      }
      return undefined;
    },
  };
}

function tooMany(service: string, nodes: number): MassaError {
  return new MassaError(
    "invalid",
    `${service} keeps its entities in a store that other nodes cannot see, and ${nodes} proxies are expected (mesh.expect, or ` +
      "mesh.peers): use a store that all nodes see, or set store.shared to false on all of them to accept that each node keeps " +
      "entities of its own",
  );
}
