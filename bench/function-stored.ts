import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
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

/** Events after which a deposit takes a snapshot, as libraries for functions do by default. */
const snapshotEvery = 100;
/** Events of a fill, and the length of the body of each. */
const fill = { events: 100, body: Buffer.alloc(100, 7) };

interface Command {
  readonly id: number;
  readonly name: string;
  /** The body of the bench.In that it carries. */
  readonly body: Uint8Array;
}

/**
 * An event-sourced account, whose state is how many events there were and which every reply carries. `Deposit` emits one that
 * has the body of the command, and every hundredth time a snapshot; `Keep` one and a snapshot; `Fill` a hundred at once.
 */
export function eventSourced(stream: http2.ServerHttp2Stream): void {
  let events = 0;
  const emitted = ({ name, body }: Command): readonly Uint8Array[] => {
    if (name === "Fill")
      return Array.from({ length: fill.events }, (_, index) => anyOut(events + index + 1, fill.body));
    return name === "Get" ? [] : [anyOut(events + 1, body)];
  };
  converse(stream, (bytes) => {
    const { bytes: alternatives } = fieldsOf(bytes);
    const init = alternatives.get(1);
    const event = alternatives.get(2);
    const command = alternatives.get(3);
    if (init) events = fieldsOf(at(init, 3)).numbers.get(1) ?? 0;
    if (event) events += 1;
    if (!command) return undefined;
    const parsed = commandOf(command);
    const fresh = emitted(parsed);
    events += fresh.length;
    const takesSnapshot = parsed.name === "Keep" || (parsed.name === "Deposit" && events % snapshotEvery === 0);
    return reply(parsed.id, events, (w) => {
      for (const any of fresh) w.tag(4, WireType.LengthDelimited).bytes(any);
      if (takesSnapshot) w.tag(5, WireType.LengthDelimited).bytes(anyOut(events));
    });
  });
}

/** A value entity, whose state is the body of the last `Put` and how many there were; every reply carries the number. */
export function valueEntity(stream: http2.ServerHttp2Stream): void {
  let puts = 0;
  converse(stream, (bytes) => {
    const { bytes: alternatives } = fieldsOf(bytes);
    const init = alternatives.get(1);
    const command = alternatives.get(2);
    if (init) puts = fieldsOf(at(at(at(init, 3), 1), 2)).numbers.get(1) ?? 0;
    if (!command) return undefined;
    const { id, name, body } = commandOf(command);
    if (name !== "Put") return reply(id, puts);
    puts += 1;
    return reply(id, puts, (w) => w.tag(4, WireType.LengthDelimited).bytes(wrapped(1, wrapped(1, anyOut(puts, body)))));
  });
}

/** One stream of an entity: what `hear` returns for a message of the proxy is the answer. */
function converse(stream: http2.ServerHttp2Stream, hear: (bytes: Uint8Array) => Uint8Array | undefined): void {
  stream.respond(headers, withTrailers);
  stream.on(
    "data",
    cutter((bytes) => {
      const answer = hear(bytes);
      if (answer) stream.write(frame(wrapped(1, answer)));
    }),
  );
  stream.on("end", () => stream.end());
}

function commandOf(bytes: Uint8Array): Command {
  const { numbers, bytes: parts } = fieldsOf(bytes);
  return {
    id: numbers.get(2) ?? 0,
    name: Buffer.from(parts.get(3) ?? nothing).toString(),
    body: at(at(parts.get(4) ?? nothing, 2), 2),
  };
}

/** The replies of both kinds begin with the command's id and the client action. */
function reply(id: number, value: number, rest: (writer: BinaryWriter) => void = () => undefined): Uint8Array {
  return message((w) => {
    w.tag(1, WireType.Varint).int64(id);
    w.tag(2, WireType.LengthDelimited).bytes(wrapped(1, wrapped(1, anyOut(value))));
    rest(w);
  });
}
