import { MassaError } from "../lib/core/errors.ts";
import type { Header, Message } from "./driver.ts";
import { jsonMembers } from "./json-members.ts";

/** A CloudEvents 1.0 record as every source yields it. `type` and `contentType` may be "". */
export interface CloudEvent {
  readonly id: string;
  readonly source: string;
  readonly specVersion: string;
  readonly type: string;
  readonly contentType: string;
  readonly dataSchema?: string;
  readonly subject?: string;
  readonly time?: string;
  readonly partitionKey?: string;
  readonly data: Uint8Array;
}

/** What a message without CloudEvent attributes has instead. */
export interface EventDefaults {
  readonly id: string;
  readonly source: string;
}

const empty = new Uint8Array();
const attributePrefix = /^(?:ce[-_]|cloudevents[:_])/;
const structuredType = "application/cloudevents+json";
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads a message in binary mode, or in structured mode by its content type. Throws `invalid` for a structured one that is none. */
export function eventOf(message: Pick<Message, "headers" | "body">, defaults: EventDefaults): CloudEvent {
  const attributes = new Map<string, string>();
  for (const [header, value] of message.headers) {
    const name = header.toLowerCase();
    if (name === "content-type") attributes.set(name, value);
    else if (attributePrefix.test(name)) attributes.set(name.replace(attributePrefix, ""), value);
  }
  const carried = attributes.get("content-type");
  if (carried !== undefined && mediaTypeOf(carried) === structuredType) return structured(message.body, defaults);
  const contentType = attributes.get("datacontenttype") ?? carried ?? "application/octet-stream";
  return assemble(attributes, contentType, message.body, defaults);
}

/** The message of an event in binary mode; `time` and the other optional attributes only where they are known. */
export function messageOf(event: CloudEvent, key: string): Message {
  const headers: Header[] = [
    ["ce-id", event.id],
    ["ce-source", event.source],
    ["ce-specversion", event.specVersion],
    ["ce-type", event.type],
    ["content-type", event.contentType],
  ];
  if (event.dataSchema !== undefined) headers.push(["ce-dataschema", event.dataSchema]);
  if (event.subject !== undefined) headers.push(["ce-subject", event.subject]);
  if (event.time !== undefined) headers.push(["ce-time", event.time]);
  if (event.partitionKey !== undefined) headers.push(["ce-partitionkey", event.partitionKey]);
  return { key, headers, body: event.data };
}

/** The media type in lower case, without parameters. */
export function mediaTypeOf(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

function assemble(
  attributes: ReadonlyMap<string, string>,
  contentType: string,
  data: Uint8Array,
  defaults: EventDefaults,
): CloudEvent {
  const dataSchema = attributes.get("dataschema");
  const subject = attributes.get("subject");
  const time = attributes.get("time");
  const partitionKey = attributes.get("partitionkey");
  return {
    id: attributes.get("id") ?? defaults.id,
    source: attributes.get("source") ?? defaults.source,
    specVersion: attributes.get("specversion") ?? "1.0",
    type: attributes.get("type") ?? "",
    contentType,
    ...(dataSchema !== undefined && { dataSchema }),
    ...(subject !== undefined && { subject }),
    ...(time !== undefined && { time }),
    ...(partitionKey !== undefined && { partitionKey }),
    data,
  };
}

function structured(body: Uint8Array, defaults: EventDefaults): CloudEvent {
  const members = jsonMembers(textOf(body));
  if (!members) throw new MassaError("invalid", `the body is no JSON object, as ${structuredType} wants it`);
  const attributes = new Map<string, string>();
  for (const [name, text] of members) {
    const value: unknown = JSON.parse(text);
    if (name !== "data" && name !== "data_base64" && typeof value === "string") {
      attributes.set(name.toLowerCase(), value);
    }
  }
  const contentType = attributes.get("datacontenttype") ?? "application/json";
  return assemble(attributes, contentType, structuredData(members, contentType), defaults);
}

/** JSON data keep their very text: numbers and the order of members are the sender's. */
function structuredData(members: ReadonlyMap<string, string>, contentType: string): Uint8Array {
  const inBase64 = members.get("data_base64");
  if (inBase64 !== undefined) {
    const value: unknown = JSON.parse(inBase64);
    if (typeof value === "string") return Buffer.from(value, "base64");
    throw new MassaError("invalid", "data_base64 of the event is no string");
  }
  const data = members.get("data");
  if (data === undefined) return empty;
  if (!isJson(contentType)) {
    const value: unknown = JSON.parse(data);
    if (typeof value === "string") return Buffer.from(value);
  }
  return Buffer.from(data);
}

/** Bytes as UTF-8; throws `invalid` for what is none, so that nothing is altered on its way. */
export function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (reason) {
    throw new MassaError("invalid", "the text is no UTF-8", { cause: reason });
  }
}

/** Whether the content is JSON by its media type. */
export function isJson(contentType: string): boolean {
  const type = mediaTypeOf(contentType);
  return type === "application/json" || (type.startsWith("application/") && type.endsWith("+json"));
}
