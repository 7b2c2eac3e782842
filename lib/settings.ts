import type { EventLogOptions } from "../eventing/event-log.ts";
import type { MemoryOptions } from "../eventing/memory.ts";
import type { PublisherOptions } from "../eventing/publisher.ts";
import type { AdminOptions } from "./admin/server.ts";
import type { Config } from "./core/config.ts";
import { entityTypes } from "./discovery/build-table.ts";
import type { DiscoveryOptions } from "./discovery/discovery.ts";
import type { CompletionOptions } from "./entities/completion.ts";
import type { CrdtKindOptions } from "./entities/crdt-kind.ts";
import type { HostOptions } from "./entities/host.ts";
import type { SerialOptions } from "./entities/serial-entity.ts";
import type { FrontOptions } from "./frontend/front.ts";
import type { Libp2pMeshOptions } from "./mesh/libp2p.ts";
import type { ConsumersOptions } from "./frontend/consumers.ts";
import type { ReplicationOptions } from "./replication/options.ts";
import type { SharingOptions } from "./sharing.ts";
import type { StoreOptions } from "./store/open.ts";
import type { UserFunctionOptions } from "./user-function/grpc.ts";
import { version } from "./version.ts";

/** How long one call of discovery may take. */
export const discoveryTimeoutMs = 10_000;

export function frontOptions({ frontend, limits }: Config): FrontOptions {
  return {
    host: frontend.host,
    port: frontend.port,
    ...(frontend.socket === undefined ? {} : { socket: frontend.socket }),
    connectionsMax: frontend.connections,
    streamsMax: frontend.streams,
    windowBytes: frontend.window,
    bufferBytes: frontend.buffer,
    greetingTimeoutMs: frontend.greetingTimeout,
    idleTimeoutMs: frontend.idleTimeout,
    bodyTimeoutMs: frontend.bodyTimeout,
    headersTimeoutMs: frontend.http1.headersTimeout,
    keepAliveMs: frontend.http1.keepAlive,
    pipelineMax: frontend.http1.pipeline,
    cors: {
      origins: frontend.cors.origins,
      headers: frontend.cors.headers,
      exposed: frontend.cors.exposed,
      maxAgeMs: frontend.cors.maxAge,
    },
    messageBytesMax: limits.message,
    headerBytesMax: limits.headers,
  };
}

export function userFunctionOptions({ userFunction, limits }: Config): UserFunctionOptions {
  const { socket, host, port } = userFunction;
  return {
    address: { host, port, socket },
    waitMs: userFunction.wait,
    waitersMax: userFunction.waiting,
    bufferBytes: userFunction.buffer,
    sessionsMax: userFunction.sessions,
    connectTimeoutMs: userFunction.connectTimeout,
    backoffMinMs: userFunction.backoffMin,
    backoffMaxMs: userFunction.backoffMax,
    windowBytes: userFunction.window,
    messageBytesMax: limits.message,
  };
}

export function crdtOptions({ crdt, relay }: Config): CrdtKindOptions {
  return {
    passivationMs: crdt.passivationTimeout,
    catchUpAfterMs: crdt.catchUpAfter,
    cancelGraceMs: crdt.cancelGrace,
    relayTimeoutMs: relay.timeout,
  };
}

/** A command that is out for twice as long as its caller waited is given up with its stream. */
export function serialOptions({ relay }: Config): SerialOptions {
  return { giveUpMs: 2 * relay.timeout };
}

export function completionOptions({ entities, relay }: Config): CompletionOptions {
  return { closeMs: relay.timeout, hurryMs: Math.min(entities.completeTimeout, relay.timeout) };
}

export function hostOptions({ entities, relay, drain }: Config): HostOptions {
  return {
    activeMax: entities.maxActive,
    mailboxMax: entities.mailbox,
    streamBufferMax: entities.streamBuffer,
    pressureAfterMs: entities.pressureAfter,
    relayTimeoutMs: relay.timeout,
    drainMs: drain.timeout,
  };
}

/** `replica` is this process start, as 32 hexadecimal digits. */
export function meshOptions(config: Config, replica: string): Libp2pMeshOptions {
  const { mesh, limits } = config;
  const hello = { cluster: mesh.cluster, nodeName: config.node.name, replica, incarnation: 0 };
  return {
    port: mesh.port,
    host: mesh.host,
    peers: mesh.peers,
    keys: mesh.key ?? [],
    advertise: mesh.advertise,
    isMdnsOn: mesh.mdns,
    hello: { ...hello, services: [], groups: [], members: new Uint8Array(0) },
    limits: {
      linksMax: mesh.links,
      admissionTimeoutMs: mesh.admissionTimeout,
      unverifiedMax: mesh.unverified,
      redialMinMs: mesh.redialMin,
      redialMaxMs: mesh.redialMax,
      keepAliveMs: mesh.keepAlive,
      closeTimeoutMs: mesh.closeTimeout,
      gossipBytesMax: mesh.gossipBytes,
      link: {
        messageBytesMax: limits.message,
        windowBytes: mesh.window,
        sendBytesMax: mesh.sendBuffer,
        assemblyBytesMax: mesh.assembly,
        requestsMax: mesh.requests,
        silentTicksMax: mesh.silentTicks,
      },
    },
  };
}

