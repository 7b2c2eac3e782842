import type { HeaderBlock, HeaderList } from "../wire/http2.ts";
import type { MetadataEntry } from "../wire/protocol.ts";

/** Request headers that belong to the transport, not to the call. */
const transportHeaders: ReadonlySet<string> = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-timeout",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** Reply metadata that would break the response if it became a header. */
const reservedHeaders: ReadonlySet<string> = new Set([
  ...transportHeaders,
  "date",
  "grpc-message",
  "grpc-status",
  "trailer",
]);

/** Headers that HTTP/2 of Node sends once alone (its `kSingleValueHeaders`). */
const singleHeaders: ReadonlySet<string> = new Set([
  "access-control-allow-credentials",
  "access-control-max-age",
  "access-control-request-method",
  "age",
  "authorization",
  "content-language",
  "content-location",
  "content-md5",
  "content-range",
  "dnt",
  "etag",
  "expires",
  "from",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "proxy-authorization",
  "range",
  "referer",
  "retry-after",
  "tk",
  "upgrade-insecure-requests",
  "user-agent",
  "x-content-type-options",
]);

const none: readonly MetadataEntry[] = [];

/**
 * What a request says beyond its transport, in order and with duplicates; `-bin` values become bytes, one entry for each that
 * a comma separates. Cookies are one entry, however many headers HTTP/2 made of them (RFC 9113 section 8.2.3).
 */
export function metadataOf(headers: HeaderList): readonly MetadataEntry[] {
  let entries: MetadataEntry[] | undefined;
  let cookies: string | undefined;
  let cookiesAt: number | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const key = headers[at]!;
    if (key.charCodeAt(0) === colon || transportHeaders.has(key)) continue;
    const text = headers[at + 1]!;
    entries ??= [];
    if (key.endsWith("-bin")) {
      for (const value of text.split(",")) entries.push({ key, value: Buffer.from(value, "base64") });
    } else if (key === "cookie") {
      cookies = cookies === undefined ? text : `${cookies}; ${text}`;
      entries[(cookiesAt ??= entries.length)] = { key, value: cookies };
    } else {
      entries.push({ key, value: text });
    }
  }
  return entries ?? none;
}

const colon = 0x3a;
const validName = /^[a-z0-9_.-]+$/;
const validValue = /^[\x20-\x7e]*$/;
/** What clients can make bytes of, padded or not. */
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/** About what metadata takes as headers. */
export function metadataBytes(metadata: readonly MetadataEntry[]): number {
  let bytes = 0;
  for (const { key, value } of metadata) bytes += key.length + value.length;
  return bytes;
}

/**
 * Adds the texts of reply metadata to response headers. Values of one name are headers of their own, in order; where HTTP has one
 * at most they are joined by commas. What cannot be a header is left out, bytes always.
 */
export function withMetadata(headers: HeaderBlock, metadata: readonly MetadataEntry[]): HeaderBlock {
  const all: Record<string, string | string[]> = { ...headers };
  for (const { key, value } of metadata) {
    const name = key.toLowerCase();
    if (typeof value !== "string" || reservedHeaders.has(name)) continue;
    if (!validName.test(name) || !validValue.test(value)) continue;
    if (name.endsWith("-bin") && !base64.test(value)) continue;
    const earlier = all[name];
    if (earlier === undefined) all[name] = value;
    else if (singleHeaders.has(name)) all[name] = `${String(earlier)}, ${value}`;
    else all[name] = [earlier, value].flat();
  }
  return all;
}
