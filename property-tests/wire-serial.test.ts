import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import {
  decodeEventSourcedStreamOut,
  encodeEvent,
  encodeEventSourcedCommand,
  encodeEventSourcedInit,
} from "../lib/wire/event-sourced-protocol.ts";
import {
  EventSourcedStreamInSchema,
  EventSourcedStreamOutSchema,
} from "../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { ValueEntityStreamInSchema, ValueEntityStreamOutSchema } from "../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { decodeValueStreamOut, encodeValueCommand, encodeValueInit } from "../lib/wire/value-protocol.ts";
import {
  bytes,
  eventSourcedStreamOuts,
  plainAny,
  plainEventSourcedOut,
  plainValueOut,
  settled,
  text,
  valueStreamOuts,
} from "./wire-arbitrary.ts";

const anys = fc.record({ typeUrl: text, value: bytes });
const ids = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.maxSafeNat());
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const commands = fc.record({ entityId: text, id: ids, name: text, payload: maybe(anys), streamed: fc.constant(false) });
const same = (got: unknown, wanted: unknown) => assert.deepEqual(settled(got), settled(wanted));

/** The message in a frame, decoded by protobuf-es; its bytes are those that protobuf-es would have written. */
function unframed<D extends DescMessage>(schema: D, frame: Uint8Array): MessageShape<D> {
  assert.deepEqual([frame[0], Buffer.from(frame).readUInt32BE(1)], [0, frame.byteLength - 5]);
  const message = fromBinary(schema, frame.subarray(5));
  assert.equal(message.$unknown, undefined);
  assert.deepEqual(Buffer.from(toBinary(schema, message)), Buffer.from(frame.subarray(5)));
  return message;
}

suite("what the proxy sends to value and event-sourced entities is what protobuf-es would have sent", () => {
  test("init of a value entity, its state always there", () => {
    fc.assert(
      fc.property(text, text, maybe(anys), (serviceName, entityId, value) => {
        const { message } = unframed(ValueEntityStreamInSchema, encodeValueInit(serviceName, entityId, value));
        assert(message.case === "init" && message.value.state !== undefined);
        same([message.value.serviceName, message.value.entityId], [serviceName, entityId]);
        same(plainAny(message.value.state.value), value);
      }),
    );
  });

  test("init of an event-sourced entity, its snapshot absent or with its sequence", () => {
    const snapshots = fc.record({ sequence: ids, payload: anys });
    fc.assert(
      fc.property(text, text, maybe(snapshots), (serviceName, entityId, wanted) => {
        const frame = encodeEventSourcedInit(serviceName, entityId, wanted);
        const { message } = unframed(EventSourcedStreamInSchema, frame);
        assert(message.case === "init");
        same([message.value.serviceName, message.value.entityId], [serviceName, entityId]);
        const { snapshot } = message.value;
        const got = snapshot && { sequence: Number(snapshot.snapshotSequence), payload: plainAny(snapshot.snapshot) };
        same(got, wanted);
      }),
    );
  });

  test("events that are replayed", () => {
    fc.assert(
      fc.property(ids, anys, (sequence, payload) => {
        const { message } = unframed(EventSourcedStreamInSchema, encodeEvent(sequence, payload));
        assert(message.case === "event");
        same([Number(message.value.sequence), plainAny(message.value.payload)], [sequence, payload]);
      }),
    );
  });

  test("commands, never with metadata", () => {
    fc.assert(
      fc.property(commands, (command) => {
        const messages = [
          unframed(ValueEntityStreamInSchema, encodeValueCommand(command)).message,
          unframed(EventSourcedStreamInSchema, encodeEventSourcedCommand(command)).message,
        ];
        for (const message of messages) {
          assert(message.case === "command");
          const { entityId, id, name, payload, streamed, metadata } = message.value;
          same({ entityId, id: Number(id), name, payload: plainAny(payload), streamed }, command);
          assert.equal(metadata, undefined);
        }
      }),
    );
  });
});

