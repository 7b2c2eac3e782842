import { ProtobufReader } from "./protobuf-reader.ts";
import { shared } from "./protocol.ts";

/** What type URLs begin with: protobuf messages, primitives and JSON documents (spec/json-and-any 6.1). */
export const urlPrefixes = {
  message: "type.googleapis.com/",
  primitive: "p.cloudstate.io/",
  json: "json.cloudstate.io/",
} as const;

/** The part of a type URL that names the type: what follows the first `/`, or all of it when there is none. */
export function typeNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.indexOf("/") + 1);
}

/** Whether a type URL names a primitive or a JSON document, whose content stands in field 1 of the value. */
export function isWrapped(typeUrl: string): boolean {
  return typeUrl.startsWith(urlPrefixes.primitive) || typeUrl.startsWith(urlPrefixes.json);
}

/** Text, bytes or a JSON document as the value of an Any: field 1, or nothing at all when the content is empty. */
export function wrapContent(content: Uint8Array): Uint8Array {
  const writer = shared.begin();
  if (content.byteLength > 0) writer.bytes(1, content);
  return writer.finish();
}

/** The content of such a value: the first field 1, empty when there is none. Throws `protocol` when it is of another kind. */
export function unwrapContent(value: Uint8Array): Uint8Array {
  const reader = new ProtobufReader(value, "wrapped value");
  let content: Uint8Array | undefined;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1 && content === undefined) content = reader.bytes();
    else reader.skip();
  }
  return content ?? new Uint8Array(0);
}
