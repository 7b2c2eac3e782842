import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import {
  decodeCrdtStreamOut,
  encodeCrdtCommand,
  encodeCrdtDelete,
  encodeCrdtDelta,
  encodeCrdtInit,
  encodeCrdtStreamCancelled,
} from "../lib/wire/crdt-protocol.ts";
import { ActionCommandSchema, ActionResponseSchema } from "../lib/wire/gen/cloudstate/action_pb.ts";
import { CrdtDeltaSchema, CrdtStreamInSchema, CrdtStreamOutSchema } from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import { MetadataSchema, ReplySchema } from "../lib/wire/gen/cloudstate/entity_pb.ts";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  decodeActionResponse,
  decodeAny,
  decodeMetadata,
  decodeReply,
  encodeActionCommand,
  encodeAny,
  encodeMetadata,
  encodeReply,
} from "../lib/wire/protocol.ts";
import {
  actionResponses,
  bytes,
  crdtStreamOuts,
  deltas,
  plainActionResponse,
  plainAny,
  plainDelta,
  plainMetadata,
  plainStreamOut,
  settled,
  text,
} from "./wire-arbitrary.ts";

const anys = fc.record({ typeUrl: text, value: bytes });
const metadata = fc.array(fc.record({ key: text, value: fc.oneof(text, bytes) }), { maxLength: 4 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const same = (got: unknown, wanted: unknown) => assert.deepEqual(settled(got), settled(wanted));

/** The message in a frame, decoded by protobuf-es; its bytes are those that protobuf-es would have written. */
function unframed<D extends DescMessage>(schema: D, frame: Uint8Array): MessageShape<D> {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(frame.byteLength - 5, 1);
  assert.deepEqual(Buffer.from(frame.subarray(0, 5)), prefix);
  return canonical(schema, frame.subarray(5));
}

function canonical<D extends DescMessage>(schema: D, encoded: Uint8Array): MessageShape<D> {
  const message = fromBinary(schema, encoded);
  assert.equal(message.$unknown, undefined);
  assert.deepEqual(Buffer.from(toBinary(schema, message)), Buffer.from(encoded));
  return message;
}

suite("what the proxy sends is what protobuf-es would have sent", () => {
  test("action commands", () => {
    fc.assert(
      fc.property(text, text, maybe(anys), metadata, (service, name, payload, entries) => {
        const message = unframed(ActionCommandSchema, encodeActionCommand(service, name, payload, entries));
        same([message.serviceName, message.name], [service, name]);
        same(plainAny(message.payload), payload);
        assert.equal(message.metadata === undefined, entries.length === 0);
        same(plainMetadata(message.metadata), entries);
      }),
    );
  });

  test("commands of CRDT entities, never with metadata", () => {
    const ids = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.maxSafeNat());
    const commands = fc.record({ entityId: text, id: ids, name: text, payload: maybe(anys), streamed: fc.boolean() });
    fc.assert(
      fc.property(commands, (command) => {
        const { message } = unframed(CrdtStreamInSchema, encodeCrdtCommand(command));
        assert(message.case === "command");
        const { entityId, id, name, payload, streamed } = message.value;
        same({ entityId, id: Number(id), name, payload: plainAny(payload), streamed }, command);
        assert.equal(message.value.metadata, undefined);
      }),
    );
  });

  test("init with and without a delta, deltas of all types, nested", () => {
    fc.assert(
      fc.property(text, text, maybe(deltas), (serviceName, entityId, init) => {
        const delta = init && plainDelta(create(CrdtDeltaSchema, init));
        const { message } = unframed(CrdtStreamInSchema, encodeCrdtInit(serviceName, entityId, delta));
        assert(message.case === "init");
        same([message.value.serviceName, message.value.entityId], [serviceName, entityId]);
        same(message.value.delta && plainDelta(message.value.delta), delta);
        if (!delta) return;
        const change = unframed(CrdtStreamInSchema, encodeCrdtDelta(delta)).message;
        assert(change.case === "delta");
        same(plainDelta(change.value), delta);
      }),
    );
  });

  test("delete and stream cancelled", () => {
    assert.equal(unframed(CrdtStreamInSchema, encodeCrdtDelete()).message.case, "delete");
    fc.assert(
      fc.property(text, fc.maxSafeNat(), (entityId, id) => {
        const { message } = unframed(CrdtStreamInSchema, encodeCrdtStreamCancelled(entityId, id));
        assert(message.case === "streamCancelled");
        same([message.value.entityId, message.value.id], [entityId, BigInt(id)]);
      }),
    );
  });

  test("Any, Metadata and Reply, both ways", () => {
    fc.assert(
      fc.property(maybe(anys), metadata, (payload, entries) => {
        if (payload) {
          same(plainAny(canonical(AnySchema, encodeAny(payload))), payload);
          same(decodeAny(encodeAny(payload)), payload);
        }
        same(plainMetadata(canonical(MetadataSchema, encodeMetadata(entries))), entries);
        same(decodeMetadata(encodeMetadata(entries)), entries);
        const reply = { payload, metadata: entries };
        const generated = canonical(ReplySchema, encodeReply(reply));
        same({ payload: plainAny(generated.payload), metadata: plainMetadata(generated.metadata) }, reply);
        same(decodeReply(encodeReply(reply)), reply);
      }),
    );
  });

  test("messages of many sizes, one after the other, keep apart", () => {
    for (const size of [0, 1, 127, 128, 16_000, 16_384, 16_385, 70_000, 3, 2_097_152, 5]) {
      const value = Buffer.alloc(size, size & 0xff);
      const first = encodeAny({ typeUrl: "t/x", value });
      const second = encodeAny({ typeUrl: "t/y", value: Buffer.alloc(size, 7) });
      same(decodeAny(first), { typeUrl: "t/x", value });
      same(decodeAny(second).typeUrl, "t/y");
    }
  });
});

suite("what the function sends is read as protobuf-es reads it", () => {
  test("action responses", () => {
    fc.assert(
      fc.property(actionResponses, (message) => {
        same(decodeActionResponse(toBinary(ActionResponseSchema, message)), plainActionResponse(message));
      }),
    );
  });

  test("messages on a CRDT stream", () => {
    fc.assert(
      fc.property(crdtStreamOuts, (message) => {
        same(decodeCrdtStreamOut(toBinary(CrdtStreamOutSchema, message)), plainStreamOut(message));
      }),
      { numRuns: 300 },
    );
  });

  test("messages in pieces are merged, of oneofs the last stays", () => {
    fc.assert(
      fc.property(crdtStreamOuts, crdtStreamOuts, (first, second) => {
        const pieces = Buffer.concat([toBinary(CrdtStreamOutSchema, first), toBinary(CrdtStreamOutSchema, second)]);
        same(decodeCrdtStreamOut(pieces), plainStreamOut(fromBinary(CrdtStreamOutSchema, pieces)));
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(actionResponses, actionResponses, (first, second) => {
        const pieces = Buffer.concat([toBinary(ActionResponseSchema, first), toBinary(ActionResponseSchema, second)]);
        same(decodeActionResponse(pieces), plainActionResponse(fromBinary(ActionResponseSchema, pieces)));
      }),
    );
  });

  test("payloads are slices of what was received", () => {
    const received = encodeReply({ payload: { typeUrl: "t/x", value: Buffer.from("payload") }, metadata: [] });
    assert.equal(decodeReply(received).payload?.value.buffer, received.buffer);
  });
});

/** Damage that leaves much of a message as it was. */
const damaged = (messages: fc.Arbitrary<Uint8Array>) =>
  fc
    .tuple(
      messages,
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      fc.boolean(),
    )
    .map(([message, changes, cut, shorter]) => {
      const copy = Uint8Array.from(message);
      for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
      return shorter && copy.length > 0 ? copy.subarray(0, cut % copy.length) : copy;
    });

suite("bytes that lie", () => {
  const hostile: readonly [string, fc.Arbitrary<Uint8Array>][] = [
    ["random", fc.uint8Array({ maxLength: 64 })],
    [
      "small numbers",
      fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 40 }).map((list) => Uint8Array.from(list)),
    ],
    ["damaged responses", damaged(actionResponses.map((message) => toBinary(ActionResponseSchema, message)))],
    ["damaged stream messages", damaged(crdtStreamOuts.map((message) => toBinary(CrdtStreamOutSchema, message)))],
  ];
  for (const [title, messages] of hostile) {
    test(`${title}: refused with a protocol error, or read as protobuf-es reads them`, () => {
      fc.assert(
        fc.property(messages, (message) => {
          agrees(
            () => decodeActionResponse(message),
            () => plainActionResponse(fromBinary(ActionResponseSchema, message)),
          );
          agrees(
            () => decodeCrdtStreamOut(message),
            () => plainStreamOut(fromBinary(CrdtStreamOutSchema, message)),
          );
        }),
        { numRuns: 500 },
      );
    });
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
});
