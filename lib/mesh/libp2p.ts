import { isIP } from "node:net";
import {
  gossipsub,
  StrictNoSign,
  TopicValidatorResult,
  type GossipSub,
  type GossipSubComponents,
  type Message,
} from "@libp2p/gossipsub";
import { identify, type Identify } from "@libp2p/identify";
import type {
  Connection as Libp2pConnection,
  Libp2p,
  PeerId,
  Stream,
  StreamHandler,
  Topology,
} from "@libp2p/interface";
import { mdns } from "@libp2p/mdns";
import { noise } from "@libp2p/noise";
import { ping, type Ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr, type Multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import { resolveEndpoints, splitAddress } from "./addresses.ts";
import { AdmittedMesh, type MeshLimits } from "./admitted-mesh.ts";
import type { ByteStream, Carrier, CarrierEvents, Connection, StreamEvents } from "./carrier.ts";
import { decodeGossip } from "./frames.ts";
import { defaultLinkLimits } from "./link-limits.ts";
import type { FirstHello, Mesh } from "./mesh.ts";

/** What a mesh over libp2p is opened with. */
export interface Libp2pMeshOptions {
  /** TCP port; 0 takes a free one. */
  readonly port: number;
  /** IP address to listen on; without a key always the loopback one. */
  readonly host?: string;
  /** `host:port` of other nodes; a name stands for all its addresses, and this node's own is recognised. */
  readonly peers: readonly string[];
  /** The cluster key, first the one to move to; at most two. */
  readonly keys: readonly string[];
  /** `host:port` to tell others; by default those that the node listens on. */
  readonly advertise?: readonly string[];
  /** Finds nodes on the local network by multicast. */
  readonly isMdnsOn?: boolean;
  readonly hello: FirstHello;
  readonly limits?: Partial<MeshLimits>;
}

/** The bounds and times that hold unless they are configured. */
const defaultMeshLimits: MeshLimits = {
  link: defaultLinkLimits,
  linksMax: 32,
  admissionTimeoutMs: 5_000,
  unverifiedMax: 32,
  redialMinMs: 200,
  redialMaxMs: 10_000,
  keepAliveMs: 2_000,
  closeTimeoutMs: 2_000,
  gossipBytesMax: 1024 * 1024,
};

const protocols = { hello: "/massa/hello/1", peer: "/massa/peer/1" } as const;
const meshsub = "/meshsub/";
const connectionsPerNode = 4;
const loopback = "127.0.0.1";

/** Opens the mesh over libp2p (TCP, noise, yamux, gossipsub). It neither listens nor dials before `start`. */
export async function openLibp2pMesh(
  options: Libp2pMeshOptions,
  world: World,
  log: Logger,
  telemetry: Telemetry,
): Promise<Mesh> {
  const limits = { ...defaultMeshLimits, ...options.limits };
  if (options.keys.length === 0)
    log.warn({ host: loopback }, "mesh has no key (mesh.key): it listens on loopback only");
  const host = options.keys.length === 0 ? loopback : (options.host ?? "0.0.0.0");
  const carrier = await openCarrier(options, host, limits, log);
  return new AdmittedMesh(carrier, {
    hello: options.hello,
    peers: options.peers,
    keys: options.keys,
    advertise: options.advertise ?? [],
    resolve: resolveEndpoints,
    soon: setImmediate,
    limits,
    world,
    log,
    telemetry,
  });
}

type Node = Libp2p<{ identify: Identify; ping: Ping; gossip: GossipSub }>;

async function openCarrier(
  options: Libp2pMeshOptions,
  host: string,
  limits: MeshLimits,
  log: Logger,
): Promise<Carrier> {
  const gate = new GossipGate(log);
  const connectionsMax = connectionsPerNode * (limits.linksMax + limits.unverifiedMax);
  const node: Node = await createLibp2p({
    start: false,
    addresses: { listen: [toMultiaddr(`${host.includes(":") ? `[${host}]` : host}:${options.port}`).toString()] },
    transports: [tcp({ maxConnections: connectionsMax, backlog: 64 })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ enableKeepAlive: false })],
    peerDiscovery: options.isMdnsOn === true ? [mdns({ serviceTag: mdnsTag(options.hello.cluster) })] : [],
    connectionMonitor: { enabled: false },
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: {
      maxConnections: connectionsMax,
      maxIncomingPendingConnections: limits.unverifiedMax,
      inboundConnectionThreshold: 32,
      inboundUpgradeTimeout: limits.admissionTimeoutMs,
      dialTimeout: limits.admissionTimeoutMs,
      addressDialTimeout: limits.admissionTimeoutMs,
      reconnectRetries: 0,
    },
    services: {
      identify: identify(),
      ping: ping(),
      gossip: (components: GossipSubComponents) => gossipsub(gossipOptions(limits))(gate.around(components)),
    },
  });
  return new Libp2pCarrier(node, gate, options.isMdnsOn === true, log);
}

