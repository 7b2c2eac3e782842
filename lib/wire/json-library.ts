import { type DescMessage, fromJson, type JsonValue, type Registry, toBinary } from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";
import { JsonMistake } from "./json-mistake.ts";

/**
 * The bytes of a message whose JSON the library knows to read. Throws a `JsonMistake` for what is no such JSON, also where
 * the library is not as strict; `shown` is the JSON as an error shows it.
 */
export function readByLibrary(type: DescMessage, json: JsonValue, registry: Registry, shown: () => string): Uint8Array {
  if (forms[type.typeName]?.(json) === false) throw new JsonMistake(`expected ${type.typeName}, got ${shown()}`);
  try {
    return toBinary(type, fromJson(type, json, { registry }));
  } catch (failure) {
    throw new JsonMistake(MassaError.from(failure).message.replace(/^cannot decode message \S+ from JSON: /, ""));
  }
}

/** How many messages deep a google.protobuf.Value of this JSON is: a list adds its own, an object that and one for each entry. */
export function messagesOf(json: JsonValue): number {
  if (typeof json !== "object" || json === null) return 1;
  const isList = Array.isArray(json);
  let inner = 0;
  for (const item of isList ? json : Object.values(json)) inner = Math.max(inner, messagesOf(item));
  return (isList ? 2 : 3) + inner;
}

/** By type, whether JSON is of the form that it has; what remains to be said against it the library says in words. */
const forms: Readonly<Record<string, ((json: JsonValue) => boolean) | undefined>> = {
  "google.protobuf.Timestamp": (json) => typeof json === "string" && isTime(json),
  "google.protobuf.Duration": (json) => typeof json === "string" && isDuration(json),
  "google.protobuf.FieldMask": (json) => typeof json === "string",
  "google.protobuf.Struct": (json) => typeof json === "object" && json !== null && !Array.isArray(json),
  "google.protobuf.ListValue": (json) => Array.isArray(json),
};

const time = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** The library takes 30 February for 1 March, and 24 o'clock for the next day's first hour; all else it refuses itself. */
function isTime(text: string): boolean {
  const [, year = 0, month = 0, day = 0, hour = 24] = time.exec(text)?.map(Number) ?? [];
  return hour < 24 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate() && !Number.isNaN(Date.parse(text));
}

const duration = /^(-?\d+)(\.\d{1,9})?s$/;
const durationSecondsMax = 315_576_000_000;

function isDuration(text: string): boolean {
  return Math.abs(Number(duration.exec(text)?.[1] ?? NaN)) <= durationSecondsMax;
}
