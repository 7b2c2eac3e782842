import { MassaError, type Code } from "../core/errors.ts";
import { errorCode, type HeaderList } from "../wire/http2.ts";

/** What a gRPC server says in its headers or trailers. */
export interface GrpcStatus {
  readonly status: number;
  readonly message: string;
}

/** Reads `grpc-status` and `grpc-message`; undefined when there is no status. */
export function statusIn(headers: HeaderList): GrpcStatus | undefined {
  let status: number | undefined;
  let message = "";
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] === "grpc-status") status = Number(headers[at + 1]);
    else if (headers[at] === "grpc-message") message = percentDecoded(headers[at + 1]!);
  }
  if (status === undefined) return undefined;
  return Number.isInteger(status)
    ? { status, message }
    : { status: 2, message: `grpc-status is no number; ${message}` };
}

/** The first value of a header, names being lower-case. */
export function valueOf(headers: HeaderList, name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
  return undefined;
}

function percentDecoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // Not encoded as gRPC says: better raw than lost.
  }
}

const codeOfHttp: Readonly<Record<string, Code>> = {
  400: "internal",
  401: "unauthenticated",
  403: "denied",
  404: "unimplemented",
  429: "unavailable",
  502: "unavailable",
  503: "unavailable",
  504: "unavailable",
};

/** What an HTTP status other than 200 means for a gRPC call (gRPC, http-grpc-status-mapping.md). */
export function errorOfHttp(httpStatus: string | undefined, address: string): MassaError {
  const message = `the user function at ${address} answered HTTP status ${httpStatus ?? "none"}`;
  return new MassaError(codeOfHttp[httpStatus ?? ""] ?? "failed", message);
}

const codeOfReset: ReadonlyMap<number, Code> = new Map([
  [errorCode.connectionLost, "unavailable"],
  [errorCode.refusedStream, "unavailable"],
  [errorCode.cancel, "canceled"],
  [errorCode.enhanceYourCalm, "exhausted"],
  [errorCode.inadequateSecurity, "denied"],
]);

/** What the end of a stream without a status means (gRPC, PROTOCOL-HTTP2.md, *Errors*). */
export function errorOfReset(code: number, address: string): MassaError {
  const what =
    code === errorCode.connectionLost
      ? `the connection to the user function at ${address} was lost`
      : code === errorCode.none
        ? `the user function at ${address} ended a stream without a status`
        : `the user function at ${address} reset a stream with HTTP/2 error ${code}`;
  return new MassaError(codeOfReset.get(code) ?? "internal", what);
}
