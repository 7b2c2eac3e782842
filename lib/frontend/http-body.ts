import type { DescMessage } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ProtobufReader } from "../wire/protobuf-reader.ts";

/** `google.api.HttpBody`: bytes that pass as they are, with their content type. */
const typeName = "google.api.HttpBody";
const fields = { contentType: 1, data: 2 } as const;

/** What a reply of type `google.api.HttpBody` holds; no content type where it is empty. */
export interface RawBody {
  readonly contentType: string | undefined;
  readonly data: Uint8Array;
}

/** Whether messages of this type pass as raw bytes. */
export function isHttpBody(type: DescMessage | undefined): boolean {
  return type?.typeName === typeName;
}

/** The bytes of an HttpBody, or of a message that holds one as its field of the given number. */
export function encodeHttpBody(
  body: { readonly contentType: string | undefined; readonly bytes: Uint8Array },
  field?: number,
): Uint8Array {
  const writer = new BinaryWriter();
  if (field !== undefined) writer.tag(field, WireType.LengthDelimited).fork();
  if (body.contentType !== undefined && body.contentType !== "") {
    writer.tag(fields.contentType, WireType.LengthDelimited).string(body.contentType);
  }
  if (body.bytes.byteLength > 0) writer.tag(fields.data, WireType.LengthDelimited).bytes(body.bytes);
  if (field !== undefined) writer.join();
  return writer.finish();
}

/** Reads an HttpBody. Throws `protocol` for bytes that are none. */
export function decodeHttpBody(bytes: Uint8Array): RawBody {
  let contentType: string | undefined;
  let data = new Uint8Array(0) as Uint8Array;
  const reader = new ProtobufReader(bytes, typeName);
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === fields.contentType) contentType = reader.text() || undefined;
    else if (field === fields.data) data = reader.bytes();
    else reader.skip();
  }
  return { contentType, data };
}
