import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { ActionResponseSchema } from "../lib/wire/gen/cloudstate/action_pb.ts";
import {
  CrdtClock,
  CrdtWriteConsistency,
  type CrdtDelta as GeneratedDelta,
  type CrdtDeltaSchema,
  type CrdtStateAction as GeneratedStateAction,
  CrdtStreamOutSchema,
} from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import type {
  ClientAction as GeneratedClientAction,
  Metadata,
  SideEffect as GeneratedSideEffect,
} from "../lib/wire/gen/cloudstate/entity_pb.ts";
import { EventSourcedStreamOutSchema } from "../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import {
  type ValueEntityAction as GeneratedValueAction,
  ValueEntityStreamOutSchema,
} from "../lib/wire/gen/cloudstate/value_entity_pb.ts";
import type { CrdtDelta } from "../lib/wire/crdt-delta.ts";
import type { CrdtStateAction, CrdtStreamOut, WriteConsistency } from "../lib/wire/crdt-protocol.ts";
import type { EventSourcedStreamOut } from "../lib/wire/event-sourced-protocol.ts";
import type { ValueAction, ValueStreamOut } from "../lib/wire/value-protocol.ts";
import type { ActionResponse, AnyValue, ClientAction, MetadataEntry, SideEffect } from "../lib/wire/protocol.ts";

/** Messages as protobuf-es makes them, and what this project's own codec should say about each. */

export const bytes = fc.uint8Array({ maxLength: 200 });
export const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "grapheme", maxLength: 80 }),
  fc.constant(""),
);
const id = fc.oneof(
  fc.bigInt({ min: 0n, max: 200n }),
  fc.bigInt({ min: BigInt(Number.MIN_SAFE_INTEGER), max: BigInt(Number.MAX_SAFE_INTEGER) }),
);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const any = fc.record({
  typeUrl: fc.oneof(fc.constantFrom("type.googleapis.com/a.B", "p.cloudstate.io/string", ""), text),
  value: bytes,
});
const payload = optional(any).map((value) => value && { payload: value });

const metadata = fc.record({
  entries: fc.array(
    fc.record({
      key: text,
      value: fc.oneof(
        text.map((value) => ({ case: "stringValue" as const, value })),
        bytes.map((value) => ({ case: "bytesValue" as const, value })),
        fc.constant({ case: undefined }),
      ),
    }),
    { maxLength: 3 },
  ),
});
const withMetadata = optional(metadata).map((value) => value && { metadata: value });
const parts = fc.tuple(payload, withMetadata).map(([some, more]) => ({ ...some, ...more }));
const target = fc
  .tuple(fc.record({ serviceName: text, commandName: text }), parts)
  .map(([names, rest]) => ({ ...names, ...rest }));
const effects = fc.array(
  fc.tuple(target, fc.boolean()).map(([to, synchronous]) => ({ ...to, synchronous })),
  { maxLength: 3 },
);
const reply = parts;
const failure = fc.record({ commandId: id, description: text, restart: fc.boolean() });
const answer = fc.oneof(
  reply.map((value) => ({ case: "reply" as const, value })),
  target.map((value) => ({ case: "forward" as const, value })),
  failure.map((value) => ({ case: "failure" as const, value })),
  fc.constant({ case: undefined }),
);
const clientAction = optional(answer.map((action) => ({ action })));

export const actionResponses = fc
  .record({ response: answer, sideEffects: effects })
  .map((init) => create(ActionResponseSchema, init));

