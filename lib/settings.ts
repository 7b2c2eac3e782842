import type { Config } from "./core/config.ts";
import type { CrdtEntityOptions } from "./entities/crdt-entity.ts";
import type { HostOptions } from "./entities/host.ts";
import type { FrontOptions } from "./frontend/front.ts";
import type { Libp2pMeshOptions } from "./mesh/libp2p.ts";
import type { ReplicationOptions } from "./replication/options.ts";
import type { UserFunctionOptions } from "./user-function/grpc.ts";

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

export function entityOptions({ crdt, entities, relay }: Config): CrdtEntityOptions & HostOptions {
  return {
    passivationMs: crdt.passivationTimeout,
    catchUpAfterMs: crdt.catchUpAfter,
    cancelGraceMs: crdt.cancelGrace,
    closeMs: relay.timeout,
    activeMax: entities.maxActive,
    mailboxMax: entities.mailbox,
    streamBufferMax: entities.streamBuffer,
    pressureAfterMs: entities.pressureAfter,
    relayTimeoutMs: relay.timeout,
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
  const { mesh, replication, crdt } = config;
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
