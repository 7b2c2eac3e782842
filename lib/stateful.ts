import type { Config } from "./core/config.ts";
import type { Logger } from "./core/log.ts";
import type { Scope } from "./core/scope.ts";
import type { Telemetry } from "./core/telemetry.ts";
import type { World } from "./core/world.ts";
import { createCompletion } from "./entities/completion.ts";
import { createCrdtKind } from "./entities/crdt-kind.ts";
import { createEventSourcedKind } from "./entities/event-sourced-kind.ts";
import { createHost, type Host } from "./entities/host.ts";
import { StateCache } from "./entities/state-cache.ts";
import { createValueKind } from "./entities/value-kind.ts";
import type { Replication } from "./replication/port.ts";
import * as settings from "./settings.ts";
import type { Store } from "./store/store.ts";
import type { UserFunction } from "./user-function/user-function.ts";

export interface StatefulParts {
  readonly config: Config;
  readonly userFunction: UserFunction;
  readonly replication: Replication;
  readonly store: Store;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly reportError: (message: string) => void;
}

/** The host of all kinds of entities. Closing the scope passivates them, and then waits for what they left to be stored. */
export function openStateful(scope: Scope, parts: StatefulParts): Host {
  const { config, store, world, log, telemetry } = parts;
  // A process owns all entities of a store that is its own, as long as it runs; of a shared one it owns none for certain.
  const term = () => (store.isShared ? undefined : 1);
  const cache = new StateCache({ bytesMax: config.entities.cache, term }, telemetry);
  const completion = createCompletion({ clock: world.clock, log, telemetry }, settings.completionOptions(config));
  const serial = { ...parts, completion, cache, options: settings.serialOptions(config) };
  const eventSourced = scope.use(
    createEventSourcedKind({
      ...serial,
      events: store.events,
      passivationMs: config.eventSourced.passivationTimeout,
    }),
  );
  const kinds = {
    crdt: createCrdtKind({ ...parts, completion, options: settings.crdtOptions(config) }),
    value: createValueKind({ ...serial, values: store.values, passivationMs: config.value.passivationTimeout }),
    "event-sourced": eventSourced,
  };
  return scope.use(createHost({ ...parts, kinds, options: settings.hostOptions(config) }));
}