function gossipOptions(limits: MeshLimits): Parameters<typeof gossipsub>[0] {
  return {
    globalSignaturePolicy: StrictNoSign,
    msgIdFn: gossipId,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    emitSelf: false,
    fallbackToFloodsub: false,
    doPX: false,
    tagMeshPeers: false,
    maxInboundDataLength: 2 * limits.gossipBytesMax,
    maxOutboundBufferSize: 16 * limits.gossipBytesMax,
  };
}

function mdnsTag(cluster: string): string {
  return `_massa-${cluster
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 40)}._udp.local`;
}

/** (origin, number) of a message, which costs less than a hash; what is not ours is refused by the validator. */
function gossipId(message: Message): Uint8Array {
  const gossip = decodeGossip(message.data);
  return Buffer.from(gossip ? `${gossip.origin}/${gossip.number}` : "malformed");
}

/**
 * Stands between gossipsub, which has no hook for admission, and the registrar that tells it of peers: streams of a stranger are refused,
 * and gossipsub hears of a peer only when it is admitted. So nothing of a topic can reach anybody else.
 */
class GossipGate {
  readonly #log: Logger;
  #topology: Topology | undefined;
  isAdmitted: (peerId: string) => boolean = () => false;

  constructor(log: Logger) {
    this.#log = log;
  }

  around(components: GossipSubComponents): GossipSubComponents {
    const { privateKey, peerId, peerStore, connectionManager, logger, registrar } = components;
    const gated: GossipSubComponents["registrar"] = Object.assign(Object.create(registrar) as typeof registrar, {
      handle: (protocol: string, handler: StreamHandler, options?: Parameters<typeof registrar.handle>[2]) =>
        registrar.handle(protocol, (stream, connection) => this.#guard(handler, stream, connection), options),
      unhandle: (protocol: string) => registrar.unhandle(protocol),
      register: (_protocol: string, topology: Topology) => {
        this.#topology = topology;
        return Promise.resolve("gated");
      },
      unregister: () => undefined,
    });
    return { privateKey, peerId, peerStore, connectionManager, logger, registrar: gated };
  }

  admit(connection: Libp2pConnection): void {
    this.#tell(this.#topology?.onConnect?.(connection.remotePeer, connection));
  }

  dismiss(peerId: PeerId): void {
    this.#tell(this.#topology?.onDisconnect?.(peerId));
  }

  #tell(told: void | Promise<void>): void {
    Promise.resolve(told).catch((failure: unknown) => this.#log.debug({ reason: text(failure) }, "gossip failed"));
  }

  #guard(handler: StreamHandler, stream: Stream, connection: Libp2pConnection): void | Promise<void> {
    if (this.isAdmitted(connection.remotePeer.toString())) return handler(stream, connection);
    stream.abort(new Error("not admitted"));
  }
}

class Libp2pCarrier implements Carrier {
  readonly id: string;
  readonly #node: Node;
  readonly #gate: GossipGate;
  readonly #isMdnsOn: boolean;
  readonly #log: Logger;
  readonly #connections = new Map<string, Libp2pLink>();
  readonly #peerIds = new Map<string, PeerId>();
  #events: CarrierEvents | undefined;

  constructor(node: Node, gate: GossipGate, isMdnsOn: boolean, log: Logger) {
    this.id = node.peerId.toString();
    this.#node = node;
    this.#gate = gate;
    this.#isMdnsOn = isMdnsOn;
    this.#log = log;
  }

  addresses(): readonly string[] {
    return this.#node.getMultiaddrs().flatMap(fromMultiaddr);
  }

