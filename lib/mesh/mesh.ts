import type { MassaError } from "../core/errors.ts";

/** What a node says of itself when it is admitted, and again whenever it changes. */
export interface Hello {
  /** The newest version of the protocol between proxies that the node speaks; it speaks the one before, too. */
  readonly protocolVersion: number;
  readonly cluster: string;
  /** `node.name`: the place this process runs at, the same after a restart. */
  readonly nodeName: string;
  /** This process start: 32 hexadecimal digits, never used again. */
  readonly replica: string;
  readonly incarnation: number;
  /** Full names of the services hosted. */
  readonly services: readonly string[];
  /** Those of them whose entities it keeps in a store that other nodes cannot see: nobody else in the mesh may host them. */
  readonly unsharedServices: readonly string[];
  /** Persistence ids of the CRDT services hosted: the replication groups it takes part in. */
  readonly groups: readonly string[];
  /** `host:port` at which its mesh can be dialled. */
  readonly addresses: readonly string[];
  /** The members' table as replication encodes it; the mesh does not look into it. */
  readonly members: Uint8Array;
}

/** The parts of a hello that may change while a process runs. */
export type HelloChanges = Partial<
  Pick<Hello, "incarnation" | "services" | "unsharedServices" | "groups" | "addresses" | "members">
>;

/** What a node can say of itself before it knows its user function and its addresses. */
export type FirstHello = Omit<Hello, "protocolVersion" | "addresses" | "unsharedServices">;

/** An admitted node. The object stays the same while its link stands; `hello` is its latest. */
export interface Peer {
  readonly id: string;
  readonly hello: Hello;
}

/** Who a frame or request is for at the other end: one number for each part of the proxy that talks to its like. */
export const channels = { replication: 1, routing: 2 } as const;

/** How a request begins. What the mesh does not need itself it carries as it is. */
export interface RequestHead {
  /** One of `channels`. */
  readonly channel: number;
  readonly service: string;
  readonly method: string;
  /** Opaque: metadata and whatever else the two ends agree on. */
  readonly metadata: Uint8Array;
  /** Milliseconds the requester waits, from the moment of sending; 0: without end. The mesh fails the request when they are over. */
  readonly deadlineMs: number;
  /** Forwards and side effects that led here. */
  readonly hops: number;
  /** W3C `traceparent`, or empty. */
  readonly traceParent: string;
  /** The requester's own number for what is asked, by which a repeat is known; 0: none. */
  readonly originNumber: number;
  /** Id of the bridged message this request belongs to, or empty. */
  readonly bridgedMessage: Uint8Array;
}

/**
 * What both ends of a request can do with it. All of it may be called at any time; after the end it does nothing.
 * A message is at most `limits.message` bytes (a longer one fails the request with `exhausted`) and is not copied: leave it alone after `send`.
 */
interface Exchange {
  /** Sends one message; false: it was taken, but wait for `drain` before the next. */
  send(message: Uint8Array): boolean;
  /** While paused no message is handed over and the other end is held back once it has used its credit. */
  pause(): void;
  resume(): void;
}

/** The requester's hold on a request. */
export interface OutgoingRequest extends Exchange {
  /** No more messages come. */
  halfClose(): void;
  /** The requester is gone: its receiver hears nothing more, the other end hears `cancel`. */
  cancel(): void;
}

/** What the requester hears, in order; `end` or `fail` comes last and once, unless it cancelled. Never called from within `Mesh.request`. */
export interface ResponseReceiver {
  message(message: Uint8Array): void;
  end(): void;
  /** Code, gRPC status and text as the other end gave them; `unavailable` when the link was lost, `deadline` when the time was over. */
  fail(error: MassaError): void;
  /** `send` may go on. */
  drain(): void;
}

/** The answering side's hold on a request. */
export interface IncomingRequest extends Exchange {
  readonly head: RequestHead;
  /** The answer is complete. Input that is still on its way is discarded. */
  end(): void;
  fail(error: MassaError): void;
}

/** What the answering side hears. `cancel` comes last and once, unless `end` or `fail` was called before. */
export interface RequestReceiver {
  message(message: Uint8Array): void;
  halfClose(): void;
  /** The requester is gone, its link was lost or its time was over. */
  cancel(): void;
  /** `send` may go on. */
  drain(): void;
}

/**
 * What a node hears from the mesh. Bodies and messages may be slices of a larger buffer: copy what is kept for long. For one peer, `admitted` comes first, then the rest in the order sent, then `lost` once.
 */
export interface MeshListener {
  admitted(peer: Peer): void;
  /** The peer's hello has changed; `peer.hello` is the new one. */
  changed(peer: Peer): void;
  /** No link any more: what was sent and not answered may or may not have arrived. */
  lost(peer: Peer, reason: string): void;
  /** A one-way frame, each whole and those of one channel in the order sent. */
  frame(peer: Peer, channel: number, body: Uint8Array): void;
  /** A gossip message, by way of any member; `from` is the id of the node that says it published it, which need not be a peer. */
  gossip(topic: string, from: string, body: Uint8Array): void;
  /** A request; what is returned hears its input, first of all from after this call. */
  request(peer: Peer, request: IncomingRequest): RequestReceiver;
}

/**
 * The other proxies of the cluster, each admitted by proof of the cluster key. Single-threaded: callbacks come one at a time.
 * After disposal every call does nothing, `send` is false and requests fail with `unavailable`; disposal takes a bounded time.
 */
export interface Mesh extends AsyncDisposable {
  /** This process in the mesh. */
  readonly id: string;
  /** This node's own hello as it is now. */
  readonly hello: Hello;
  /** Admitted nodes with a link. */
  peers(): readonly Peer[];
  peer(peerId: string): Peer | undefined;
  /** How many of the configured addresses are, as far as dialling has told, those of other nodes. */
  othersConfigured(): number;
  /** Listens and dials; resolves once it listens. Called once. Rejects with `unavailable` when the port is taken. */
  start(listener: MeshListener): Promise<void>;
  /** Changes the own hello and tells the admitted peers. */
  announce(changes: HelloChanges): void;
  /** Sends a one-way frame (≤ `limits.message`) over the peer's link; false: no link, or its bound is reached, and nothing was sent. */
  send(peerId: string, channel: number, body: Uint8Array): boolean;
  /** Publishes (≤ `mesh.gossipBytes`) to the subscribers of a topic: at most once to each, unordered, without a promise. */
  publish(topic: string, body: Uint8Array): void;
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  /** Opens a request to a peer. Without a link, or with too many open, the receiver hears `unavailable` or `exhausted`. */
  request(peerId: string, head: RequestHead, receiver: ResponseReceiver): OutgoingRequest;
}
