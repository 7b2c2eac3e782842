import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { CrdtClock, type CrdtDeltaSchema } from "../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { RegisterClockType, type RequestActionSchema, type StateSchema, type UpdateSchema } from "./gen/tck/crdt_pb.ts";

export type Delta = MessageInitShape<typeof CrdtDeltaSchema>;
export type State = MessageInitShape<typeof StateSchema>;
export type Update = MessageInitShape<typeof UpdateSchema>;
export type Action = MessageInitShape<typeof RequestActionSchema>;

/** A string as `p.cloudstate.io/string`, written by hand: it must not come from the code that is judged. */
export function element(text: string): Any {
  const bytes = Buffer.from(text);
  const value = bytes.length === 0 ? bytes : Buffer.concat([Buffer.of(0x0a, bytes.length), bytes]);
  return create(AnySchema, { typeUrl: "p.cloudstate.io/string", value: new Uint8Array(value) });
}

const elements = (texts: readonly string[]): Any[] => texts.map(element);

/** What a request asks for. */
export const ask = {
  gcounter: (increment: bigint): Update => ({ update: { case: "gcounter", value: { increment } } }),
  pncounter: (change: bigint): Update => ({ update: { case: "pncounter", value: { change } } }),
  gset: (add: string): Update => ({ update: { case: "gset", value: { add } } }),
  add: (value: string): Update => ({ update: { case: "orset", value: { action: { case: "add", value } } } }),
  remove: (value: string): Update => ({ update: { case: "orset", value: { action: { case: "remove", value } } } }),
  clear: { update: { case: "orset", value: { action: { case: "clear", value: true } } } } as Update,
  lwwregister: (value: string, clockType?: RegisterClockType, customClockValue = 0n): Update => ({
    update: {
      case: "lwwregister",
      value: { value, ...(clockType !== undefined && { clock: { clockType, customClockValue } }) },
    },
  }),
  flag: { update: { case: "flag", value: {} } } as Update,
  mapAdd: (value: string): Update => ({ update: { case: "ormap", value: { action: { case: "add", value } } } }),
  mapUpdate: (key: string, update: Update): Update => ({
    update: { case: "ormap", value: { action: { case: "update", value: { key, update } } } },
  }),
  mapRemove: (value: string): Update => ({ update: { case: "ormap", value: { action: { case: "remove", value } } } }),
  mapClear: { update: { case: "ormap", value: { action: { case: "clear", value: true } } } } as Update,
  vote: (selfVote: boolean): Update => ({ update: { case: "vote", value: { selfVote } } }),
} as const;

export const clockTypes = RegisterClockType;

/** An update as an action. */
export const update = (value: Update): Action => ({ action: { case: "update", value } });
export const erase: Action = { action: { case: "delete", value: {} } };
export const forwardTo = (id: string): Action => ({ action: { case: "forward", value: { id } } });
export const fail = (message: string): Action => ({ action: { case: "fail", value: { message } } });
export const effectTo = (id: string, synchronous = false): Action => ({
  action: { case: "effect", value: { id, synchronous } },
});

/** States as the model answers them. */
export const state = {
  gcounter: (value: bigint): State => ({ value: { case: "gcounter", value: { value } } }),
  pncounter: (value: bigint): State => ({ value: { case: "pncounter", value: { value } } }),
  gset: (...texts: string[]): State => ({ value: { case: "gset", value: { elements: texts } } }),
  orset: (...texts: string[]): State => ({ value: { case: "orset", value: { elements: texts } } }),
  lwwregister: (value: string): State => ({ value: { case: "lwwregister", value: { value } } }),
  flag: (value: boolean): State => ({ value: { case: "flag", value: { value } } }),
  ormap: (entries: Record<string, State>): State => ({
    value: { case: "ormap", value: { entries: Object.entries(entries).map(([key, value]) => ({ key, value })) } },
  }),
  vote: (selfVote: boolean, votesFor: number, totalVoters: number): State => ({
    value: { case: "vote", value: { selfVote, votesFor, totalVoters } },
  }),
} as const;

interface MapChange {
  readonly cleared?: boolean;
  readonly removed?: readonly string[];
  readonly updated?: Record<string, Delta>;
  readonly added?: Record<string, Delta>;
}

const entriesOf = (entries: Record<string, Delta> = {}) =>
  Object.entries(entries).map(([key, delta]) => ({ key: element(key), delta }));

/** Deltas as they travel. */
export const change = {
  gcounter: (increment: bigint): Delta => ({ delta: { case: "gcounter", value: { increment } } }),
  pncounter: (by: bigint): Delta => ({ delta: { case: "pncounter", value: { change: by } } }),
  gset: (...added: string[]): Delta => ({ delta: { case: "gset", value: { added: elements(added) } } }),
  orset: ({ cleared = false, removed = [], added = [] }: SetChange): Delta => ({
    delta: { case: "orset", value: { cleared, removed: elements(removed), added: elements(added) } },
  }),
  lwwregister: (value: string, clock: CrdtClock = CrdtClock.DEFAULT, customClockValue = 0n): Delta => ({
    delta: { case: "lwwregister", value: { value: element(value), clock, customClockValue } },
  }),
  flag: (value: boolean): Delta => ({ delta: { case: "flag", value: { value } } }),
  ormap: ({ cleared = false, removed = [], updated, added }: MapChange): Delta => ({
    delta: {
      case: "ormap",
      value: { cleared, removed: elements(removed), updated: entriesOf(updated), added: entriesOf(added) },
    },
  }),
  vote: (selfVote: boolean, votesFor = 0, totalVoters = 0): Delta => ({
    delta: { case: "vote", value: { selfVote, votesFor, totalVoters } },
  }),
} as const;

interface SetChange {
  readonly cleared?: boolean;
  readonly removed?: readonly string[];
  readonly added?: readonly string[];
}
