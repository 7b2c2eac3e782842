import { createEventLog } from "../eventing/event-log.ts";
import { createMemoryBroker } from "../eventing/memory.ts";
import { createPublisher } from "../eventing/publisher.ts";
import { type AdminServer, openAdmin } from "./admin/server.ts";
import { topicHandlers } from "./admin/topics.ts";
import type { Config } from "./core/config.ts";
import { MassaError } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import { Scope } from "./core/scope.ts";
import { createTelemetry } from "./core/telemetry.ts";
import { realWorld, type World } from "./core/world.ts";
import { createDiscoveryClient } from "./discovery/client.ts";
import type { ServiceTable } from "./discovery/service-table.ts";
import { createDiscovery } from "./discovery/discovery.ts";
import { createActionHandler } from "./entities/action.ts";
import { together } from "./frontend/consumers.ts";
import { openEventLogs } from "./frontend/event-logs.ts";
import { openFront } from "./frontend/front.ts";
import { createOutlet } from "./frontend/outlet.ts";
import { openTopics } from "./frontend/topics.ts";
import { openLibp2pMesh } from "./mesh/libp2p.ts";
import { channels, type MeshListener } from "./mesh/mesh.ts";
import { createReplication, type OwnedReplication } from "./replication/replication.ts";
import { createRemoteCommands, type RemoteCommands } from "./routing/remote.ts";
import { createRouter, type SwitchingRouter } from "./routing/router.ts";
import { createReporter } from "./reports.ts";
import { Serving } from "./serving.ts";
import * as settings from "./settings.ts";
import { createSharing } from "./sharing.ts";
import { openStateful } from "./stateful.ts";
import { openStore } from "./store/open.ts";
import { openUserFunction } from "./user-function/grpc.ts";
import { createDynamicJson, type DynamicJson } from "./wire/dynamic-json.ts";
import { nodeHttp2 } from "./wire/http2-node.ts";

/** A proxy that runs until it is disposed, which drains it, or until something happens that no retry mends. */
export interface Proxy extends AsyncDisposable {
  /** The front port once it is open; until then undefined. */
  readonly frontPort: number | undefined;
  /** Why it is not ready; empty when it is. */
  readonly reasons: readonly string[];
  /** Resolves with what ended the proxy against its will. */
  readonly failed: Promise<MassaError>;
}

export interface ProxyParts {
  readonly config: Config;
  readonly log: Logger;
  readonly world?: World;
}

/**
 * The one place where the parts meet. They are opened bottom-up, so that closing top-down stops traffic before what it needs.
 * Rejects when a port is taken; the user function may come later.
 */
export async function openProxy({ config, log, world = realWorld }: ProxyParts): Promise<Proxy> {
  const scope = new Scope();
  try {
    return await open(scope, config, log, world);
  } catch (failure) {
    await scope[Symbol.asyncDispose]();
    throw failure;
  }
}

