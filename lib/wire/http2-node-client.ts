import http2 from "node:http2";
import type { Socket } from "node:net";
import {
  connectionWindowBytes,
  ignoreError,
  isCut,
  NodeStream,
  optionsOf,
  owner,
  type Owned,
} from "./http2-node-stream.ts";
import {
  errorCode,
  type ClientSession,
  type ClientSessionListener,
  type ClientStream,
  type ClientStreamReceiver,
  type HeaderList,
  type SessionLimits,
} from "./http2.ts";

class NodeClientStream extends NodeStream<http2.ClientHttp2Stream, ClientStreamReceiver> implements ClientStream {
  readonly session: NodeClientSession;
  trailers: HeaderList | undefined;

  constructor(session: NodeClientSession, node: http2.ClientHttp2Stream, receiver: ClientStreamReceiver) {
    super(node, receiver);
    this.session = session;
  }

  end(): void {
    if (!this.node.destroyed) this.node.end();
  }
}

type OwnedClient = Owned<http2.ClientHttp2Stream, NodeClientStream>;

function onResponse(this: OwnedClient, _headers: object, _flags: number, raw?: string[]): void {
  this[owner]!.receiver?.headers(raw ?? []);
}

function onClientData(this: OwnedClient, chunk: Buffer): void {
  this[owner]!.take(chunk);
}

function onTrailers(this: OwnedClient, _headers: object, _flags: number, raw?: string[]): void {
  // They may overtake data that is still to be read.
  this[owner]!.trailers = raw ?? [];
}

function onClientEnd(this: OwnedClient): void {
  if (isCut(this)) return;
  const ours = this[owner]!;
  if (ours.trailers) ours.receiver?.trailers(ours.trailers);
  ours.receiver?.ended();
}

function onClientClose(this: OwnedClient): void {
  const ours = this[owner]!;
  const { receiver } = ours;
  if (!receiver) {
    // We have reset it. A peer on Node counts it for a moment longer, and would reset the stream that takes its place.
    setImmediate(() => ours.session.release());
    return;
  }
  ours.receiver = undefined;
  receiver.closed(ours.session.codeOf(this));
  ours.session.release();
}

/** A client has the odd numbers below 2³¹ for its streams, once each. */
const streamIdsMax = 2 ** 30 - 1;

/** A session to a peer on `node:http2`. */
export class NodeClientSession implements ClientSession {
  streams = 0;
  streamsMax = 0;
  readonly #session: http2.ClientHttp2Session;
  readonly #listener: ClientSessionListener;
  #opened = 0;
  #ready = false;
  #closing = false;
  #closed = false;
  #error: Error | undefined;
  #lastStreamId = Number.MAX_SAFE_INTEGER;

  constructor(socket: Socket, limits: SessionLimits, listener: ClientSessionListener) {
    this.#listener = listener;
    this.#session = http2.connect("http://localhost", { ...optionsOf(limits), createConnection: () => socket });
    this.#session.once("connect", () => {
      if (!this.#session.destroyed) this.#session.setLocalWindowSize(connectionWindowBytes);
    });
    this.#session.on("remoteSettings", (settings: http2.Settings) => {
      this.#ready = true;
      this.streamsMax = settings.maxConcurrentStreams ?? Number.MAX_SAFE_INTEGER;
      listener.settings();
    });
    this.#session.on("goaway", (code: number, lastStreamId: number) => {
      this.#closing = true;
      this.#lastStreamId = lastStreamId;
      listener.goaway(code);
    });
    this.#session.on("error", (error: Error) => {
      this.#error ??= error;
    });
    this.#session.on("close", () => {
      this.#closed = true;
      this.#reportClosed();
    });
  }

  get usable(): boolean {
    return this.#ready && !this.#closing && !this.#session.closed && !this.#session.destroyed;
  }

  open(headers: HeaderList, receiver: ClientStreamReceiver): ClientStream {
    const node: OwnedClient = this.#session.request(headers, { endStream: false });
    const stream = new NodeClientStream(this, node, receiver);
    node[owner] = stream;
    this.streams += 1;
    this.#opened += 1;
    if (this.#opened >= streamIdsMax) this.#retire();
    node.on("response", onResponse);
    node.on("data", onClientData);
    node.on("trailers", onTrailers);
    node.on("end", onClientEnd);
    node.on("error", ignoreError);
    node.on("close", onClientClose);
    return stream;
  }

  close(): void {
    this.#closing = true;
    this.#session.close();
  }

  destroy(): void {
    this.#closing = true;
    this.#session.destroy();
  }

  /** Why a stream closed: a reset that Node made up because the connection went is told apart from one of the peer. */
  codeOf(node: http2.ClientHttp2Stream): number {
    if ((node.id ?? 0) > this.#lastStreamId) return errorCode.refusedStream;
    if (this.#session.destroyed) return errorCode.connectionLost;
    return node.rstCode;
  }

  release(): void {
    this.streams -= 1;
    if (this.#closed) this.#reportClosed();
    else this.#listener.freed();
  }

  /** All ids are used: another session has to take over. */
  #retire(): void {
    this.#closing = true;
    process.nextTick(() => {
      this.#session.close();
      this.#listener.goaway(errorCode.none);
    });
  }

  #reportClosed(): void {
    if (this.streams === 0) this.#listener.closed(this.#error);
  }
}
