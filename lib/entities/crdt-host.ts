import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { Replication } from "../replication/port.ts";
import type { UserFunction } from "../user-function/user-function.ts";
import { CrdtEntity, type CrdtEntityOptions } from "./crdt-entity.ts";
import { createHost, type Host, type HostOptions } from "./host.ts";

export interface CrdtHostParts {
  readonly userFunction: UserFunction;
  readonly replication: Replication;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly reportError: (message: string) => void;
  readonly options: CrdtEntityOptions & HostOptions;
}

/** Serves CRDT entities: one live instance per entity and node, over the replicated state of its persistence id. */
export function createCrdtHost(parts: CrdtHostParts): Host {
  const { replication, world, log, telemetry, options } = parts;
  const host = createHost(
    (service, entityId, ended) =>
      new CrdtEntity({ ...parts, service, entityId, ended, group: replication.group(service.persistenceId) }),
    world,
    log,
    telemetry,
    options,
  );
  telemetry.gauge("massa_entities_active", () => host.active);
  return host;
}
