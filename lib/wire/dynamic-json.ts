import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Registry,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";

/** Speaks the proto3 JSON mapping for the types of one descriptor set. */
export interface DynamicJson {
  /** The bytes of a message from its JSON. Throws `invalid` with the path of the field that is wrong, `not-found` without the type. */
  parse(typeName: string, text: string): Uint8Array;
  /** Compact JSON of a message: fields by number, defaults and empty lists printed. Throws `protocol` for bytes that are no such message. */
  print(typeName: string, bytes: Uint8Array): string;
}

/** `registry` resolves the types, those inside of Anys too. */
export function createDynamicJson(registry: Registry): DynamicJson {
  const typeOf = (name: string) => {
    const type = registry.getMessage(name);
    if (!type) throw new MassaError("not-found", `the function's descriptors have no message ${name}`);
    return type;
  };

  return {
    parse(typeName, text) {
      const type = typeOf(typeName);
      const json = parseText(text);
      try {
        return toBinary(type, fromJson(type, json, { registry }));
      } catch (failure) {
        const { path, reason } = locate(type, json, registry) ?? { path: "", reason: reasonOf(failure) };
        throw new MassaError("invalid", path === "" ? reason : `${path}: ${reason}`, { cause: failure });
      }
    },
    print(typeName, bytes) {
      const type = typeOf(typeName);
      try {
        return JSON.stringify(toJson(type, fromBinary(type, bytes), { registry, alwaysEmitImplicit: true }));
      } catch (failure) {
        throw new MassaError("protocol", `this ${typeName} cannot be printed: ${reasonOf(failure)}`, {
          cause: failure,
        });
      }
    },
  };
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/** Whole numbers that a double cannot hold stay text, which is what 64-bit fields take. */
const exactly: Reviver = (_, value, { source }) =>
  typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source)
    ? source
    : value;

function parseText(text: string): JsonValue {
  const parse = JSON.parse as (text: string, reviver?: Reviver) => JsonValue;
  try {
    return /\d{16}/.test(text) ? parse(text, exactly) : parse(text);
  } catch (failure) {
    throw new MassaError("invalid", `not JSON: ${MassaError.from(failure).message}`, { cause: failure });
  }
}

/** Where in a document a mistake is: `lines[2].price`, and what is wrong there. */
interface Mistake {
  readonly path: string;
  readonly reason: string;
}

/** A mistake below this depth is told by the path to it. */
const depthMax = 32;

/** Finds the innermost value that alone cannot be parsed. Undefined when each can, so that they contradict each other. */
function locate(type: DescMessage, json: JsonValue, registry: Registry, depth = 0): Mistake | undefined {
  if (depth >= depthMax || !isObject(json) || type.typeName.startsWith("google.protobuf.")) return undefined;
  for (const [key, value] of Object.entries(json)) {
    const field = type.fields.find(({ jsonName, name }) => jsonName === key || name === key);
    if (!field) {
      if (key.startsWith("[") || failureOf(type, { [key]: value }, registry) === undefined) continue;
      return { path: key, reason: `${type.typeName} has no such field` };
    }
    const reason = failureOf(type, { [key]: value }, registry);
    if (reason !== undefined) return within(type, field, key, value, registry, depth) ?? { path: key, reason };
  }
  return undefined;
}

function within(
  type: DescMessage,
  field: DescField,
  key: string,
  value: JsonValue,
  registry: Registry,
  depth: number,
): Mistake | undefined {
  for (const [step, part, alone] of partsOf(field, key, value)) {
    const reason = failureOf(type, { [key]: alone }, registry);
    if (reason === undefined) continue;
    const inner = field.message && locate(field.message, part, registry, depth + 1);
    return inner ? { path: `${step}.${inner.path}`, reason: inner.reason } : { path: step, reason };
  }
  return undefined;
}

/** The parts of a field's value: how each is called, what it is, and the value that the field would have with it alone. */
function partsOf(field: DescField, key: string, value: JsonValue): (readonly [string, JsonValue, JsonValue])[] {
  if (field.fieldKind === "list" && Array.isArray(value)) {
    return value.map((item, index) => [`${key}[${index}]`, item, [item]] as const);
  }
  if (field.fieldKind === "map" && isObject(value)) {
    return Object.entries(value).map(
      ([name, item]) => [`${key}[${JSON.stringify(name)}]`, item, { [name]: item }] as const,
    );
  }
  return [[key, value, value]];
}

function failureOf(type: DescMessage, json: JsonValue, registry: Registry): string | undefined {
  try {
    fromJson(type, json, { registry });
    return undefined;
  } catch (failure) {
    return reasonOf(failure);
  }
}

/** What protobuf-es says, without the names that the path says better. */
function reasonOf(failure: unknown): string {
  return MassaError.from(failure).message.replace(/^cannot (decode|encode) (field|message) \S+ (from|to) JSON: /, "");
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
