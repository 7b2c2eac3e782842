import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { test } from "node:test";
import { readDescriptors } from "../lib/discovery/descriptors.ts";
import { createDynamicJson } from "../lib/wire/dynamic-json.ts";

const field = (name: string, number: number, jsonName?: string) => ({
  name,
  number,
  type: Type.STRING,
  label: Label.OPTIONAL,
  ...(jsonName !== undefined && { jsonName }),
});

/** What a function sends whose language leaves names in JSON out of its descriptors. */
const sent = create(FileDescriptorSetSchema, {
  file: [
    {
      name: "shop.proto",
      package: "shop",
      syntax: "proto3",
      messageType: [
        {
          name: "Order",
          field: [field("unit_price", 1), field("a__b2_c_", 2), field("chosen", 3, "byItself")],
          nestedType: [{ name: "Line", field: [field("line_no", 1)] }],
        },
      ],
    },
  ],
});

test("descriptors without names in JSON get those that protoc gives, nested messages too", () => {
  const read = readDescriptors(toBinary(FileDescriptorSetSchema, sent));
  assert.ok(read.type === "files");
  const namesOf = (type: string) => read.registry.getMessage(type)?.fields.map(({ jsonName }) => jsonName);
  assert.deepEqual(namesOf("shop.Order"), ["unitPrice", "aB2C", "byItself"]);
  assert.deepEqual(namesOf("shop.Order.Line"), ["lineNo"]);
  const bytes = createDynamicJson(read.registry).parse("shop.Order", '{"unitPrice":"3"}');
  assert.deepEqual([...bytes], [10, 1, 51]);
});