const anys = fc.array(any, { maxLength: 3 });
const { delta } = fc.letrec<{ delta: MessageInitShape<typeof CrdtDeltaSchema> }>((tie) => {
  const keyed = fc.array(fc.record({ key: any, delta: tie("delta") }), { maxLength: 2 });
  const leaves = [
    fc
      .bigInt({ min: 0n, max: (1n << 64n) - 1n })
      .map((increment) => ({ case: "gcounter" as const, value: { increment } })),
    fc
      .bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })
      .map((change) => ({ case: "pncounter" as const, value: { change } })),
    anys.map((added) => ({ case: "gset" as const, value: { added } })),
    fc
      .record({ cleared: fc.boolean(), removed: anys, added: anys })
      .map((value) => ({ case: "orset" as const, value })),
    fc
      .tuple(
        fc.record({
          clock: fc.constantFrom(...[0, 1, 2, 3]),
          customClockValue: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
        }),
        optional(any),
      )
      .map(([stamp, value]) => ({ case: "lwwregister" as const, value: value ? { ...stamp, value } : stamp })),
    fc.boolean().map((value) => ({ case: "flag" as const, value: { value } })),
    fc
      .record({
        selfVote: fc.boolean(),
        votesFor: fc.integer({ min: -3, max: 0x7fffffff }),
        totalVoters: fc.integer({ min: -0x80000000, max: 100 }),
      })
      .map((value) => ({ case: "vote" as const, value })),
  ];
  const ormap = fc
    .record({ cleared: fc.boolean(), removed: anys, updated: keyed, added: keyed })
    .map((value) => ({ case: "ormap" as const, value }));
  return {
    delta: fc
      .oneof({ depthSize: "small" }, ...leaves, ormap)
      .map((value) => ({ delta: value }) as MessageInitShape<typeof CrdtDeltaSchema>),
  };
});

export const deltas = delta;

const stateAction = fc
  .tuple(
    fc.oneof(
      delta.map((value) => ({ case: "update" as const, value })),
      fc.constant({ case: "delete" as const, value: {} }),
      fc.constant({ case: undefined }),
    ),
    // 7 is of a later protocol.
    fc.constantFrom(...[0, 1, 2, 7]),
  )
  .map(([action, writeConsistency]) => ({ action, writeConsistency }));

const withParts = <T extends object>(head: fc.Arbitrary<T>, action: boolean, state: boolean) =>
  fc
    .tuple(
      head,
      effects,
      action ? clientAction : fc.constant(undefined),
      state ? optional(stateAction) : fc.constant(undefined),
    )
    .map(([init, sideEffects, said, changed]) => ({
      ...init,
      sideEffects,
      ...(said && { clientAction: said }),
      ...(changed && { stateAction: changed }),
    }));

export const crdtStreamOuts = fc
  .oneof(
    withParts(fc.record({ commandId: id, streamed: fc.boolean() }), true, true).map((value) => ({
      case: "reply" as const,
      value,
    })),
    withParts(fc.record({ commandId: id, endStream: fc.boolean() }), true, false).map((value) => ({
      case: "streamedMessage" as const,
      value,
    })),
    withParts(fc.record({ commandId: id }), false, true).map((value) => ({
      case: "streamCancelledResponse" as const,
      value,
    })),
    failure.map((value) => ({ case: "failure" as const, value })),
    fc.constant({ case: undefined }),
  )
  .map((message) => create(CrdtStreamOutSchema, { message } as MessageInitShape<typeof CrdtStreamOutSchema>));

const valueAction = fc
  .oneof(
    optional(any).map((value) => ({ case: "update" as const, value: value ? { value } : {} })),
    fc.constant({ case: "delete" as const, value: {} }),
    fc.constant({ case: undefined }),
  )
  .map((action) => ({ action }));

export const valueStreamOuts = fc
  .oneof(
    fc
      .tuple(withParts(fc.record({ commandId: id }), true, false), optional(valueAction))
      .map(([value, stateAction]) => ({
        case: "reply" as const,
        value: { ...value, ...(stateAction && { stateAction }) },
      })),
    failure.map((value) => ({ case: "failure" as const, value })),
    fc.constant({ case: undefined }),
  )
  .map((message) =>
    create(ValueEntityStreamOutSchema, { message } as MessageInitShape<typeof ValueEntityStreamOutSchema>),
  );