  async start(events: CarrierEvents): Promise<void> {
    const node = this.#node;
    this.#events = events;
    this.#gate.isAdmitted = (peerId) => events.isAdmitted(peerId);
    node.addEventListener("connection:open", ({ detail }) => this.#wrap(detail));
    node.addEventListener("connection:close", ({ detail }) => this.#closed(detail));
    if (this.#isMdnsOn) {
      node.addEventListener("peer:discovery", ({ detail }) =>
        events.discovered(detail.id.toString(), detail.multiaddrs.flatMap(fromMultiaddr)),
      );
    }
    for (const protocol of ["hello", "peer"] as const) {
      const options = { maxInboundStreams: 2, maxOutboundStreams: 2 };
      await node.handle(
        protocols[protocol],
        (stream, connection) => events.opened(protocol, wrapStream(stream), this.#wrap(connection)),
        options,
      );
    }
    node.services.gossip.addEventListener("message", ({ detail }) => events.gossip(detail.topic, detail.data));
    try {
      await node.start();
    } catch (failure) {
      throw new MassaError("unavailable", `the mesh cannot listen (mesh.port): ${text(failure)}`, { cause: failure });
    }
  }

  async dial(endpoint: string): Promise<Connection | "self"> {
    try {
      return this.#wrap(await this.#node.dial(toMultiaddr(endpoint)));
    } catch (failure) {
      if (/dial self/i.test(text(failure))) return "self";
      throw new MassaError("unavailable", text(failure), { cause: failure });
    }
  }

  admit(connection: Connection): void {
    const raw = connection instanceof Libp2pLink ? connection.raw : undefined;
    if (raw?.status !== "open") return;
    this.#peerIds.set(connection.peerId, raw.remotePeer);
    const stands = this.#node
      .getConnections(raw.remotePeer)
      .some(({ streams }) =>
        streams.some((stream) => stream.direction === "outbound" && stream.protocol.startsWith(meshsub)),
      );
    if (!stands) this.#gate.admit(raw);
  }

  dismiss(peerId: string): void {
    const raw = this.#peerIds.get(peerId);
    this.#peerIds.delete(peerId);
    if (raw) this.#gate.dismiss(raw);
  }

  publish(topic: string, bytes: Uint8Array): void {
    this.#node.services.gossip.publish(topic, bytes).catch((failure: unknown) => {
      this.#log.debug({ topic, reason: text(failure) }, "gossip message not published");
    });
  }

  subscribe(topic: string): void {
    const { gossip } = this.#node.services;
    gossip.topicValidators.set(topic, (_peer, message) =>
      decodeGossip(message.data) ? TopicValidatorResult.Accept : TopicValidatorResult.Reject,
    );
    gossip.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    const { gossip } = this.#node.services;
    gossip.unsubscribe(topic);
    gossip.topicValidators.delete(topic);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.#connections.values()) link.abort("this node closes");
    await this.#node.stop();
  }

  /** One wrapper for each connection, whoever mentions it first. */
  #wrap(raw: Libp2pConnection): Libp2pLink {
    const known = this.#connections.get(raw.id);
    if (known) return known;
    const link = new Libp2pLink(raw);
    if (raw.status !== "open") return link;
    this.#connections.set(raw.id, link);
    this.#events?.connected(link);
    return link;
  }

  #closed(raw: Libp2pConnection): void {
    const link = this.#connections.get(raw.id);
    if (!link) return;
    this.#connections.delete(raw.id);
    this.#events?.disconnected(link);
  }
}

class Libp2pLink implements Connection {
  readonly raw: Libp2pConnection;
  readonly peerId: string;
  readonly isOutbound: boolean;

  constructor(raw: Libp2pConnection) {
    this.raw = raw;
    this.peerId = raw.remotePeer.toString();
    this.isOutbound = raw.direction === "outbound";
  }

  async open(protocol: "hello" | "peer"): Promise<ByteStream> {
    return wrapStream(await this.raw.newStream(protocols[protocol]));
  }

  abort(reason: string): void {
    this.raw.abort(new Error(reason));
  }
}

function wrapStream(stream: Stream): ByteStream {
  return {
    write: (bytes) => stream.writeStatus === "writable" && stream.send(bytes),
    listen(events: StreamEvents) {
      stream.addEventListener("drain", () => events.drained());
      stream.addEventListener("close", ({ error }) => events.closed(error?.message ?? "the stream was closed"), {
        once: true,
      });
      stream.addEventListener("remoteCloseWrite", () => events.closed("the stream was ended"), { once: true });
      stream.addEventListener("message", ({ data }) =>
        events.chunk(data instanceof Uint8Array ? data : data.subarray()),
      );
      if (stream.status !== "open") events.closed("the stream was closed");
    },
    close() {
      if (stream.status === "open") stream.close().catch((failure: unknown) => stream.abort(new Error(text(failure))));
    },
    abort: (reason) => stream.abort(new Error(reason)),
  };
}

function toMultiaddr(address: string): Multiaddr {
  const { host, port } = splitAddress(address);
  const kind = isIP(host) === 4 ? "ip4" : isIP(host) === 6 ? "ip6" : "dns4";
  return multiaddr(`/${kind}/${host}/tcp/${port}`);
}

function fromMultiaddr(address: Multiaddr): string[] {
  const match = /^\/(ip4|ip6|dns4|dns6|dns)\/([^/]+)\/tcp\/(\d+)/.exec(address.toString());
  return match ? [match[1] === "ip6" ? `[${match[2]}]:${match[3]}` : `${match[2]}:${match[3]}`] : [];
}

function text(failure: unknown): string {
  if (failure instanceof AggregateError) return failure.errors.map(text).join("; ");
  return failure instanceof Error ? failure.message : String(failure);
}
