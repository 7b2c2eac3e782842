import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type http2 from "node:http2";
import {
  anyOut,
  at,
  cutter,
  fieldsOf,
  frame,
  headers,
  message,
  nothing,
  withTrailers,
  wrapped,
} from "./function-wire.ts";

/** One CRDT entity: a GCounter whose value the replies carry. Whoever watches hears of every change. */
export function crdt(stream: http2.ServerHttp2Stream): void {
  let value = 0;
  const watchers = new Set<number>();
  const send = (field: number, bytes: Uint8Array) => stream.write(frame(wrapped(field, bytes)));
  /** CrdtReply and CrdtStreamedMessage begin alike. */
  const answer = (id: number) =>
    new BinaryWriter()
      .tag(1, WireType.Varint)
      .int64(id)
      .tag(2, WireType.LengthDelimited)
      .bytes(wrapped(1, wrapped(1, anyOut(value))));
  const add = (delta: Uint8Array) => {
    value += fieldsOf(at(delta, 1)).numbers.get(1) ?? 0;
    for (const id of watchers) send(2, answer(id).finish());
  };
  stream.respond(headers, withTrailers);
  stream.on(
    "data",
    cutter((bytes) => {
      const { bytes: alternatives } = fieldsOf(bytes);
      const init = alternatives.get(1);
      const delta = alternatives.get(2);
      const command = alternatives.get(4);
      const cancelled = alternatives.get(5);
      if (init) add(at(init, 3));
      if (delta) add(delta);
      if (cancelled) {
        const id = fieldsOf(cancelled).numbers.get(2) ?? 0;
        watchers.delete(id);
        send(
          3,
          message((w) => w.tag(1, WireType.Varint).int64(id)),
        );
      }
      if (!command) return;
      const { numbers, bytes: parts } = fieldsOf(command);
      const id = numbers.get(2) ?? 0;
      const increments = Buffer.from(parts.get(3) ?? nothing).toString() === "Increment";
      if (increments) value += 1;
      const reply = answer(id);
      if (increments) reply.tag(5, WireType.LengthDelimited).bytes(Uint8Array.of(10, 4, 10, 2, 8, 1)); // update: gcounter increment 1
      if (numbers.get(5) === 1) {
        watchers.add(id);
        reply.tag(6, WireType.Varint).bool(true);
      }
      send(1, reply.finish());
      if (increments) for (const watcher of watchers) send(2, answer(watcher).finish());
    }),
  );
  stream.on("end", () => stream.end());
}