export const eventSourcedStreamOuts = fc
  .oneof(
    fc
      .tuple(withParts(fc.record({ commandId: id, events: anys }), true, false), optional(any))
      .map(([value, snapshot]) => ({ case: "reply" as const, value: { ...value, ...(snapshot && { snapshot }) } })),
    failure.map((value) => ({ case: "failure" as const, value })),
    fc.constant({ case: undefined }),
  )
  .map((message) => create(EventSourcedStreamOutSchema, { message }));

export function plainAny(message: Any | undefined): AnyValue | undefined {
  return message && { typeUrl: message.typeUrl, value: message.value };
}

export function plainMetadata(message: Metadata | undefined): MetadataEntry[] {
  return (message?.entries ?? []).map(({ key, value }) => ({ key, value: value.value ?? "" }));
}

function plainTarget(
  message: GeneratedSideEffect | Extract<GeneratedClientAction["action"], { case: "forward" }>["value"],
) {
  const { serviceName, commandName } = message;
  return { serviceName, commandName, payload: plainAny(message.payload), metadata: plainMetadata(message.metadata) };
}

function plainEffects(messages: readonly GeneratedSideEffect[]): SideEffect[] {
  return messages.map((message) => ({ ...plainTarget(message), synchronous: message.synchronous }));
}

function plainAction(action: GeneratedClientAction["action"]): ClientAction | undefined {
  switch (action.case) {
    case "reply":
      return {
        type: "reply",
        payload: plainAny(action.value.payload),
        metadata: plainMetadata(action.value.metadata),
      };
    case "forward":
      return { type: "forward", ...plainTarget(action.value) };
    case "failure":
      return { type: "failure", ...plainFailure(action.value) };
    case undefined:
      return undefined;
  }
}

function plainFailure({
  commandId,
  description,
  restart,
}: {
  commandId: bigint;
  description: string;
  restart: boolean;
}) {
  return { commandId: idOf(commandId), description, restart };
}

export function plainActionResponse(
  message: typeof actionResponses extends fc.Arbitrary<infer T> ? T : never,
): ActionResponse {
  return { response: plainAction(message.response), sideEffects: plainEffects(message.sideEffects) };
}

const clocks = {
  [CrdtClock.DEFAULT]: "default",
  [CrdtClock.REVERSE]: "reverse",
  [CrdtClock.CUSTOM]: "custom",
  [CrdtClock.CUSTOM_AUTO_INCREMENT]: "custom-auto-increment",
} as const;
const consistencies: Partial<Record<CrdtWriteConsistency, WriteConsistency>> = {
  [CrdtWriteConsistency.LOCAL]: "local",
  [CrdtWriteConsistency.MAJORITY]: "majority",
  [CrdtWriteConsistency.ALL]: "all",
};

export function plainDelta(message: GeneratedDelta): CrdtDelta {
  const { delta: kind } = message;
  const list = (messages: readonly Any[]) => messages.map((each) => plainAny(each)!);
  switch (kind.case) {
    case "gcounter":
      return { type: "gcounter", increment: kind.value.increment };
    case "pncounter":
      return { type: "pncounter", change: kind.value.change };
    case "gset":
      return { type: "gset", added: list(kind.value.added) };
    case "orset": {
      const { cleared, removed, added } = kind.value;
      return { type: "orset", cleared, removed: list(removed), added: list(added) };
    }
    case "lwwregister":
      return {
        type: "lwwregister",
        value: plainAny(kind.value.value) ?? { typeUrl: "", value: new Uint8Array(0) },
        clock: clocks[kind.value.clock as keyof typeof clocks],
        customClock: kind.value.customClockValue,
      };
    case "flag":
      return { type: "flag", value: kind.value.value };
    case "ormap": {
      const { cleared, removed, updated, added } = kind.value;
      const keyed = (entries: typeof added) =>
        entries.map((entry) => ({ key: plainAny(entry.key)!, operation: plainDelta(entry.delta!) }));
      return { type: "ormap", cleared, removed: list(removed), updated: keyed(updated), added: keyed(added) };
    }
    case "vote": {
      const { selfVote, votesFor, totalVoters } = kind.value;
      return { type: "vote", selfVote, votesFor, totalVoters };
    }
    case undefined:
      throw new Error("a delta without a type");
  }
}

