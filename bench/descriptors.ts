import { create } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** What the bench function serves: `Action` and one service for each kind of entity. `In.key` is the entity's key. */
export function descriptors(): FileDescriptorSet {
  const file = create(FileDescriptorProtoSchema, {
    name: "bench.proto",
    package: "bench",
    syntax: "proto3",
    messageType: [
      { name: "In", field: [{ ...field("key", 1, Type.STRING), options: {} }, field("body", 2, Type.BYTES)] },
      { name: "Out", field: [field("value", 1, Type.UINT64), field("body", 2, Type.BYTES)] },
      ...orderMessages(),
    ],
    service: [
      {
        name: "Action",
        method: [method("Call"), { name: "Order", inputType: ".bench.Order", outputType: ".bench.Order" }],
      },
      {
        name: "Counter",
        method: [...["Touch", "Increment", "Get"].map(method), { ...method("Watch"), serverStreaming: true }],
      },
      { name: "Account", method: ["Deposit", "Get", "Keep", "Fill"].map(method) },
      { name: "Item", method: ["Put", "Get"].map(method) },
    ],
  });
  const reader = new BinaryReader(new BinaryWriter().tag(1080, WireType.Varint).bool(true).finish());
  const [no, wireType] = reader.tag();
  file.messageType[0]!.field[0]!.options!.$unknown = [{ no, wireType, data: reader.skip(wireType, no) }];
  return create(FileDescriptorSetSchema, { file: [file] });
}

const method = (name: string) => ({ name, inputType: ".bench.In", outputType: ".bench.Out" });

function field(name: string, number: number, type: Type) {
  const jsonName = name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return { name, number, type, label: Label.OPTIONAL, jsonName };
}

/** A message such as people send: texts, numbers, a message within, and a list of them. */
function orderMessages() {
  const within = (name: string, number: number, typeName: string) => ({
    ...field(name, number, Type.MESSAGE),
    typeName,
  });
  const many = (one: ReturnType<typeof field>) => ({ ...one, label: Label.REPEATED });
  return [
    {
      name: "Order",
      field: [
        field("order_id", 1, Type.STRING),
        field("customer_id", 2, Type.STRING),
        field("customer_name", 3, Type.STRING),
        field("email", 4, Type.STRING),
        field("placed_at_ms", 5, Type.INT64),
        field("item_count", 6, Type.INT32),
        field("total", 7, Type.DOUBLE),
        field("currency", 8, Type.STRING),
        field("paid", 9, Type.BOOL),
        many(within("lines", 10, ".bench.Line")),
        within("ship_to", 11, ".bench.Address"),
        many(field("tags", 12, Type.STRING)),
        field("note", 13, Type.STRING),
        field("warehouse", 14, Type.UINT32),
        field("discount", 15, Type.DOUBLE),
      ],
    },
    {
      name: "Line",
      field: [
        field("sku", 1, Type.STRING),
        field("title", 2, Type.STRING),
        field("quantity", 3, Type.INT32),
        field("unit_price", 4, Type.DOUBLE),
      ],
    },
    {
      name: "Address",
      field: [
        field("street", 1, Type.STRING),
        field("city", 2, Type.STRING),
        field("zip", 3, Type.STRING),
        field("country", 4, Type.STRING),
      ],
    },
  ];
}
