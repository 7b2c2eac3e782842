import {
  decodeEventSourcedStreamOut,
  encodeEventSourcedCommand,
  type EventSourcedReply,
} from "../wire/event-sourced-protocol.ts";
import type { AnyValue } from "../wire/protocol.ts";
import type { SerialRules, Verdict } from "./serial-kind.ts";

/** What an event-sourced entity's reply stores: at least one event, and the state after all of them if it is to be kept. */
export interface EventsChange {
  readonly events: readonly AnyValue[];
  readonly snapshot: AnyValue | undefined;
}

const answer = { type: "answer" } as const;
const restart = { type: "restart" } as const;

/**
 * Event-sourced entities: a reply appends its events, all or none. A snapshot counts only together with events, and of a
 * failure that asks for a restart nothing is stored, because the function's copy holds what the command had emitted.
 */
export const eventSourcedRules: SerialRules<EventSourcedReply, EventsChange> = {
  dialect: { path: "/cloudstate.eventsourced.EventSourced/handle", decode: decodeEventSourcedStreamOut },
  texts: {
    failure: "Unexpected entity failure",
    reply: "Unexpected entity reply",
    message: "Unexpected entity message",
    termination: "Unexpected entity termination",
    recovery: "Error recovering event log",
    terminated: "Entity terminated",
  },
  command: encodeEventSourcedCommand,
  judge(reply): Verdict<EventsChange> {
    if (reply.clientAction?.type === "failure" && reply.clientAction.restart) return restart;
    return reply.events.length === 0 ? answer : { type: "store", change: reply };
  },
};
