import type { MassaError } from "../lib/core/errors.ts";
import type { Random } from "../lib/core/world.ts";

/** How a message's work ended: `permanent` when no later attempt can go otherwise. */
export type Outcome =
  | { readonly type: "accepted" }
  | { readonly type: "failed"; readonly error: MassaError }
  | { readonly type: "permanent"; readonly error: MassaError };

/**
 * What is to be done with the message. `held` is a retry that the message is not blamed for; `isDown` if others would fare alike.
 * `restart` is one without end, 3 to 30 s apart. `given-up` acknowledges what was not done.
 */
export type Verdict =
  | { readonly type: "ack" }
  | { readonly type: "retry" }
  | { readonly type: "held"; readonly isDown: boolean }
  | { readonly type: "restart" }
  | { readonly type: "given-up"; readonly cause: string }
  | { readonly type: "dead-letter"; readonly cause: string };

/** How a source has its attempts judged: the one numbered `attempt` (from 1) of at most `attemptsMax`. */
export type Judge = (outcome: Outcome, attempt: number, attemptsMax: number) => Verdict;

/** Judges as for topics: what fails too often is a dead letter. */
export const judge: Judge = (outcome, attempt, attemptsMax) => {
  switch (outcome.type) {
    case "accepted":
      return { type: "ack" };
    case "permanent":
      return { type: "dead-letter", cause: outcome.error.message };
    case "failed":
      // What the function answers counts, whatever its status: or one message could hold up all others for ever.
      return heldBack(outcome.error) ?? blamed(attempt, attemptsMax, "dead-letter", outcome.error.message);
  }
};

/**
 * Judges as for event logs, which have no dead letters (Cloudstate protocol, *Event log source*): a failure that the function
 * replies is acknowledged after its attempts, so that one event cannot block a projection; whatever else goes wrong is tried
 * until it does not.
 */
export const judgeEvent: Judge = (outcome, attempt, attemptsMax) => {
  switch (outcome.type) {
    case "accepted":
      return { type: "ack" };
    case "permanent":
      return { type: "given-up", cause: outcome.error.message };
    case "failed":
      if (outcome.error.isReply) return blamed(attempt, attemptsMax, "given-up", outcome.error.message);
      return heldBack(outcome.error) ?? { type: "restart" };
  }
};

/** Milliseconds to wait after `failures` in a row (from 1): doubles from `minMs` up to `maxMs`. */
export function backoffMs(failures: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30));
}

/** The same for what is begun anew as a whole, as the Cloudstate protocol has it: 3 to 30 s, and up to a fifth more by chance. */
export function restartMs(failures: number, random: Random): number {
  const ms = backoffMs(failures, 3_000, 30_000);
  return ms + random.int(Math.ceil(ms / 5));
}

function heldBack({ code, isAnswer }: MassaError): Verdict | undefined {
  if (isAnswer) return undefined;
  if (code === "exhausted") return { type: "held", isDown: false };
  return code === "unavailable" ? { type: "held", isDown: true } : undefined;
}

function blamed(attempt: number, attemptsMax: number, end: "dead-letter" | "given-up", cause: string): Verdict {
  return attempt >= attemptsMax ? { type: end, cause } : { type: "retry" };
}
