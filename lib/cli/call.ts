import { fromBinary, fromJson, toBinary, toJson, type JsonValue, type Message } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, status, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import { once } from "node:events";
import { MassaError } from "../core/errors.ts";
import { realWorld } from "../core/world.ts";
import { findTarget, listMethods, streamsIn, type CallTarget } from "./call-target.ts";
import { openReflection } from "./reflection.ts";
import type { Surroundings } from "./surroundings.ts";

export interface CallOptions {
  readonly metadata: Metadata;
  /** Until the call must be over; undefined: never. */
  readonly timeoutMs: number | undefined;
}

type CallStream = ClientDuplexStream<Message, Message>;

const messageBytesMax = 64 * 1024 * 1024;

/**
 * Calls `Service/Method` of a server that has reflection: messages as proto3 JSON in, one line of JSON a message out. Without a
 * method it lists what there is. Throws a MassaError with what the server answered, its status kept.
 */
export async function call(
  surroundings: Surroundings,
  address: string,
  target: string | undefined,
  messages: readonly string[],
  options: CallOptions,
): Promise<void> {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": messageBytesMax,
    "grpc.max_send_message_length": messageBytesMax,
  });
  try {
    const reflection = await openReflection(client);
    if (target?.includes("/")) {
      const found = await findTarget(reflection, target);
      reflection.close();
      await exchange(surroundings, client, found, messages, options);
    } else {
      for (const line of await listMethods(reflection, target)) await surroundings.print(line);
      reflection.close();
    }
  } catch (failure) {
    throw readable(failure, address);
  } finally {
    client.close();
  }
}

/** `NOT_FOUND: no such thing`: how a failed call is told. */
export function spell({ grpcStatus, message }: MassaError): string {
  return `${status[grpcStatus] ?? `status ${grpcStatus}`}: ${message}`;
}

async function exchange(
  { input, print }: Surroundings,
  client: Client,
  { method, registry }: CallTarget,
  messages: readonly string[],
  { metadata, timeoutMs }: CallOptions,
): Promise<void> {
  const piped = messages.length === 1 && messages[0] === "-";
  if (!streamsIn(method) && messages.length > 1)
    throw new MassaError("invalid", `${method.name} takes one message, and ${messages.length} were given`);
  const given = messages.length === 0 && !streamsIn(method) ? ["{}"] : messages;
  const texts = piped || given.length === 0 ? lines(input) : given;
  const stream: CallStream = client.makeBidiStreamRequest(
    `/${method.parent.typeName}/${method.name}`,
    (message: Message) => Buffer.from(toBinary(method.input, message)),
    (bytes) => fromBinary(method.output, bytes) as Message,
    metadata,
    timeoutMs === undefined ? {} : { deadline: new Date(realWorld.clock.now() + timeoutMs) },
  );
  let refusal: unknown;
  const parse = (text: string) => fromJson(method.input, jsonOf(text), { registry });
  const sending = send(stream, streamsIn(method) ? texts : single(texts, method.name), parse).catch(
    (failure: unknown) => {
      refusal = failure;
      stream.cancel();
    },
  );
  try {
    for await (const message of stream as AsyncIterable<Message>) {
      await print(JSON.stringify(toJson(method.output, message, { registry, alwaysEmitImplicit: true })));
    }
  } catch (failure) {
    throw refusal ?? failure;
  }
  // A server that ends before it has read all has said what it wanted to say.
  if (!piped) await sending;
}

async function send(
  stream: CallStream,
  texts: Iterable<string> | AsyncIterable<string>,
  parse: (text: string) => Message,
): Promise<void> {
  const over = new AbortController();
  stream.once("close", () => over.abort());
  for await (const text of texts) {
    if (over.signal.aborted) return;
    // Aborted: the server has ended the call, and what it said is read elsewhere.
    if (!stream.write(parse(text))) await once(stream, "drain", { signal: over.signal }).catch(() => undefined);
  }
  stream.end();
}

async function* single(texts: Iterable<string> | AsyncIterable<string>, method: string): AsyncGenerator<string> {
  let first: string | undefined;
  for await (const text of texts) {
    if (first !== undefined)
      throw new MassaError("invalid", `${method} takes one message, and standard input has more than one line`);
    first = text;
  }
  yield first ?? "{}";
}

async function* lines(chunks: AsyncIterable<Buffer | string>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const parts = (rest + (typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true }))).split("\n");
    rest = parts.pop()!;
    if (rest.length > messageBytesMax)
      throw new MassaError("exhausted", `a line is over ${messageBytesMax} characters`);
    yield* parts.filter((part) => part.trim() !== "");
  }
  if (rest.trim() !== "") yield rest;
}

function jsonOf(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (failure) {
    const reason = failure instanceof Error ? failure.message : String(failure);
    throw new MassaError("invalid", `the message is no JSON: ${reason}`, { cause: failure });
  }
}

/** Throws `invalid` for an address that a client would complete with a port of its own. */
export function checkAddress(address: string): void {
  if (/:\d+$|^unix:/.test(address)) return;
  throw new MassaError("invalid", `${address} names no port; write it as ${address}:9001`);
}

/** From `name: value` each; values of names that end in `-bin` are base64. Throws `invalid` for what is no header. */
export function metadataOf(headers: readonly string[]): Metadata {
  const metadata = new Metadata();
  for (const header of headers) {
    const colon = header.indexOf(":");
    if (colon < 1) throw new MassaError("invalid", `"${header}" is no header; write it as 'name: value'`);
    const name = header.slice(0, colon).trim();
    const value = header.slice(colon + 1).trim();
    try {
      metadata.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
    } catch (failure) {
      throw MassaError.from(failure, "invalid");
    }
  }
  return metadata;
}

function readable(failure: unknown, address: string): MassaError {
  const { code, details } = failure as Partial<ServiceError>;
  if (typeof code !== "number") return MassaError.from(failure, "invalid");
  if (code === status.UNIMPLEMENTED && /reflection/i.test(details ?? ""))
    return MassaError.fromGrpc(code, `${address} has no server reflection: ${details ?? ""}`);
  return MassaError.fromGrpc(code, (details ?? "").replace(/ Resolution note: $/, ""));
}
