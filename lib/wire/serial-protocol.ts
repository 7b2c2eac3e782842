import { type EntityCommand, type Failure, readFailure, writeEntityCommand } from "./protocol.ts";
import { ProtobufReader } from "./protobuf-reader.ts";
import { shared } from "./protobuf-writer.ts";

/** What the function says on the stream of a value or event-sourced entity; `empty` is a message in which nothing known is set. */
export type SerialStreamOut<Reply extends { readonly type: "reply" }> =
  Reply | ({ readonly type: "failure" } & Failure) | { readonly type: "empty" };

/** A command as a gRPC frame; `field` is its number in the stream's message. */
export function encodeSerialCommand(field: number, command: EntityCommand): Uint8Array {
  const writer = shared.begin();
  writeEntityCommand(writer, command);
  writer.close(field, 0);
  return writer.finishFrame();
}

/** Reads a reply (field 1) or a failure (field 2). Throws `protocol` for what is no message of that `name`. */
export function decodeSerialStreamOut<Reply extends { readonly type: "reply" }>(
  bytes: Uint8Array,
  name: string,
  noReply: Reply,
  readReply: (reader: ProtobufReader, before: Reply) => Reply,
): SerialStreamOut<Reply> {
  const reader = new ProtobufReader(bytes, name);
  let reply: Reply | undefined;
  let failure: ({ readonly type: "failure" } & Failure) | undefined;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    // Of a oneof what came last counts; parts of the same are one.
    if (field === 1) {
      reply = readReply(reader, reply ?? noReply);
      failure = undefined;
    } else if (field === 2) {
      failure = { type: "failure", ...readFailure(reader, failure) };
      reply = undefined;
    } else reader.skip();
  }
  return reply ?? failure ?? { type: "empty" };
}
