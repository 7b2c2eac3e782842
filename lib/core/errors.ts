/** Why an operation failed, in terms a caller can act on. `failed` is the user function's own "no". */
export type Code =
  | "canceled"
  | "failed"
  | "invalid"
  | "deadline"
  | "not-found"
  | "denied"
  | "unauthenticated"
  | "conflict"
  | "exhausted"
  | "unimplemented"
  | "unavailable"
  | "protocol"
  | "internal";

/** The one table from codes to the wire: gRPC status number and HTTP status. */
export const statusOf: Readonly<Record<Code, { readonly grpc: number; readonly http: number }>> = {
  canceled: { grpc: 1, http: 499 },
  failed: { grpc: 2, http: 500 },
  invalid: { grpc: 3, http: 400 },
  deadline: { grpc: 4, http: 504 },
  "not-found": { grpc: 5, http: 404 },
  denied: { grpc: 7, http: 403 },
  exhausted: { grpc: 8, http: 429 },
  conflict: { grpc: 10, http: 409 },
  unimplemented: { grpc: 12, http: 501 },
  protocol: { grpc: 13, http: 500 },
  internal: { grpc: 13, http: 500 },
  unavailable: { grpc: 14, http: 503 },
  unauthenticated: { grpc: 16, http: 401 },
};

const codeOfGrpc: Readonly<Record<number, Code>> = {
  1: "canceled",
  2: "failed",
  3: "invalid",
  4: "deadline",
  5: "not-found",
  7: "denied",
  8: "exhausted",
  10: "conflict",
  12: "unimplemented",
  13: "internal",
  14: "unavailable",
  16: "unauthenticated",
};

/** What a failed call says to its caller. The message is safe to show; `cause` is for the log only. */
export class MassaError extends Error {
  override readonly name = "MassaError";
  readonly code: Code;
  /** The gRPC status number, kept as it was when the failure came over gRPC with a status of its own. */
  readonly grpcStatus: number;
  /** Whether the callee answered so over gRPC; otherwise it is this side's own finding, such as a bound of ours. */
  readonly isAnswer: boolean;
  /** Whether the user function said no in a reply of the protocol (a `Failure`), and did not break the call off. */
  readonly isReply: boolean;

  constructor(
    code: Code,
    message: string,
    options?: ErrorOptions & { readonly grpcStatus?: number; readonly isAnswer?: boolean; readonly isReply?: boolean },
  ) {
    super(message, options);
    this.code = code;
    this.grpcStatus = options?.grpcStatus ?? statusOf[code].grpc;
    this.isAnswer = options?.isAnswer ?? false;
    this.isReply = options?.isReply ?? false;
  }

  /** Brings any caught value into the family, once, at the edge where a foreign library was called. */
  static from(reason: unknown, code: Code = "internal"): MassaError {
    if (reason instanceof MassaError) return reason;
    if (!(reason instanceof Error)) return new MassaError(code, String(reason), { cause: reason });
    const known: Code = reason.name === "AbortError" ? "canceled" : reason.name === "TimeoutError" ? "deadline" : code;
    return new MassaError(known, reason.message, { cause: reason });
  }

  /** A status that another gRPC server answered, its number and text kept. */
  static fromGrpc(status: number, message: string): MassaError {
    return new MassaError(codeOfGrpc[status] ?? "internal", message, { grpcStatus: status, isAnswer: true });
  }
}
