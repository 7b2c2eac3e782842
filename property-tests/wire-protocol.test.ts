import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import type { CrdtDelta } from "../lib/wire/crdt-delta.ts";
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
      const entries = ["a", "b", "c"].map((key) => ({ key, value: Buffer.from(`${key}${"x".repeat(size)}${key}`) }));
      same(decodeMetadata(encodeMetadata(entries)), entries);
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

  test("names that resemble each other are told apart", () => {
    const digits = Array.from({ length: 250 }, (_, at) => (at * at) % 7).join("");
    for (let length = 0; length <= digits.length; length += 1) {
      const any = { typeUrl: digits.slice(0, length), value: Buffer.from([1]) };
      assert.equal(decodeAny(encodeAny(any)).typeUrl, any.typeUrl);
      assert.equal(decodeAny(encodeAny({ ...any, typeUrl: `${any.typeUrl}é` })).typeUrl, `${any.typeUrl}é`);
    }
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
  const refused: readonly (readonly [title: string, hex: string, reason: RegExp])[] = [
    ["a map entry without a key", "0a0c2a0a0a083a06220412023200", /a map entry without a key/],
    ["a map entry without a delta", "0a0a2a080a063a0422020a00", /a map entry without a delta/],
    ["a delta of no type", "0a042a020a00", /Empty delta/],
    ["a delete whose content is no message", "0a062a0412020000", /field number 0/],
    ["a known field of another wire type", "0a020900", /wire type 1 instead of 0/],
    ["a field that ends beyond its message", "0a0212050a00", /ends beyond its message/],
    ["a string that is no UTF-8", "22031201ff", /no UTF-8/],
  ];
  for (const [title, hex, message] of refused) {
    test(`${title} is refused by name`, () => {
      assert.throws(() => decodeCrdtStreamOut(Buffer.from(hex, "hex")), { code: "protocol", message });
    });
  }

  test("maps in maps are read as deep as any function needs, and refused beyond that", () => {
    const nested = (depth: number): Uint8Array => {
      let delta: CrdtDelta = { type: "flag", value: true };
      for (let level = 0; level < depth; level += 1) {
        delta = { type: "ormap", cleared: false, removed: [], updated: [], added: [{ key: any, operation: delta }] };
      }
      const update = Uint8Array.from(encodeCrdtDelta(delta).subarray(5));
      update[0] = 0x0a; // As field 1 of a state action instead of field 2 of a stream message.
      const reply = new BinaryWriter().tag(5, WireType.LengthDelimited).bytes(update).finish();
      return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(reply).finish();
    };
    const any = { typeUrl: "t/k", value: Buffer.from("k") };
    assert.equal(decodeCrdtStreamOut(nested(40)).type, "reply");
    assert.throws(() => decodeCrdtStreamOut(nested(90)), { code: "protocol", message: /maps more than 64 deep/ });
  });

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
