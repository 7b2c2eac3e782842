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

/** Trailers of at most so many bytes of text, for a client refuses headers that are too large. */
const messageCharactersMax = 2_048;

/** `grpc-message`: printable ASCII but `%` stays, all else is percent-encoded UTF-8, and so are spaces at the ends: HTTP/2 refuses them. */
function percentEncoded(text: string): string {
  const short = text.length > messageCharactersMax ? `${text.slice(0, messageCharactersMax)}…` : text;
  if (/^(?! )[\x20-\x24\x26-\x7e]*(?<! )$/.test(short)) return short;
  let encoded = "";
  const bytes = Buffer.from(short, "utf8");
  for (const [index, byte] of bytes.entries()) {
    const isInner = index > 0 && index < bytes.length - 1;
    const plain = byte <= 0x7e && byte !== 0x25 && (byte > 0x20 || (byte === 0x20 && isInner));
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
