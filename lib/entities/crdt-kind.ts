import type { Logger } from "../core/log.ts";
import type { World } from "../core/world.ts";
import type { Method } from "../discovery/service-table.ts";
import type { Replication } from "../replication/port.ts";
import type { UserFunction } from "../user-function/user-function.ts";
import type { Completion } from "./completion.ts";
import { CrdtEntity, type CrdtEntityOptions } from "./crdt-entity.ts";
import type { Kind } from "./host.ts";

export interface CrdtKindParts {
  readonly userFunction: UserFunction;
  readonly completion: Completion;
  readonly replication: Replication;
  readonly world: World;
  readonly log: Logger;
  readonly reportError: (message: string) => void;
  readonly options: CrdtKindOptions;
}

export interface CrdtKindOptions extends CrdtEntityOptions {
  /** Idle time before passivation when the service names none (`crdt.passivationTimeout`). */
  readonly passivationMs: number;
}

/** CRDT entities: one live instance per entity and node, over the replicated state of its persistence id. */
export function createCrdtKind(parts: CrdtKindParts): Kind {
  const heedless = new WeakSet<Method>();
  return {
    passivationMs: parts.options.passivationMs,
    activate(seat) {
      const { service, entityId } = seat;
      const group = parts.replication.group(service.persistenceId);
      const entity = new CrdtEntity({
        ...parts,
        heedless,
        service,
        entityId,
        group,
        ended: (left) => seat.ended(left),
      });
      seat.opened(entity);
      return entity;
    },
  };
}
