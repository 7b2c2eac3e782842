import { ProtobufReader } from "./protobuf-reader.ts";

/** Of which fields of a message not all that was given counts; fields go by their numbers. */
export interface Rivalry {
  /** Whether only the last value of the field counts. */
  readonly isSingle: (number: number) => boolean;
  /** What stands for the oneof that the field is in; undefined when it is in none. */
  readonly oneofOf: (number: number) => unknown;
}

const noRivalry: Rivalry = { isSingle: () => false, oneofOf: () => undefined };

/**
 * A message with its fields in the order of their numbers, as protobuf's encoders write them: who compares bytes finds the
 * same for the same values. Fields of one number keep their order. What counted as the last one is kept alone, because it
 * would not be the last any more: of a single field its last value, of a oneof the field that was given last. The bytes
 * given, when there is nothing to do.
 */
export function inFieldOrder(message: Uint8Array, { isSingle, oneofOf } = noRivalry): Uint8Array {
  const reader = new ProtobufReader(message, "message", "internal");
  const parts: { readonly number: number; readonly start: number; readonly end: number }[] = [];
  const chosen = new Map<unknown, number>();
  let before = 0;
  let isOrdered = true;
  for (let start = reader.at, number = reader.field(); number !== 0; start = reader.at, number = reader.field()) {
    reader.skip();
    if (number < before || (number === before && isSingle(number))) isOrdered = false;
    before = number;
    parts.push({ number, start, end: reader.at });
    const oneof = oneofOf(number);
    if (oneof === undefined) continue;
    if ((chosen.get(oneof) ?? number) !== number) isOrdered = false;
    chosen.set(oneof, number);
  }
  if (isOrdered) return message;
  parts.sort((left, right) => left.number - right.number);
  const kept = parts.filter(({ number }, index) => {
    if (parts[index + 1]?.number === number && isSingle(number)) return false;
    return (chosen.get(oneofOf(number)) ?? number) === number;
  });
  return Buffer.concat(kept.map(({ start, end }) => message.subarray(start, end)));
}
