import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Random } from "../../lib/core/world.ts";
import { chance, pick, several } from "./weapon.ts";

const texts = [
  '""',
  '"x"',
  '"\\u0000"',
  '"\\ud83d\\ude00"',
  '"\\ud800"',
  '"é"',
  '"/"',
  '"__proto__"',
  `"${"long".repeat(5_000)}"`,
];
const whole = [
  "0",
  "1",
  "-1",
  '"7"',
  "1.0",
  "1e3",
  '"-5"',
  "2147483647",
  "-2147483648",
  "4294967295",
  '"9223372036854775807"',
  '"18446744073709551615"',
];
const wrong = [
  "1e400",
  "-0",
  "0.5",
  "01",
  "+1",
  "NaN",
  "1e",
  "-",
  "null",
  "true",
  '""',
  "[]",
  "{}",
  '"x"',
  "9".repeat(400),
  `1${"0".repeat(5_000)}`,
  "\\",
  "'x'",
  "undefined",
];
const real = [...whole, "0.1", "-1.5e-7", "1e308", '"NaN"', '"Infinity"', '"-Infinity"', "1e39"];

/** Documents of well-known types, right and wrong ones. */
const known: Readonly<Record<string, readonly string[]>> = {
  Timestamp: [
    '"2024-02-29T23:59:59.999999999Z"',
    '"0001-01-01T00:00:00Z"',
    '"2024-01-01T00:00:00+01:00"',
    '"2023-02-29T00:00:00Z"',
    '"now"',
  ],
  Duration: ['"1.5s"', '"-0.000000001s"', '"315576000000s"', '"315576000001s"', '"s"', '"1m"'],
  FieldMask: ['"a.b,cD"', '""', '"a,,b"', '"snake_case"'],
  Struct: ['{"a":{"b":[1,null,"x",true,{}]}}', "{}", "[]"],
  Value: ["null", "1", '{"a":[]}', '[[[["x"]]]]', '"NaN"'],
  ListValue: ["[1,[2,[3]]]", "[]", "{}"],
  Any: [
    '{"@type":"type.googleapis.com/shop.Everything","theInt32":1}',
    '{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}',
    '{"@type":"x/none.Such"}',
    "{}",
    '{"@type":5}',
  ],
  Empty: ["{}", '{"a":1}'],
  BytesValue: ['"AAAA"', '"_-8"', '"?"', "null"],
  BoolValue: ["true", "1", "null"],
  Int64Value: whole,
  DoubleValue: real,
  StringValue: texts,
};

/** A document of the type, nearly always a right one while `wildness` (percent) is small. */
export function documentOf(random: Random, type: DescMessage, wildness: number, depth = 0): string {
  const samples = type.typeName.startsWith("google.protobuf.") ? known[type.name] : undefined;
  if (samples) return pick(random, samples);
  const members = several(random, depth === 0 ? 8 : 3, () => {
    const field = pick(random, type.fields);
    const name = chance(random, wildness)
      ? pick(random, ["nothing", "", "$typeName", "constructor"])
      : nameOf(random, field);
    return `${JSON.stringify(name)}:${valueOf(random, field, wildness, depth)}`;
  });
  return `{${members.join(chance(random, wildness) ? ",," : ",")}}`;
}

function nameOf(random: Random, field: DescField): string {
  return chance(random, 70) ? field.jsonName : field.name;
}

function valueOf(random: Random, field: DescField, wildness: number, depth: number): string {
  if (chance(random, wildness)) return pick(random, wrong);
  if (chance(random, 3)) return "null";
  switch (field.fieldKind) {
    case "list":
      return depth > 3 ? "[]" : `[${several(random, 3, () => single(random, field, wildness, depth)).join(",")}]`;
    case "map":
      return depth > 3
        ? "{}"
        : `{${several(random, 3, () => `${keyOf(random, field.mapKey)}:${single(random, field, wildness, depth)}`).join(",")}}`;
    default:
      return depth > 3 && field.fieldKind === "message" ? "{}" : single(random, field, wildness, depth);
  }
}

function single(random: Random, field: DescField, wildness: number, depth: number): string {
  if (field.message) return documentOf(random, field.message, wildness, depth + 1);
  if (field.enum)
    return chance(random, 50)
      ? JSON.stringify(pick(random, field.enum.values).name)
      : pick(random, ["0", "1", "-7", "99", '"NONE_SUCH"']);
  switch (field.scalar) {
    case ScalarType.STRING:
      return pick(random, texts);
    case ScalarType.BYTES:
      return pick(random, ['"AAAA"', '"AA=="', '"_-8"', '"A"', '""', '"A A"']);
    case ScalarType.BOOL:
      return pick(random, ["true", "false"]);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return pick(random, real);
    default:
      return pick(random, chance(random, 90) ? whole.slice(0, 6) : whole);
  }
}

function keyOf(random: Random, key: ScalarType): string {
  if (key === ScalarType.STRING) return pick(random, texts.slice(0, 5));
  if (key === ScalarType.BOOL) return pick(random, ['"true"', '"false"', '"1"']);
  return pick(random, ['"0"', '"1"', '"-1"', '"1e2"', '"x"', "1"]);
}
