import type { HeaderBlock, HeaderList, StreamReceiver } from "../wire/http2.ts";

/**
 * One HTTP request and its response, over whichever version of HTTP. Every call after the exchange has closed does nothing.
 * Whoever serves it hears of the body and of the end by a `StreamReceiver`, whose `closed` comes exactly once and last.
 */
export interface Exchange {
  /** 1 or 2. */
  readonly version: number;
  readonly method: string;
  /** The path as it came, still percent-encoded, and what follows the first `?`, without it. */
  readonly path: string;
  readonly query: string;
  /** Without pseudo headers. */
  readonly headers: HeaderList;
  /** Whether the client sends its body only when told to (`Expect: 100-continue`). */
  readonly awaitsContinue: boolean;
  /** Headers that every response to this request carries. */
  extraHeaders: HeaderBlock;
  /** Bytes that are held for this exchange, both ways. */
  readonly bufferedBytes: number;
  /** Tells a client that waits for it to send the body. */
  proceed(): void;
  /** Sends the response head; `write` and `end` follow. */
  respond(status: number, headers: HeaderBlock): void;
  /** Sends body bytes, which the exchange owns from then on; false: wait for `drained`. */
  write(bytes: Uint8Array): boolean;
  end(): void;
  /** Sends a whole response with its `content-length`; to HEAD without the body. */
  respondWhole(status: number, headers: HeaderBlock, body?: Uint8Array | string): void;
  /** Breaks the response off, what was written before still goes out: the client sees that it is not whole. */
  abort(): void;
  /** While paused no `data` comes, and the client is held back. */
  pause(): void;
  resume(): void;
}

/** Serves a request; `ended`: it has no body. Returns who hears of the rest of it. */
export type ServeExchange = (exchange: Exchange, ended: boolean) => StreamReceiver;

/** The value of a header, undefined without one. Values of a repeated header are joined by commas. */
export function headerOf(headers: HeaderList, name: string): string | undefined {
  let value: string | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] === name) value = value === undefined ? headers[at + 1]! : `${value}, ${headers[at + 1]!}`;
  }
  return value;
}

/** Whether `accept` names one of these media types, lower-case, with a weight that is not 0 (RFC 9110 section 12.5.1). */
export function accepts(headers: HeaderList, ...types: readonly string[]): boolean {
  const ranges = headerOf(headers, "accept")?.toLowerCase().split(",") ?? [];
  return ranges.some((range) => {
    const [type, ...parameters] = range.split(";");
    return types.includes(type!.trim()) && !parameters.some((parameter) => weightless.test(parameter));
  });
}

const weightless = /^\s*q=0(\.0*)?\s*$/;

/** Cuts a request target into path and query; the absolute form of proxies loses its scheme and host (RFC 9112 section 3.2.2). */
export function targetOf(text: string): { readonly path: string; readonly query: string } {
  const target = text.startsWith("/") ? text : text.replace(/^https?:\/\/[^/?]*/i, "");
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  return { path: path === "" ? "/" : path, query: mark < 0 ? "" : target.slice(mark + 1) };
}

/** Headers of a response with those that every response has; what both say of `vary` holds together. */
export function withExtra(headers: HeaderBlock, extra: HeaderBlock): HeaderBlock {
  const all = { ...headers, ...extra };
  if (headers["vary"] === undefined || extra["vary"] === undefined) return all;
  return { ...all, vary: [headers["vary"], extra["vary"]].flat().join(", ") };
}
