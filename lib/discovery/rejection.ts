import { MassaError } from "../core/errors.ts";

/** The function declares what this proxy cannot serve; the message is for its author, through `reportError`. */
export class Rejection extends Error {
  /** What protobuf-es finds wrong in a set: a type that no file declares, an option whose bytes are no message, and the like. */
  static from(failure: unknown): Rejection {
    if (failure instanceof Rejection) return failure;
    const reason = MassaError.from(failure).message || "a declaration is malformed";
    return new Rejection(`The descriptor set contradicts itself: ${reason}`);
  }
}
