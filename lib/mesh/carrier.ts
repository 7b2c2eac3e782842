/** A byte stream between two nodes, authenticated and encrypted by whoever carries it. */
export interface ByteStream {
  /** False: it was taken, but wait for `drained` before the next. */
  write(bytes: Uint8Array): boolean;
  /** Begins to hand over what comes; until then it is held back at the sender. Called once. */
  listen(events: StreamEvents): void;
  /** Lets what was written arrive, then ends. */
  close(): void;
  abort(reason: string): void;
}

/** What a byte stream tells; nothing comes after `closed`. */
export interface StreamEvents {
  chunk(bytes: Uint8Array): void;
  drained(): void;
  closed(reason: string): void;
}

/** One connection to a node whose id is authenticated, though nothing says yet that it belongs to the cluster. */
export interface Connection {
  readonly peerId: string;
  /** Whether this side dialled. */
  readonly isOutbound: boolean;
  open(protocol: "hello" | "peer"): Promise<ByteStream>;
  abort(reason: string): void;
}

/** What the carrier asks and tells. */
export interface CarrierEvents {
  connected(connection: Connection): void;
  disconnected(connection: Connection): void;
  /** The other side opened a stream. Whoever does not want it aborts it. */
  opened(protocol: "hello" | "peer", stream: ByteStream, connection: Connection): void;
  gossip(topic: string, bytes: Uint8Array): void;
  isAdmitted(peerId: string): boolean;
  /** An address found by discovery on the local network. */
  discovered(id: string, addresses: readonly string[]): void;
}

/** Connections, streams and gossip, without any notion of who may take part: the waist between the mesh and the library under it. */
export interface Carrier extends AsyncDisposable {
  readonly id: string;
  /** `host:port` at which this node listens, after `start`. */
  addresses(): readonly string[];
  /** Rejects with `unavailable` when the port is taken. */
  start(events: CarrierEvents): Promise<void>;
  /** `self` when this very process answers. Rejects when nobody does. */
  dial(endpoint: string): Promise<Connection | "self">;
  /** Lets gossip know of an admitted node; harmless when it does already. */
  admit(connection: Connection): void;
  dismiss(peerId: string): void;
  publish(topic: string, bytes: Uint8Array): void;
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
}
