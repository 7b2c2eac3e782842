import type { HeaderBlock, HeaderList } from "../wire/http2.ts";
import type { MetadataEntry } from "../wire/protocol.ts";

/** Request headers that belong to the transport, not to the call. */
const transportHeaders: ReadonlySet<string> = new Set([
  "accept-encoding",
  "connection",
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

/** What a request says beyond its transport, in order and with duplicates; `-bin` values become bytes. */
export function metadataOf(headers: HeaderList): readonly MetadataEntry[] {
  let entries: MetadataEntry[] | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const key = headers[at]!;
    if (key.charCodeAt(0) === colon || transportHeaders.has(key)) continue;
    const text = headers[at + 1]!;
    (entries ??= []).push({ key, value: key.endsWith("-bin") ? Buffer.from(text, "base64") : text });
  }
  return entries ?? none;
}

const colon = 0x3a;
const validName = /^[a-z0-9_.-]+$/;
const validValue = /^[\x20-\x7e]*$/;

/** About what metadata takes as headers. */
export function metadataBytes(metadata: readonly MetadataEntry[]): number {
  let bytes = 0;
  for (const { key, value } of metadata) bytes += key.length + value.length;
  return bytes;
}

/**
 * Adds the texts of reply metadata to response headers, values of one name joined by commas. What cannot be a header is
 * left out, bytes always.
 */
export function withMetadata(headers: HeaderBlock, metadata: readonly MetadataEntry[]): HeaderBlock {
  const all: Record<string, string> = { ...headers };
  for (const { key, value } of metadata) {
    const name = key.toLowerCase();
    if (typeof value !== "string" || reservedHeaders.has(name)) continue;
    if (!validName.test(name) || !validValue.test(value)) continue;
    const earlier = all[name];
    all[name] = earlier === undefined ? value : `${earlier}, ${value}`;
  }
  return all;
}
