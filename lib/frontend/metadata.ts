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
const setCookie = "set-cookie";
const validName = /^[a-z0-9_.-]+$/;
const validValue = /^[\x20-\x7e]*$/;

/** About what metadata takes as headers. */
export function metadataBytes(metadata: readonly MetadataEntry[]): number {
  let bytes = 0;
  for (const { key, value } of metadata) bytes += key.length + value.length;
  return bytes;
}

/**
 * Adds the texts of reply metadata to response headers, values of one name joined by commas, cookies as headers of their own
 * (RFC 6265 section 3). What cannot be a header is left out, bytes always.
 */
export function withMetadata(headers: HeaderBlock, metadata: readonly MetadataEntry[]): HeaderBlock {
  const all: Record<string, string | string[]> = { ...headers };
  for (const { key, value } of metadata) {
    const name = key.toLowerCase();
    if (typeof value !== "string" || reservedHeaders.has(name)) continue;
    if (!validName.test(name) || !validValue.test(value)) continue;
    const earlier = all[name];
    if (earlier === undefined) all[name] = value;
    else if (name === setCookie) all[name] = [earlier, value].flat();
    else all[name] = `${String(earlier)}, ${value}`;
  }
  return all;
}
