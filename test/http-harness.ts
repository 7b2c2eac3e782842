import { create, type MessageInitShape, setExtension } from "@bufbuild/protobuf";
import {
  type FieldDescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type as Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import type { Logger } from "../lib/core/log.ts";
import { silentLogger } from "../lib/core/log.ts";
import { buildServiceTable } from "../lib/discovery/build-table.ts";
import type { ServiceTable } from "../lib/discovery/service-table.ts";
import { createHttpRoutes, type HttpRoutes } from "../lib/frontend/http-routes.ts";
import { http } from "../lib/wire/gen/google/api/annotations_pb.ts";
import { HttpRuleSchema } from "../lib/wire/gen/google/api/http_pb.ts";
import { allSupported, specOf } from "./discovery-harness.ts";

/** A rule as a proto file would declare it. */
export type Rule = MessageInitShape<typeof HttpRuleSchema>;

/** A method by its name, with types of package `shop` or full ones, and its rule. */
export interface Declared {
  readonly name: string;
  readonly input?: string;
  readonly output?: string;
  readonly rule?: Rule;
}

type Field = MessageInitShape<typeof FieldDescriptorProtoSchema>;

/** A rule of the usual kinds. */
export const get = (value: string, more: Rule = {}): Rule => ({ pattern: { case: "get", value }, ...more });
export const post = (value: string, body = "*", more: Rule = {}): Rule => ({
  pattern: { case: "post", value },
  body,
  ...more,
});

const scalars = {
  double: Type.DOUBLE,
  float: Type.FLOAT,
  int32: Type.INT32,
  int64: Type.INT64,
  uint32: Type.UINT32,
  uint64: Type.UINT64,
  sint32: Type.SINT32,
  sint64: Type.SINT64,
  fixed32: Type.FIXED32,
  fixed64: Type.FIXED64,
  sfixed32: Type.SFIXED32,
  sfixed64: Type.SFIXED64,
  bool: Type.BOOL,
  string: Type.STRING,
  bytes: Type.BYTES,
} as const;
type Scalar = keyof typeof scalars;
const scalarNames = Object.keys(scalars) as readonly Scalar[];

/** What a field of a well-known type is called here, and the type. */
export const wellKnown = {
  timestamp: "Timestamp",
  duration: "Duration",
  mask: "FieldMask",
  struct: "Struct",
  value: "Value",
  list_value: "ListValue",
  any: "Any",
  empty: "Empty",
  int64_value: "Int64Value",
  string_value: "StringValue",
  double_value: "DoubleValue",
  bool_value: "BoolValue",
  bytes_value: "BytesValue",
} as const;

const optional = { label: FieldDescriptorProto_Label.OPTIONAL };
const mapKeys = ["int32", "int64", "uint32", "uint64", "sint32", "fixed64", "bool", "string"] as const;

function everything(): MessageInitShape<typeof FileDescriptorProtoSchema>["messageType"] {
  let number = 0;
  const field = (name: string, more: Field): Field => ({
    name,
    number: (number += 1),
    ...optional,
    ...more,
  });
  const repeated = { label: FieldDescriptorProto_Label.REPEATED };
  const message = (typeName: string): Field => ({ type: Type.MESSAGE, typeName });
  const color: Field = { type: Type.ENUM, typeName: ".shop.Color" };
  const entries = [
    ...mapKeys.map((key) => ({ name: `${key}_map`, key, value: { type: scalars[key] } })),
    { name: "color_map", key: "string" as const, value: color },
    { name: "message_map", key: "string" as const, value: message(".shop.Everything") },
    { name: "timestamp_map", key: "string" as const, value: message(".google.protobuf.Timestamp") },
    { name: "double_map", key: "int32" as const, value: { type: Type.DOUBLE } as Field },
  ];
  const entryName = (name: string) =>
    `${name.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase())}Entry`;
  const plain = scalarNames.map((name) => field(`the_${name}`, { type: scalars[name] }));
  const lists = scalarNames.map((name) => field(`${name}_list`, { type: scalars[name], ...repeated }));
  const maybe = scalarNames.map((name, index) =>
    field(`maybe_${name}`, { type: scalars[name], proto3Optional: true, oneofIndex: 1 + index }),
  );
  const choices = [
    field("choice_text", { type: Type.STRING, oneofIndex: 0 }),
    field("choice_number", { type: Type.INT64, oneofIndex: 0 }),
    field("choice_color", { ...color, oneofIndex: 0 }),
    field("choice_message", { ...message(".shop.Everything"), oneofIndex: 0 }),
    field("choice_null", { type: Type.ENUM, typeName: ".google.protobuf.NullValue", oneofIndex: 0 }),
  ];
  const enums = [
    field("color", color),
    field("color_list", { ...color, ...repeated }),
    field("maybe_color", { ...color, proto3Optional: true, oneofIndex: 1 + scalarNames.length }),
  ];
  const messages = [
    field("inner", message(".shop.Everything")),
    field("inner_list", { ...message(".shop.Everything"), ...repeated }),
  ];
  const known = Object.entries(wellKnown).flatMap(([name, type]) => [
    field(`a_${name}`, message(`.google.protobuf.${type}`)),
    field(`${name}_list`, { ...message(`.google.protobuf.${type}`), ...repeated }),
  ]);
  const maps = entries.map(({ name }) =>
    field(name, { ...message(`.shop.Everything.${entryName(name)}`), ...repeated }),
  );
  return [
    {
      name: "Everything",
      // Not in the order of their numbers, which is the order of printing.
      field: [...maps, ...known, ...messages, ...enums, ...choices, ...maybe, ...lists, ...plain],
      oneofDecl: [
        { name: "choice" },
        ...scalarNames.map((name) => ({ name: `_maybe_${name}` })),
        { name: "_maybe_color" },
      ],
      nestedType: entries.map(({ name, key, value }) => ({
        name: entryName(name),
        options: { mapEntry: true },
        field: [
          { name: "key", number: 1, ...optional, type: scalars[key] },
          { name: "value", number: 2, ...optional, ...value },
        ],
      })),
    },
  ];
}

/** Package `shop`: `Everything` has each kind of field, `Upload` a `google.api.HttpBody`, `Color` is an enum. */
export function shopFile(methods: readonly Declared[]): FileDescriptorProto {
  const typed = (name = "Everything") => (name.includes(".") ? `.${name}` : `.shop.${name}`);
  return create(FileDescriptorProtoSchema, {
    name: "shop.proto",
    package: "shop",
    syntax: "proto3",
    dependency: [
      "google/api/annotations.proto",
      "google/api/httpbody.proto",
      "google/protobuf/timestamp.proto",
      "google/protobuf/duration.proto",
      "google/protobuf/field_mask.proto",
      "google/protobuf/struct.proto",
      "google/protobuf/any.proto",
      "google/protobuf/empty.proto",
      "google/protobuf/wrappers.proto",
    ],
    enumType: [
      {
        name: "Color",
        value: [
          { name: "NONE", number: 0 },
          { name: "RED", number: 1 },
          { name: "BLUE", number: -7 },
        ],
      },
    ],
    messageType: [
      ...(everything() ?? []),
      {
        name: "Upload",
        field: [
          { name: "file", number: 20, type: Type.MESSAGE, typeName: ".google.api.HttpBody", ...optional },
          { name: "name", number: 3, type: Type.STRING, ...optional },
        ],
      },
    ],
    service: [
      {
        name: "Shop",
        method: methods.map(({ name, input, output, rule }) => {
          const options = create(MethodOptionsSchema);
          if (rule) setExtension(options, http, create(HttpRuleSchema, rule));
          return { name, inputType: typed(input), outputType: typed(output), options };
        }),
      },
    ],
  });
}

/** The table of a function whose one service, an action, is `shop.Shop`; or why it is rejected. */
export function shopOf(methods: readonly Declared[]): ServiceTable | string {
  const outcome = buildServiceTable(specOf([shopFile(methods)], [["action", "shop.Shop"]]), allSupported);
  return outcome.type === "table" ? outcome.table : outcome.message;
}

/** The routes of `shop.Shop`, and the warnings that making them gave. */
export function shopRoutes(...methods: readonly Declared[]): {
  readonly routes: HttpRoutes;
  readonly table: ServiceTable;
  readonly warnings: readonly object[];
} {
  const table = shopOf(methods);
  if (typeof table === "string") throw new Error(table);
  const warnings: object[] = [];
  const log: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) };
  return { routes: createHttpRoutes(table, log), table, warnings };
}
