import type { JsonValue } from "@bufbuild/protobuf";

/** As `JSON.stringify`, but a negative zero keeps its sign: it is a number of its own in a `google.protobuf.Value`. */
export function stringifyJson(value: JsonValue): string {
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(stringifyJson).join(",")}]`;
  const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}:${stringifyJson(member)}`);
  return `{${members.join(",")}}`;
}