async function open(scope: Scope, config: Config, log: Logger, world: World): Promise<Proxy> {
  const { telemetry, registry } = createTelemetry();
  const { clock } = world;
  /** Asked for its state from the start, and made last. */
  const latest: { serving?: Serving } = {};
  const failed = Promise.withResolvers<MassaError>();
  const room = (name: string) => log.child({ room: name });

  const watched = {
    log: room("admin"),
    telemetry,
    metrics: registry,
    reasons: () => latest.serving?.reasons ?? ["the proxy is starting"],
  };
  const admin = scope.use(await openAdmin(watched, settings.adminOptions(config)));

  const link = { engine: nodeHttp2, world, log: room("user-function"), telemetry };
  const userFunction = scope.use(openUserFunction(link, settings.userFunctionOptions(config)));
  const client = createDiscoveryClient(userFunction, clock, settings.discoveryTimeoutMs);
  const reportError = createReporter({ client, userFunction, log: room("discovery"), telemetry });

  const replica = Buffer.from(world.random.bytes(16)).toString("hex");
  const mesh = scope.use(await openLibp2pMesh(settings.meshOptions(config, replica), world, room("mesh"), telemetry));
  const inMesh = { mesh, world, log: room("replication"), telemetry };
  const replication = scope.use(createReplication({ ...inMesh, options: settings.replicationOptions(config) }));
  const others = createRemoteCommands(mesh, clock, ({ hello }) => replication.isInTouch(hello.replica));

  const store = scope.use(
    await openStore(settings.storeOptions(config), { log: room("store"), telemetry, lost: failed.resolve }),
  );
  const entities = { userFunction, replication, world, log: room("entities"), telemetry, reportError };
  const host = openStateful(scope, { ...entities, config, store });
  const handlers = {
    action: createActionHandler({ userFunction, reportError, calls: host.calls }),
    crdt: host,
    value: host,
    "event-sourced": host,
  };
  const limits = { hopsMax: config.routing.hops, effectsMax: config.routing.effects };
  const router = createRouter({ handlers, others, reportError, log: room("routing"), telemetry, options: limits });
  await mesh.start(listenerOf(replication, others, router));
  replication.start();

  const discovery = createDiscovery(
    { client, world, log: room("discovery") },
    settings.discoveryOptions(config, userFunction.address),
  );
  const broker = scope.use(
    createMemoryBroker({ log: room("eventing"), telemetry, options: settings.memoryOptions(config) }),
  );
  addTopicRoutes(admin, topicHandlers(broker, { clock: world.clock, timeoutMs: config.eventing.ackWait }));
  const publisher = createPublisher({ driver: broker, world, telemetry, options: settings.publisherOptions(config) });
  let served: { readonly table: ServiceTable; readonly json: DynamicJson } | undefined;
  const outlet = createOutlet({ router, publisher, tableOf: () => served?.table, world });
  const readJson = (typeName: string, text: string) => {
    if (!served) throw new MassaError("unavailable", "no services yet");
    return served.json.parse(typeName, text);
  };
  const consumers = { router: outlet, readJson, world, log: room("eventing"), telemetry };
  const eventLog = createEventLog({ store, clock, log: room("eventing"), options: settings.eventLogOptions(config) });
  const openConsumers = (table: ServiceTable) =>
    together([
      openTopics({ ...consumers, driver: broker, table, options: settings.topicsOptions(config) }),
      openEventLogs({ ...consumers, inlet: eventLog, table, options: settings.eventLogsOptions(config) }),
    ]);

  const front = {
    router: outlet,
    engine: nodeHttp2,
    world,
    log: room("frontend"),
    telemetry,
    options: settings.frontOptions(config),
  };
  const serving = scope.use(
    new Serving({
      userFunction,
      discover: (signal) => discovery.ask(signal),
      discovering: () => discovery.reason,
      router: {
        open: (command, caller) => router.open(command, caller),
        setTable(table) {
          served = table && { table, json: createDynamicJson(table.registry) };
          router.setTable(table);
        },
      },
      hosts: [host],
      mesh,
      replication,
      openFront: (table) => openFront({ ...front, table }),
      openTopics: openConsumers,
      sharing: createSharing({ store, mesh, clock, options: settings.sharingOptions(config) }),
      drainMs: config.drain.timeout,
      clock,
      log: room("serving"),
      fatal: (error) => failed.resolve(error),
    }),
  );
  latest.serving = serving;
  serving.start();
  return {
    get frontPort() {
      return serving.frontPort;
    },
    get reasons() {
      return serving.reasons;
    },
    failed: failed.promise,
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

function addTopicRoutes(admin: AdminServer, handlers: ReturnType<typeof topicHandlers>): void {
  for (const [route, handler] of Object.entries(handlers)) {
    const [method, pattern] = route.split(" ") as [string, string];
    admin.route(method, pattern, handler, "guarded");
  }
}

/** One mesh serves two: replication by frames and gossip, routing by requests. */
function listenerOf({ listener }: OwnedReplication, others: RemoteCommands, router: SwitchingRouter): MeshListener {
  return {
    ...listener,
    frame: (peer, channel, body) => {
      if (channel === channels.replication) listener.frame(peer, body);
    },
    request: (_peer, request) => {
      const served = others.serve(request, router);
      if (request.head.channel !== channels.routing) {
        request.fail(new MassaError("unimplemented", `nothing is served on channel ${request.head.channel}`));
      }
      return served;
    },
  };
}