suite("what value and event-sourced entities send is read as protobuf-es reads it", () => {
  test("messages of value entities", () => {
    fc.assert(
      fc.property(valueStreamOuts, (message) => {
        same(decodeValueStreamOut(toBinary(ValueEntityStreamOutSchema, message)), plainValueOut(message));
      }),
      { numRuns: 300 },
    );
  });

  test("messages of event-sourced entities", () => {
    fc.assert(
      fc.property(eventSourcedStreamOuts, (message) => {
        const encoded = toBinary(EventSourcedStreamOutSchema, message);
        same(decodeEventSourcedStreamOut(encoded), plainEventSourcedOut(message));
      }),
      { numRuns: 300 },
    );
  });

  test("messages in pieces are merged, of oneofs the last stays", () => {
    fc.assert(
      fc.property(valueStreamOuts, valueStreamOuts, (first, second) => {
        const schema = ValueEntityStreamOutSchema;
        const pieces = Buffer.concat([toBinary(schema, first), toBinary(schema, second)]);
        same(decodeValueStreamOut(pieces), plainValueOut(fromBinary(schema, pieces)));
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(eventSourcedStreamOuts, eventSourcedStreamOuts, (first, second) => {
        const schema = EventSourcedStreamOutSchema;
        const pieces = Buffer.concat([toBinary(schema, first), toBinary(schema, second)]);
        same(decodeEventSourcedStreamOut(pieces), plainEventSourcedOut(fromBinary(schema, pieces)));
      }),
      { numRuns: 300 },
    );
  });

  test("values, events and snapshots are slices of what was received", () => {
    fc.assert(
      fc.property(valueStreamOuts, eventSourcedStreamOuts, (value, events) => {
        const [first, second] = [
          toBinary(ValueEntityStreamOutSchema, value),
          toBinary(EventSourcedStreamOutSchema, events),
        ];
        const one = decodeValueStreamOut(first);
        if (one.type === "reply" && one.stateAction?.type === "update") isSlice(one.stateAction.value?.value, first);
        const other = decodeEventSourcedStreamOut(second);
        if (other.type !== "reply") return;
        for (const event of other.events) isSlice(event.value, second);
        isSlice(other.snapshot?.value, second);
      }),
      { numRuns: 300 },
    );
  });
});

suite("bytes that lie on the streams of value and event-sourced entities", () => {
  const refused: readonly (readonly [title: string, hex: string, reason: RegExp])[] = [
    ["a known field of another wire type", "0a020900", /wire type 1 instead of 0/],
    ["a field that ends beyond its message", "0a0212050a00", /ends beyond its message/],
    ["a string that is no UTF-8", "12031201ff", /no UTF-8/],
    ["a state action or an event whose content is no message", "0a0422020000", /field number 0/],
  ];
  for (const [title, hex, message] of refused) {
    test(`${title}: refused by name`, () => {
      for (const decode of [decodeValueStreamOut, decodeEventSourcedStreamOut]) {
        assert.throws(() => decode(Buffer.from(hex, "hex")), { code: "protocol", message });
      }
    });
  }

  test("a command id beyond 2^53 is nobody's", () => {
    for (const decode of [decodeValueStreamOut, decodeEventSourcedStreamOut]) {
      for (const field of ["0a", "12"]) {
        const message = decode(Buffer.from(`${field}0908ffffffffffffff7f`, "hex"));
        assert.equal("commandId" in message && message.commandId, -1);
      }
    }
  });

  const damaged = (messages: fc.Arbitrary<Uint8Array>) =>
    fc
      .tuple(messages, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }), fc.nat())
      .map(([message, changes, cut]) => {
        const copy = Uint8Array.from(message);
        for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
        return cut % 2 === 0 && copy.length > 0 ? copy.subarray(0, cut % copy.length) : copy;
      });
  const hostile: readonly [string, fc.Arbitrary<Uint8Array>][] = [
    ["random bytes", fc.uint8Array({ maxLength: 64 })],
    [
      "small numbers",
      fc.array(fc.integer({ min: 0, max: 42 }), { maxLength: 40 }).map((list) => Uint8Array.from(list)),
    ],
    [
      "damaged messages of value entities",
      damaged(valueStreamOuts.map((m) => toBinary(ValueEntityStreamOutSchema, m))),
    ],
    [
      "damaged messages of event-sourced ones",
      damaged(eventSourcedStreamOuts.map((m) => toBinary(EventSourcedStreamOutSchema, m))),
    ],
  ];
  for (const [title, messages] of hostile) {
    test(`${title}: refused with a protocol error, or read as protobuf-es reads them`, () => {
      fc.assert(
        fc.property(messages, (message) => {
          agrees(
            () => decodeValueStreamOut(message),
            () => plainValueOut(fromBinary(ValueEntityStreamOutSchema, message)),
          );
          agrees(
            () => decodeEventSourcedStreamOut(message),
            () => plainEventSourcedOut(fromBinary(EventSourcedStreamOutSchema, message)),
          );
        }),
        { numRuns: 500 },
      );
    });
  }
});

function isSlice(slice: Uint8Array | undefined, whole: Uint8Array): void {
  if (slice !== undefined && slice.byteLength > 0) assert.equal(slice.buffer, whole.buffer);
}

function agrees(ours: () => unknown, theirs: () => unknown): void {
  let got: unknown;
  try {
    got = ours();
  } catch (failure) {
    assert(failure instanceof MassaError, String(failure));
    assert.equal(failure.code, "protocol");
    return;
  }
  same(got, theirs());
}
