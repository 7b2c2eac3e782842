import type { Socket } from "node:net";

/** Header names and values by turns, as they came: names lower-case, pseudo headers first, duplicates kept. */
export type HeaderList = readonly string[];

/**
 * Headers to send: names lower-case, a list for a name that comes more than once. An engine may keep the encoded form of an
 * object it has seen, so nobody changes one.
 */
export type HeaderBlock = Readonly<Record<string, string | string[]>>;

/** The HTTP/2 error codes that mean something to us (RFC 9113 section 7). */
export const errorCode = {
  /** Not on the wire: the connection was lost while the stream was open. */
  connectionLost: -1,
  none: 0,
  protocol: 1,
  internal: 2,
  refusedStream: 7,
  cancel: 8,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
} as const;

/** What both ends of a stream can do. Every call on a stream that is closed does nothing. */
export interface Http2Stream {
  /** Bytes that the engine holds for this stream, both ways. */
  readonly bufferedBytes: number;
  /** Sends body bytes, which the stream owns from then on; false: wait for `drained`. */
  write(bytes: Uint8Array): boolean;
  /** Ends the stream at once, both ways; the receiver hears nothing more. */
  reset(code: number): void;
  /** While paused no `data` comes, and the peer is held back by the window of the stream. */
  pause(): void;
  resume(): void;
}

/** A stream that we opened. */
export interface ClientStream extends Http2Stream {
  /** Half-closes. */
  end(): void;
}

/** A stream that the peer opened. */
export interface ServerStream extends Http2Stream {
  /** Sends the response headers, before any `write`. */
  respond(headers: HeaderBlock): void;
  /** Sends headers that are the whole response. */
  respondOnly(headers: HeaderBlock): void;
  /**
   * Sends trailers and ends the response; `respond` came before. If the peer still sends, it is told to stop by
   * RST_STREAM with NO_ERROR (RFC 9113 section 8.1).
   */
  finish(trailers: HeaderBlock): void;
  /** Ends the stream by RST_STREAM once what was written is out; the receiver may hear `closed` of it, or nothing more. */
  breakOff(code: number): void;
}

/** Callbacks of one stream, never from within a call on it. `closed` comes exactly once and last, unless we reset the stream. */
export interface StreamReceiver {
  /** Valid for as long as it is held. */
  data(bytes: Uint8Array): void;
  /** The peer half-closed; what it sent before has come. */
  ended(): void;
  /** `write` may go on. */
  drained(): void;
  /** `errorCode.none`: both sides came to their regular end. */
  closed(code: number): void;
}

export interface ClientStreamReceiver extends StreamReceiver {
  headers(headers: HeaderList): void;
  trailers(headers: HeaderList): void;
}

export interface SessionLimits {
  /** What a peer may send ahead on one stream, in bytes. */
  readonly windowBytes: number;
  /** Memory of one session, in MiB. */
  readonly sessionMemoryMib: number;
  /** Header block of one request or response, in bytes. */
  readonly headerBytesMax: number;
}

/** A session that we opened. */
export interface ClientSession {
  /** Whether it takes new streams: settings have come, no GOAWAY has. */
  readonly usable: boolean;
  readonly streams: number;
  /** The peer's MAX_CONCURRENT_STREAMS. */
  readonly streamsMax: number;
  /**
   * Opens a stream with a body to follow. Only while `usable` and below `streamsMax`. The headers, all four pseudo headers first
   * among them, are kept as long as the stream: streams may share one list, and nobody changes it.
   */
  open(headers: HeaderList, receiver: ClientStreamReceiver): ClientStream;
  /** Takes no new streams and closes after the last one. */
  close(): void;
  destroy(): void;
}

export interface ClientSessionListener {
  /** The peer's settings came, for the first time or changed. */
  settings(): void;
  /** A stream closed, so that another may be opened. */
  freed(): void;
  /** The peer takes no new streams; those it has not begun close with `refusedStream`. */
  goaway(code: number): void;
  /** Comes exactly once and last, after `closed` of every stream. */
  closed(error: Error | undefined): void;
}

/** A session that the peer opened. */
export interface ServerSession {
  readonly streams: number;
  /** Sends GOAWAY, refuses new streams and closes after the last one. */
  close(): void;
  destroy(): void;
}

export interface ServerSessionListener {
  /** A request; `ended`: it has no body. Returns who hears of it. */
  stream(stream: ServerStream, headers: HeaderList, ended: boolean): StreamReceiver;
  /** Comes exactly once and last; with an error when the peer broke the protocol. */
  closed(error: Error | undefined): void;
}

export interface ServerLimits extends SessionLimits {
  readonly streamsMax: number;
  readonly idleTimeoutMs: number;
}

/** An HTTP/2 implementation over sockets that are connected. What it read before is at the head of the socket (`unshift`). */
export interface Http2Engine {
  connect(socket: Socket, limits: SessionLimits, listener: ClientSessionListener): ClientSession;
  accept(socket: Socket, limits: ServerLimits, listener: ServerSessionListener): ServerSession;
}
