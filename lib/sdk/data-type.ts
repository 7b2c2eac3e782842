import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { message, type Serializer } from "./serializer.ts";

/** The type of a state or of an event: a message's schema, or a serializer for what is no message. */
export type DataType = DescMessage | Serializer<unknown>;

/** What a handler reads of a type. */
export type DataOf<T extends DataType> = T extends DescMessage
  ? MessageShape<T>
  : T extends Serializer<infer Value>
    ? Value
    : never;

/** What a handler may give for a type: a message can be given by its fields. */
export type DataInitOf<T extends DataType> = T extends DescMessage
  ? MessageInitShape<T>
  : T extends Serializer<infer Value>
    ? Value
    : never;

/** A data type at work: values whose types were checked where they were declared. */
export interface Data extends Serializer<unknown> {
  /** A whole value from what a handler gave. */
  readonly made: (init: unknown) => unknown;
}

/** How values of a type are made and travel. */
export function dataOf(type: DataType): Data {
  if (!isSchema(type)) {
    return {
      toAny: (value) => type.toAny(value),
      accepts: (any) => type.accepts(any),
      fromAny: (any) => type.fromAny(any),
      made: (init) => init,
    };
  }
  const serializer: Serializer<unknown> = message(type);
  return {
    ...serializer,
    made: (init) => create(type, init as MessageInitShape<DescMessage>),
  };
}

function isSchema(type: DataType): type is DescMessage {
  return "kind" in type;
}
