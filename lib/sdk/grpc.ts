import { create, type DescMessage, type DescService, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import type { Writable } from "node:stream";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** A service for grpc-js, over messages of protobuf-es. */
export function definitionOf(service: DescService): ServiceDefinition {
  const definition: Record<string, MethodDefinition<Message, Message>> = {};
  for (const method of service.methods) {
    definition[method.localName] = {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: serialize(method.input),
      requestDeserialize: (bytes) => fromBinary(method.input, bytes),
      responseSerialize: serialize(method.output),
      responseDeserialize: (bytes) => fromBinary(method.output, bytes),
      originalName: method.name,
    };
  }
  return definition;
}

/** Where a server writes what it streams. */
export type Sink = Writable & { readonly cancelled: boolean };

/** Writes, and waits while the other side takes no more; what is written to a call that is over is dropped with it. */
export async function send(call: Sink, message: Message): Promise<void> {
  if (call.cancelled || call.destroyed) return;
  if (call.write(message)) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const done = () => {
    for (const name of ["drain", "close", "cancelled"]) call.off(name, done);
    resolve(undefined);
  };
  for (const name of ["drain", "close", "cancelled"]) call.once(name, done);
  await promise;
}

function serialize(schema: DescMessage): (message: Message) => Buffer {
  return (message) => Buffer.from(toBinary(schema, create(schema, message)));
}
