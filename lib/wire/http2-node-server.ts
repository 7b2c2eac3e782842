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
  type HeaderBlock,
  type ServerLimits,
  type ServerSession,
  type ServerSessionListener,
  type ServerStream,
  type StreamReceiver,
} from "./http2.ts";

const endStreamFlag = 0x1;
/** Resets that a client may send at once and per second before its session is ended: cancelling streamed calls is normal here. */
const resets = { streamResetBurst: 20_000, streamResetRate: 2_000 };

/** The same two objects for every answer. */
const withTrailers = { waitForTrailers: true, sendDate: false };
const withoutBody = { endStream: true, sendDate: false };

const nothing = Buffer.alloc(0);

class NodeServerStream extends NodeStream<http2.ServerHttp2Stream, StreamReceiver> implements ServerStream {
  readonly session: NodeServerSession;
  trailers: HeaderBlock | undefined;
  ended: boolean;
  /** The response is out, and the peer told to stop. */
  isStopping = false;

  constructor(session: NodeServerSession, node: http2.ServerHttp2Stream, ended: boolean) {
    super(node, undefined);
    this.session = session;
    this.ended = ended;
  }

  respond(headers: HeaderBlock): void {
    if (!this.node.destroyed && !this.node.closed) this.node.respond(headers, withTrailers);
  }

  respondOnly(headers: HeaderBlock): void {
    if (this.node.destroyed || this.node.closed) return;
    this.node.respond(headers, withoutBody);
    this.stopPeer();
  }

  finish(trailers: HeaderBlock): void {
    if (this.node.destroyed || this.node.closed) return;
    this.trailers = trailers;
    this.node.end();
  }

  breakOff(code: number): void {
    if (this.node.destroyed || this.node.closed) return;
    this.node.write(nothing, () => this.reset(code));
  }

  /** Once the response is out: the rest of the request is of no use to anybody. */
  stopPeer(): void {
    this.isStopping = true;
    // Later, for a reset from within `wantTrailers` overtakes the trailers.
    if (!this.ended) setImmediate(() => this.node.close(errorCode.none));
    this.discard();
  }
}

type OwnedServer = Owned<http2.ServerHttp2Stream, NodeServerStream>;

function onServerData(this: OwnedServer, chunk: Buffer): void {
  this[owner]!.take(chunk);
}

function onServerEnd(this: OwnedServer): void {
  const ours = this[owner]!;
  // A peer that resets with NO_ERROR what it does not read: Node would wait for ever for the writes to complete.
  if (this.closed && !this.writableFinished && !ours.isStopping) {
    this.destroy();
    return;
  }
  if (isCut(this)) return;
  ours.ended = true;
  ours.receiver?.ended();
}

function onWantTrailers(this: OwnedServer): void {
  const ours = this[owner]!;
  // Also comes for a stream that was reset meanwhile.
  if (this.destroyed || this.closed || !ours.trailers) return;
  this.sendTrailers(ours.trailers);
  ours.stopPeer();
}

function onServerClose(this: OwnedServer): void {
  const ours = this[owner]!;
  const { receiver } = ours;
  ours.receiver = undefined;
  receiver?.closed(ours.session.lost ? errorCode.connectionLost : this.rstCode);
  ours.session.release();
}

/** A session of a peer on `node:http2`. */
export class NodeServerSession implements ServerSession {
  streams = 0;
  readonly #session: http2.ServerHttp2Session;
  readonly #listener: ServerSessionListener;
  #closed = false;
  #error: Error | undefined;

  constructor(socket: Socket, limits: ServerLimits, listener: ServerSessionListener) {
    this.#listener = listener;
    const options = optionsOf(limits);
    this.#session = http2.performServerHandshake(socket, {
      ...options,
      ...resets,
      settings: { ...options.settings, maxConcurrentStreams: limits.streamsMax },
    });
    this.#session.setLocalWindowSize(connectionWindowBytes);
    this.#session.setTimeout(limits.idleTimeoutMs, () => this.close());
    this.#session.on("stream", (node, _headers, flags, raw) => this.#accept(node, flags, raw));
    this.#session.on("error", (error: Error) => {
      this.#error ??= error;
    });
    this.#session.on("close", () => {
      this.#closed = true;
      this.#reportClosed();
    });
  }

  get lost(): boolean {
    return this.#session.destroyed;
  }

  close(): void {
    this.#session.close();
  }

  destroy(): void {
    this.#session.destroy();
  }

  release(): void {
    this.streams -= 1;
    if (this.#closed) this.#reportClosed();
  }

  #accept(node: OwnedServer, flags: number, raw: readonly string[]): void {
    const ended = (flags & endStreamFlag) !== 0;
    const stream = new NodeServerStream(this, node, ended);
    node[owner] = stream;
    this.streams += 1;
    node.on("error", ignoreError);
    node.on("close", onServerClose);
    node.on("wantTrailers", onWantTrailers);
    stream.receiver = this.#listener.stream(stream, raw, ended);
    node.on("end", onServerEnd);
    node.on("data", onServerData);
  }

  #reportClosed(): void {
    if (this.streams === 0) this.#listener.closed(this.#error);
  }
}
