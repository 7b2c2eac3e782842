import { type Code, MassaError } from "../core/errors.ts";
import type { Write } from "./embedded-tables.ts";
import type { EntityKey, InboxRecord } from "./store.ts";

/** One question to the tables. */
export type Read =
  | { readonly type: "value"; readonly key: EntityKey }
  | { readonly type: "head"; readonly key: EntityKey }
  | { readonly type: "events"; readonly key: EntityKey; readonly afterSequence: number; readonly max: number }
  | { readonly type: "log"; readonly persistenceId: string; readonly afterOffset: number; readonly max: number }
  | { readonly type: "offset"; readonly consumer: string }
  | { readonly type: "message"; readonly record: InboxRecord };

/** To the thread that has the file. Each is answered by one message; those of one type in their order. */
export type ToThread =
  | { readonly type: "commit"; readonly writes: readonly Write[] }
  | { readonly type: "read"; readonly reads: readonly Read[] }
  | { readonly type: "close" };

export type FromThread =
  | { readonly type: "opened"; readonly path: string }
  | { readonly type: "refused"; readonly error: PlainError }
  /** Why each was a conflict, or undefined when it was written. */
  | { readonly type: "committed"; readonly conflicts: readonly (string | undefined)[]; readonly seconds: number }
  | { readonly type: "failed"; readonly error: PlainError }
  | { readonly type: "answers"; readonly answers: readonly Answer[] }
  | { readonly type: "closed"; readonly error: PlainError | undefined };

/** The rows that were asked for, or why there are none. */
export type Answer = { readonly value: unknown } | { readonly error: PlainError };

/** An error on its way between threads, where classes are lost. */
export interface PlainError {
  readonly code: Code;
  readonly message: string;
  readonly cause: string;
}

export function plainError(error: MassaError): PlainError {
  const { cause } = error;
  return {
    code: error.code,
    message: error.message,
    cause: cause instanceof Error ? (cause.stack ?? "") : String(cause),
  };
}

export function errorOf({ code, message, cause }: PlainError): MassaError {
  return new MassaError(code, message, { cause });
}
