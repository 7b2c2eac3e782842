import type { MassaError } from "../lib/core/errors.ts";

/** How a message's work ended: `permanent` when no later attempt can go otherwise. */
export type Outcome =
  | { readonly type: "accepted" }
  | { readonly type: "failed"; readonly error: MassaError }
  | { readonly type: "permanent"; readonly error: MassaError };

/** What is to be done with the message. `held` is a retry that the message is not blamed for; `isDown` if others would fare alike. */
export type Verdict =
  | { readonly type: "ack" }
  | { readonly type: "retry" }
  | { readonly type: "held"; readonly isDown: boolean }
  | { readonly type: "dead-letter"; readonly cause: string };

/** Judges the attempt numbered `attempt` (from 1) of at most `attemptsMax`. */
export function judge(outcome: Outcome, attempt: number, attemptsMax: number): Verdict {
  switch (outcome.type) {
    case "accepted":
      return { type: "ack" };
    case "permanent":
      return { type: "dead-letter", cause: outcome.error.message };
    case "failed": {
      // What the function answers counts, whatever its status: or one message could hold up all others for ever.
      const { code, isAnswer, message } = outcome.error;
      if (code === "exhausted" && !isAnswer) return { type: "held", isDown: false };
      if (code === "unavailable" && !isAnswer) return { type: "held", isDown: true };
      return attempt >= attemptsMax ? { type: "dead-letter", cause: message } : { type: "retry" };
    }
  }
}

/** Milliseconds to wait after `failures` in a row (from 1): doubles from `minMs` up to `maxMs`. */
export function backoffMs(failures: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30));
}
