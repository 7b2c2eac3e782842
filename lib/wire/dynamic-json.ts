import {
  type DescField,
  type DescMessage,
  fromBinary,
  type JsonObject,
  type JsonValue,
  type Registry,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";
import { hasOwnJson, JsonPlans, zeroOf } from "./json-plan.ts";
import { JsonPrinter, OutOfOrder } from "./json-printer.ts";
import { JsonReader } from "./json-reader.ts";
import { stringifyJson } from "./json-stringify.ts";

/** Speaks the proto3 JSON mapping for the types of one descriptor set. */
export interface DynamicJson {
  /** The bytes of a message from its JSON. Throws `invalid` with the path of the field that is wrong, `not-found` without the type. */
  parse(typeName: string, text: string): Uint8Array;
  /** Compact JSON of a message: fields by number, defaults and empty lists printed. Throws `protocol` for bytes that are no such message. */
  print(typeName: string, bytes: Uint8Array): string;
  /** The same for one type. */
  message(type: DescMessage): JsonCodec;
  /** The JSON of one field's value, against the bytes of a message, of which only this field is read or written. */
  field(field: DescField): JsonCodec;
}

/** JSON in UTF-8 against the bytes of messages of one type. */
export interface JsonCodec {
  /** Throws `invalid` with the path of the field that is wrong. */
  parse(json: Uint8Array): Uint8Array;
  /** Throws `protocol` for bytes that are no such message. */
  print(bytes: Uint8Array): string;
}

/** `registry` resolves the types, those inside of Anys too. */
export function createDynamicJson(registry: Registry): DynamicJson {
  const plans = new JsonPlans();
  const reader = new JsonReader(plans, registry);
  const printer = new JsonPrinter(plans, registry);

  const typeOf = (name: string) => {
    const type = registry.getMessage(name);
    if (!type) throw new MassaError("not-found", `the function's descriptors have no message ${name}`);
    return type;
  };

  /** Prints from the bytes as they stand, or put in order by the library, or what the library says of them. */
  function printed<T>(type: DescMessage, bytes: Uint8Array, print: Print<T>, byLibrary: (json: JsonValue) => T): T {
    try {
      return (
        unlessOutOfOrder(print, bytes) ??
        unlessOutOfOrder(print, toBinary(type, fromBinary(type, bytes))) ?? {
          printed: byLibrary(toJson(type, fromBinary(type, bytes), { registry, alwaysEmitImplicit: true })),
        }
      ).printed;
    } catch (failure) {
      const { message } = MassaError.from(failure);
      throw new MassaError("protocol", `this ${type.typeName} cannot be printed: ${message}`, { cause: failure });
    }
  }

  function messageCodec(type: DescMessage): JsonCodec {
    const print = (bytes: Uint8Array) => printer.message(type, bytes);
    return {
      parse: (json) => reader.message(type, json),
      print: (bytes) => printed(type, bytes, print, (json) => stringifyJson(json)),
    };
  }

  function fieldCodec(field: DescField): JsonCodec {
    const type = field.parent;
    const isAlone = field.oneof === undefined && plans.of(type).kind === "fields";
    const print = isAlone ? printer.field(field) : outOfOrder;
    const ofWhole = (json: JsonValue) => {
      const value = (json as JsonObject)[field.jsonName];
      return value === undefined ? undefined : stringifyJson(value);
    };
    return {
      parse: (json) => reader.field(field, json),
      print: (bytes) => printed(type, bytes, print, ofWhole) ?? unset(field),
    };
  }

  /** What a field is when nothing set it: a message its defaults, null where that would not be what it is by itself. */
  function unset(field: DescField): string {
    if (!field.message) return zeroOf(plans.of(field.parent).byName.get(field.name)!.value);
    return hasOwnJson(field.message) ? "null" : messageCodec(field.message).print(new Uint8Array(0));
  }

  return {
    parse: (typeName, text) => reader.message(typeOf(typeName), Buffer.from(text)),
    print: (typeName, bytes) => messageCodec(typeOf(typeName)).print(bytes),
    message: messageCodec,
    field: fieldCodec,
  };
}

type Print<T> = (bytes: Uint8Array) => T;

function unlessOutOfOrder<T>(print: Print<T>, bytes: Uint8Array): { readonly printed: T } | undefined {
  try {
    return { printed: print(bytes) };
  } catch (failure) {
    if (failure instanceof OutOfOrder) return undefined;
    throw failure;
  }
}

function outOfOrder(): never {
  throw new OutOfOrder();
}
