import type { DescMessage } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { MassaError } from "../core/errors.ts";
import { ProtobufReader } from "../wire/protobuf-reader.ts";

/** Each costs some 500 bytes of memory when it is decoded, however short it is on the wire. */
const partsMax = 300_000;
const depthMax = 100;

/**
 * Looks through a serialized FileDescriptorSet without decoding it. Throws `protocol` when it is none, `exhausted` when it is
 * made of so many parts, or nested so deep, that decoding it would endanger the process.
 */
export function checkDescriptorSize(bytes: Uint8Array): void {
  const reader = new ProtobufReader(bytes, "FileDescriptorSet");
  let parts = 0;
  walk(FileDescriptorSetSchema, 0);

  function walk(schema: DescMessage, depth: number): void {
    if (depth > depthMax) throw new MassaError("exhausted", `the descriptor set is nested more than ${depthMax} deep`);
    for (let number = reader.field(); number !== 0; number = reader.field()) {
      const field = partAt(schema, number);
      if (field === "scalar") {
        reader.skip();
        continue;
      }
      parts += 1;
      if (parts > partsMax) throw new MassaError("exhausted", `the descriptor set has more than ${partsMax} parts`);
      if (field === "unknown") {
        reader.skip();
        continue;
      }
      const outer = reader.enter();
      walk(field, depth + 1);
      reader.leave(outer);
    }
  }
}

const cache = new Map<DescMessage, Map<number, DescMessage | "scalar">>();

function partAt(schema: DescMessage, number: number): DescMessage | "scalar" | "unknown" {
  let fields = cache.get(schema);
  if (fields === undefined) {
    fields = new Map(schema.fields.map((field) => [field.number, field.message ?? "scalar"]));
    cache.set(schema, fields);
  }
  return fields.get(number) ?? "unknown";
}
