import type { AnyValue } from "../wire/protocol.ts";
import { decodeValueStreamOut, encodeValueCommand, type ValueReply } from "../wire/value-protocol.ts";
import type { SerialRules, Verdict } from "./serial-kind.ts";

/** What a value entity's reply stores; without a value it deletes. */
export interface ValueChange {
  readonly value: AnyValue | undefined;
}

const answer = { type: "answer" } as const;
const failure = "Unexpected Value entity failure";

/** Value entities: a reply replaces the whole value or deletes it. A failure's `restart` means nothing to them. */
export const valueRules: SerialRules<ValueReply, ValueChange> = {
  dialect: { path: "/cloudstate.valueentity.ValueEntity/handle", decode: decodeValueStreamOut },
  texts: {
    failure,
    reply: "Unexpected Value entity reply",
    message: failure,
    termination: "Unexpected Value entity termination",
    recovery: failure,
    terminated: "Value entity terminated",
  },
  command: encodeValueCommand,
  judge({ stateAction }): Verdict<ValueChange> {
    if (stateAction === undefined) return answer;
    switch (stateAction.type) {
      case "update":
        if (stateAction.value === undefined) return { type: "refuse", reason: "an update without a value" };
        return { type: "store", change: { value: stateAction.value } };
      case "delete":
        return { type: "store", change: { value: undefined } };
      case "neither":
        return { type: "refuse", reason: "a state action that is neither update nor delete" };
    }
  },
};
