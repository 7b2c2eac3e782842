import { MassaError } from "../lib/core/errors.ts";
import { type CloudEvent, isJson, mediaTypeOf } from "./cloud-event.ts";

/** A `google.protobuf.Any`, as commands and replies carry it. */
export interface Payload {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** What a reply says of itself in its metadata; keys fold their case, the last of equal ones counts. */
export type ReplyMetadata = readonly { readonly key: string; readonly value: string | Uint8Array }[];

const protobufTypes: ReadonlySet<string> = new Set([
  "application/protobuf",
  "application/x-protobuf",
  "application/vnd.google.protobuf",
]);
const empty = new Uint8Array();
const jsonHost = "json.cloudstate.io/";
const primitiveHost = "p.cloudstate.io/";

/** The command payload of an event. */
export function payloadOf({ contentType, type, data }: CloudEvent): Payload {
  const media = mediaTypeOf(contentType);
  if (protobufTypes.has(media)) {
    const name = parameter(contentType, "proto") ?? parameter(contentType, "messageType") ?? type;
    return { typeUrl: `type.googleapis.com/${name}`, value: data };
  }
  if (media === "application/vnd.cloudstate.protobuf.any") return { typeUrl: type, value: data };
  if (isJson(contentType)) return { typeUrl: jsonHost + type, value: wrap(data) };
  if (media.startsWith("text/")) {
    return { typeUrl: `${primitiveHost}string`, value: wrap(toUtf8(data, parameter(contentType, "charset"))) };
  }
  return { typeUrl: `${primitiveHost}bytes`, value: wrap(data) };
}

/** The attributes that become metadata, in the order of the Cloudstate protocol. */
export function metadataOf(event: CloudEvent): readonly { readonly key: string; readonly value: string }[] {
  const entries = [
    { key: "ce-id", value: event.id },
    { key: "ce-source", value: event.source },
    { key: "ce-specversion", value: event.specVersion },
    { key: "ce-type", value: event.type },
    { key: "Content-Type", value: event.contentType },
  ];
  if (event.dataSchema !== undefined) entries.push({ key: "ce-dataschema", value: event.dataSchema });
  if (event.subject !== undefined) entries.push({ key: "ce-subject", value: event.subject });
  if (event.time !== undefined) entries.push({ key: "ce-time", value: event.time });
  return entries;
}

/** The event of a reply. Throws `invalid` when a JSON, text or bytes payload is malformed. */
export function eventOfReply(
  payload: Payload,
  metadata: ReplyMetadata,
  defaults: { readonly id: string; readonly source: string; readonly time: string },
): CloudEvent {
  const said = new Map<string, string>();
  for (const { key, value } of metadata) if (typeof value === "string") said.set(key.toLowerCase(), value);
  const { type, contentType, data } = contentOf(payload);
  const dataSchema = said.get("ce-dataschema");
  const subject = said.get("ce-subject");
  const partitionKey = said.get("ce-partitionkey");
  return {
    id: said.get("ce-id") ?? defaults.id,
    source: said.get("ce-source") ?? defaults.source,
    specVersion: said.get("ce-specversion") ?? "1.0",
    type: said.get("ce-type") ?? type,
    contentType: said.get("content-type") ?? contentType,
    ...(dataSchema !== undefined && { dataSchema }),
    ...(subject !== undefined && { subject }),
    ...(partitionKey !== undefined && { partitionKey }),
    time: said.get("ce-time") ?? defaults.time,
    data,
  };
}

function contentOf({ typeUrl, value }: Payload): { type: string; contentType: string; data: Uint8Array } {
  if (typeUrl.startsWith(jsonHost)) {
    return { type: typeUrl.slice(jsonHost.length), contentType: "application/json", data: unwrap(value) };
  }
  if (typeUrl === `${primitiveHost}string`) {
    return { type: "", contentType: "text/plain; charset=utf-8", data: unwrap(value) };
  }
  if (typeUrl === `${primitiveHost}bytes`) {
    return { type: "", contentType: "application/octet-stream", data: unwrap(value) };
  }
  return { type: typeUrl.slice(typeUrl.indexOf("/") + 1), contentType: "application/protobuf", data: value };
}

function parameter(contentType: string, name: string): string | undefined {
  for (const part of contentType.split(";").slice(1)) {
    const equals = part.indexOf("=");
    if (equals < 0 || part.slice(0, equals).trim().toLowerCase() !== name.toLowerCase()) continue;
    return part
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, "$1");
  }
  return undefined;
}

function toUtf8(data: Uint8Array, charset: string | undefined): Uint8Array {
  if (charset === undefined || /^utf-?8$/i.test(charset)) return data;
  try {
    return Buffer.from(new TextDecoder(charset).decode(data));
  } catch (reason) {
    throw new MassaError("invalid", `the text's charset "${charset}" is unknown`, { cause: reason });
  }
}

/** Bytes as field 1 of a message; none at all for no bytes. */
function wrap(data: Uint8Array): Uint8Array {
  if (data.byteLength === 0) return empty;
  const prefix = [0x0a];
  let length = data.byteLength;
  for (; length > 0x7f; length = Math.floor(length / 128)) prefix.push((length & 0x7f) | 0x80);
  prefix.push(length);
  return Buffer.concat([Buffer.from(prefix), data]);
}

/** The first field 1 of a message, other fields skipped. */
function unwrap(bytes: Uint8Array): Uint8Array {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.byteLength && scale <= 2 ** 63; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new MassaError("invalid", `the payload ends within a number at byte ${at}`);
  };
  const passed = (count: number): Uint8Array => {
    if (count > bytes.byteLength - at) {
      throw new MassaError("invalid", `the payload ends ${count - bytes.byteLength + at} bytes early`);
    }
    at += count;
    return bytes.subarray(at - count, at);
  };
  while (at < bytes.byteLength) {
    const tag = varint();
    const wireType = tag % 8;
    if (Math.floor(tag / 8) === 1 && wireType !== 2) {
      throw new MassaError("invalid", `field 1 of the payload has wire type ${wireType}, not text or bytes`);
    }
    if (wireType === 0) varint();
    else if (wireType === 1) passed(8);
    else if (wireType === 5) passed(4);
    else if (wireType === 2) {
      const content = passed(varint());
      if (Math.floor(tag / 8) === 1) return content;
    } else throw new MassaError("invalid", `the payload has a field of wire type ${wireType}`);
  }
  return empty;
}
