import type { HttpBinding } from "../discovery/http-rule.ts";
import type { DynamicJson } from "../wire/dynamic-json.ts";
import { ProtobufReader } from "../wire/protobuf-reader.ts";
import { decodeHttpBody, isHttpBody } from "./http-body.ts";

/** JSON text, or raw bytes with their content type, which stem from a `google.api.HttpBody`. */
export type HttpPart =
  | { readonly type: "json"; readonly text: string }
  | { readonly type: "raw"; readonly contentType: string | undefined; readonly data: Uint8Array };

/** Makes what goes out of the bytes of a reply. Throws `protocol` for bytes that are no such message. */
export type PrintHttpResponse = (bytes: Uint8Array) => HttpPart;

/** Makes the printer of one binding: the whole reply, or the field that its rule names. */
export function compileHttpResponse({ output, responseBody }: HttpBinding, json: DynamicJson): PrintHttpResponse {
  if (responseBody === undefined && isHttpBody(output)) return raw;
  if (responseBody?.fieldKind === "message" && isHttpBody(responseBody.message)) {
    const { number } = responseBody;
    return (bytes) => raw(contentOf(bytes, number, output.typeName));
  }
  const codec = responseBody ? json.field(responseBody) : json.message(output);
  return (bytes) => ({ type: "json", text: codec.print(bytes) });
}

function raw(bytes: Uint8Array): HttpPart {
  return { type: "raw", ...decodeHttpBody(bytes) };
}

/** The content of a message field, which may stand in pieces: put one behind the other these are the whole. */
function contentOf(bytes: Uint8Array, number: number, typeName: string): Uint8Array {
  const pieces: Uint8Array[] = [];
  const reader = new ProtobufReader(bytes, typeName);
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === number) pieces.push(reader.bytes());
    else reader.skip();
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