function plainState(message: GeneratedStateAction | undefined): CrdtStateAction | undefined {
  if (!message) return undefined;
  const { action } = message;
  const writeConsistency = consistencies[message.writeConsistency] ?? "local";
  switch (action.case) {
    case "update":
      return { action: { type: "update", operation: plainDelta(action.value) }, writeConsistency };
    case "delete":
      return { action: { type: "delete" }, writeConsistency };
    case undefined:
      return { action: undefined, writeConsistency };
  }
}

export function plainStreamOut({
  message,
}: typeof crdtStreamOuts extends fc.Arbitrary<infer T> ? T : never): CrdtStreamOut {
  switch (message.case) {
    case "reply": {
      const { commandId, clientAction: said, sideEffects, stateAction: state, streamed } = message.value;
      return {
        type: "reply",
        commandId: idOf(commandId),
        clientAction: said && plainAction(said.action),
        sideEffects: plainEffects(sideEffects),
        stateAction: plainState(state),
        streamed,
      };
    }
    case "streamedMessage": {
      const { commandId, clientAction: said, sideEffects, endStream } = message.value;
      return {
        type: "streamed-message",
        commandId: idOf(commandId),
        clientAction: said && plainAction(said.action),
        sideEffects: plainEffects(sideEffects),
        endStream,
      };
    }
    case "streamCancelledResponse": {
      const { commandId, sideEffects, stateAction: state } = message.value;
      return {
        type: "stream-cancelled-response",
        commandId: idOf(commandId),
        sideEffects: plainEffects(sideEffects),
        stateAction: plainState(state),
      };
    }
    case "failure":
      return { type: "failure", ...plainFailure(message.value) };
    case undefined:
      return { type: "empty" };
  }
}

function plainValueAction(message: GeneratedValueAction | undefined): ValueAction | undefined {
  switch (message?.action.case) {
    case "update":
      return { type: "update", value: plainAny(message.action.value.value) };
    case "delete":
      return { type: "delete" };
    case undefined:
      return message && { type: "neither" };
  }
}

export function plainValueOut({
  message,
}: typeof valueStreamOuts extends fc.Arbitrary<infer T> ? T : never): ValueStreamOut {
  switch (message.case) {
    case "reply": {
      const { commandId, clientAction: said, sideEffects, stateAction: state } = message.value;
      return {
        type: "reply",
        commandId: idOf(commandId),
        clientAction: said && plainAction(said.action),
        sideEffects: plainEffects(sideEffects),
        stateAction: plainValueAction(state),
      };
    }
    case "failure":
      return { type: "failure", ...plainFailure(message.value) };
    case undefined:
      return { type: "empty" };
  }
}

export function plainEventSourcedOut({
  message,
}: typeof eventSourcedStreamOuts extends fc.Arbitrary<infer T> ? T : never): EventSourcedStreamOut {
  switch (message.case) {
    case "reply": {
      const { commandId, clientAction: said, sideEffects, events, snapshot } = message.value;
      return {
        type: "reply",
        commandId: idOf(commandId),
        clientAction: said && plainAction(said.action),
        sideEffects: plainEffects(sideEffects),
        events: events.map((event) => plainAny(event)!),
        snapshot: plainAny(snapshot),
      };
    }
    case "failure":
      return { type: "failure", ...plainFailure(message.value) };
    case undefined:
      return { type: "empty" };
  }
}

/** The same value with every byte array a plain one, so that a slice of a Buffer equals a Uint8Array. */
export function settled(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(settled);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, settled(each)]));
}

/** Ids of commands are small numbers; what is beyond the exact ones is nobody's. */
function idOf(commandId: bigint): number {
  const number = Number(commandId);
  return Number.isSafeInteger(number) ? number : -1;
}
