import { ProtobufReader } from "./protobuf-reader.ts";

/**
 * A message with its fields in the order of their numbers, as protobuf's encoders write them: who compares bytes finds the
 * same for the same values. Fields of one number keep their order; of those that `isSingle` says occur once only the last
 * is kept, which is the one that counts. The bytes given, when there is nothing to do.
 */
export function inFieldOrder(message: Uint8Array, isSingle: (number: number) => boolean = () => false): Uint8Array {
  const reader = new ProtobufReader(message, "message", "internal");
  const parts: { readonly number: number; readonly start: number; readonly end: number }[] = [];
  let before = 0;
  let isOrdered = true;
  for (let start = reader.at, number = reader.field(); number !== 0; start = reader.at, number = reader.field()) {
    reader.skip();
    if (number < before || (number === before && isSingle(number))) isOrdered = false;
    before = number;
    parts.push({ number, start, end: reader.at });
  }
  if (isOrdered) return message;
  parts.sort((left, right) => left.number - right.number);
  const kept = parts.filter(({ number }, index) => parts[index + 1]?.number !== number || !isSingle(number));
  return Buffer.concat(kept.map(({ start, end }) => message.subarray(start, end)));
}