export function replicationOptions(config: Config): ReplicationOptions {
  const { mesh, replication, crdt, limits } = config;
  return {
    cluster: mesh.cluster,
    nodeName: config.node.name,
    expect: mesh.expect,
    expectByGroup: mesh.expectByGroup,
    heartbeatMs: mesh.heartbeat,
    silentAfterMs: mesh.silentAfter,
    forgetAfterMs: mesh.forgetAfter,
    joinTimeoutMs: mesh.joinTimeout,
    leaveTimeoutMs: mesh.leaveTimeout,
    spread: replication.spread,
    directPeersMax: replication.directPeers,
    messageBytesMax: limits.message,
    gossipBytesMax: mesh.gossipBytes,
    flushMs: replication.flush,
    ringBytes: replication.ring,
    waitingBytes: replication.waiting,
    keptMax: replication.keptDrops,
    frameBytes: replication.frame,
    fetchBytes: replication.fetch,
    gatherBytes: replication.gather,
    readingsMax: replication.readings,
    askTimeoutMs: replication.askTimeout,
    abandonAfterMs: replication.abandonAfter,
    writeTimeoutMs: crdt.writeTimeout,
    counterDots: crdt.counterDots,
    foldEveryMs: crdt.foldEvery,
    foldAtOnce: crdt.foldAtOnce,
    waitsMax: crdt.waits,
  };
}

export function adminOptions({ admin, limits }: Config): AdminOptions {
  return {
    host: admin.host,
    port: admin.port,
    token: admin.token,
    connectionsMax: admin.connections,
    requestTimeoutMs: admin.requestTimeout,
    bodyBytesMax: limits.message,
    headerBytesMax: limits.headers,
  };
}

export function memoryOptions({ eventing: { memory } }: Config): MemoryOptions {
  return {
    topicsMax: memory.topics,
    topicMessagesMax: memory.topicMessages,
    topicBytesMax: memory.topicBytes,
    deadLettersMax: memory.deadLetters,
  };
}

export function publisherOptions({ eventing }: Config): PublisherOptions {
  return { inFlightMax: eventing.inFlight, timeoutMs: eventing.publishTimeout };
}

export function topicsOptions({ eventing, drain }: Config): ConsumersOptions {
  return {
    inFlightMax: eventing.inFlight,
    attemptsMax: eventing.maxAttempts,
    backoffMinMs: eventing.backoffMin,
    backoffMaxMs: eventing.backoffMax,
    timeoutMs: eventing.timeout,
    stallMs: eventing.stallAfter,
    drainMs: drain.timeout,
  };
}

/** Of the consumers of event logs: what is theirs alone (`eventing.eventLog`) beside what they share with those of topics. */
export function eventLogsOptions(config: Config): ConsumersOptions {
  return { ...topicsOptions(config), attemptsMax: config.eventing.eventLog.maxAttempts };
}

export function eventLogOptions({ eventing: { eventLog }, store }: Config): EventLogOptions {
  const saveEvents = store.url.type === "memory" ? 1 : eventLog.saveEvents;
  return { pageMax: eventLog.page, saveEvents, saveAfterMs: eventLog.saveAfter };
}

export function storeOptions({ store }: Config): StoreOptions {
  return {
    place: store.url,
    memory: { bytesMax: store.memory },
    file: { waitingMax: store.waiting, waitingBytesMax: store.waitingBytes, commitMax: store.commit },
  };
}

export function sharingOptions({ store, mesh }: Config): SharingOptions {
  return { mustShare: store.shared, expect: mesh.expect, expectByGroup: mesh.expectByGroup };
}

/** The times are those of the Cloudstate protocol. */
export function discoveryOptions({ protocol }: Config, address: string): DiscoveryOptions {
  return {
    address,
    proxyName: "Massa",
    proxyVersion: version,
    supportedTypes: Object.values(entityTypes),
    topicsSupported: true,
    compatibilityCheck: protocol.compatibilityCheck,
    backoffMinMs: 1_000,
    backoffMaxMs: 10_000,
    jitter: 0.2,
  };
}
