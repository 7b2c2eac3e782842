import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ProtobufWriter } from "../lib/wire/protobuf-writer.ts";

/** What the writer begins with; here it has to get more room. */
const scratchBytes = 16 * 1024;

suite("a message that outgrows the writer's first room", () => {
  const fields: Readonly<Record<string, (writer: ProtobufWriter) => void>> = {
    "a tag and a length": (writer) => writer.close(15, 0),
    "a short text": (writer) => writer.text(2, "short"),
    "a text that is not ASCII": (writer) => writer.text(2, "Åkerström, Łódź, 東京"),
    "a long text": (writer) => writer.text(2, "long".repeat(50)),
    "a name": (writer) => writer.name(2, "name"),
    "short bytes": (writer) => writer.bytes(2, Buffer.from([1, 2, 3])),
    "long bytes": (writer) => writer.bytes(2, Buffer.alloc(100, 7)),
    "a truth": (writer) => writer.bool(2, true),
    "a number": (writer) => writer.number(2, 2 ** 40),
    "a negative number": (writer) => writer.int32(2, -5),
    "a number of 64 bits": (writer) => writer.int64(2, -(2n ** 62n)),
  };
  for (const [name, write] of Object.entries(fields)) {
    test(`at any byte of ${name}`, () => {
      const alone = written(0, write);
      for (let filled = scratchBytes - alone.byteLength - 8; filled <= scratchBytes; filled++) {
        const message = written(filled, write);
        const head = message.subarray(0, message.byteLength - filled);
        // But for the length of a field around all of it, the same bytes stand in front.
        if (name !== "a tag and a length") assert.deepEqual(head, alone);
        else assert.deepEqual(new BinaryReader(message).tag(), [15, 2]);
        assert.ok(message.subarray(message.byteLength - filled).every((byte) => byte === 9));
      }
    });
  }

  test("and at any byte of the prefix of its frame", () => {
    for (let filled = scratchBytes - 8; filled <= scratchBytes; filled++) {
      const writer = new ProtobufWriter().begin();
      writer.raw(Buffer.alloc(filled, 9));
      const frame = Buffer.from(writer.finishFrame());
      assert.deepEqual([frame.readUInt8(), frame.readUInt32BE(1), frame.byteLength], [0, filled, filled + 5]);
    }
  });
});

/** A field that a new writer puts in front of `filled` bytes. */
function written(filled: number, write: (writer: ProtobufWriter) => void): Uint8Array {
  const writer = new ProtobufWriter().begin();
  writer.raw(Buffer.alloc(filled, 9));
  write(writer);
  return writer.finish();
}
