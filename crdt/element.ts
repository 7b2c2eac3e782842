import { latin1 } from "./bytes.ts";

/** A payload as the protocol carries it: its type URL and its exact bytes. */
export interface Payload {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/**
 * The identity of an Any as a string: `<length of url>:<url>:<bytes as latin1>`. Equal exactly when URL and bytes are equal
 * (nothing is normalised), and `anyOf` gives both back.
 */
export function elementOf(typeUrl: string, value: Uint8Array): string {
  return `${typeUrl.length}:${typeUrl}:${latin1(value)}`;
}

/** The Any that `elementOf` named. Throws a `RangeError` for a string that it cannot have made. */
export function anyOf(element: string): Payload {
  const colon = element.indexOf(":");
  const length = Number(element.slice(0, colon));
  const start = colon + 1 + length + 1;
  if (colon < 1 || !/^\d+$/.test(element.slice(0, colon)) || element[start - 1] !== ":") {
    throw new RangeError(`not the identity of an Any: ${JSON.stringify(element.slice(0, 80))}`);
  }
  const value = new Uint8Array(element.length - start);
  for (let at = 0; at < value.length; at += 1) {
    const code = element.charCodeAt(start + at);
    if (code > 0xff) throw new RangeError(`the identity of an Any holds the character ${code} where a byte belongs`);
    value[at] = code;
  }
  return { typeUrl: element.slice(colon + 1, start - 1), value };
}
