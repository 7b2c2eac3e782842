import type { MassaError } from "../core/errors.ts";
import type { HeaderBlock } from "../wire/http2.ts";

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds of a `grpc-timeout` header; undefined when it is malformed. */
export function timeoutMsOf(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  return match ? Number(match[1]) * unitMs[match[2]!]! : undefined;
}

/** The trailers of a failed call. */
export function trailersOf(error: MassaError): HeaderBlock {
  return { "grpc-status": String(error.grpcStatus), "grpc-message": percentEncoded(error.message) };
}

/** Clients take 8 KiB of headers in all, unless they are told to take more: a longer message is cut, and ends in `…`. */
const messageBytesMax = 6 * 1024;
const ellipsis = "%E2%80%A6";

/** `grpc-message`: printable ASCII but `%` stays, all else is percent-encoded UTF-8, and so are spaces at the ends: HTTP/2 refuses them. */
function percentEncoded(text: string): string {
  if (text.length <= messageBytesMax && /^(?! )[\x20-\x24\x26-\x7e]*(?<! )$/.test(text)) return text;
  let encoded = "";
  let whole = 0;
  for (const character of text) {
    encoded += plain.test(character) ? character : hexOf(character);
    if (encoded.length <= messageBytesMax - ellipsis.length) whole = encoded.length;
    else if (encoded.length > messageBytesMax) return `${encoded.slice(0, whole).replace(/^ /, "%20")}${ellipsis}`;
  }
  return encoded.replace(/^ | $/g, "%20");
}

const plain = /^[\x20-\x24\x26-\x7e]$/;

function hexOf(character: string): string {
  return Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
}
