import type http2 from "node:http2";
import { create, fromBinary, type MessageInitShape, setExtension, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { entity_key } from "../lib/wire/gen/cloudstate/entity_key_pb.ts";
import { EntitySpecSchema } from "../lib/wire/gen/cloudstate/entity_pb.ts";
import {
  EventSourcedStreamInSchema,
  EventSourcedStreamOutSchema,
} from "../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { ValueEntityStreamInSchema, ValueEntityStreamOutSchema } from "../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { decodeAny, encodeAny } from "../lib/wire/protocol.ts";
import { FrameReader, frameOf } from "../lib/wire/http2-frames.ts";
import { type FakeFunction, headers, ok, openFunction, respond } from "./user-function-harness.ts";

export interface EntityFunctionOptions {
  /** Entity streams that are served at once; further ones are taken and hang until one of those is over. */
  readonly workers?: number;
  /** Streams of one session that the function allows in its settings. */
  readonly streamsMax?: number;
  readonly passivationMs?: number;
}

export interface EntityFunction extends FakeFunction {
  /** What came on the streams of entities, in words: `value a init -`, `events a command 1 Append`. */
  readonly seen: string[];
  /** What the proxy complained of. */
  readonly reports: string[];
  /** Streams of entities that are not over, those that hang included. */
  readonly openStreams: number;
}

/** The methods of both services; each takes `{ id, text }` and answers `{ text }`. */
const methods = { values: ["Set", "Get", "Delete", "Fail"], events: ["Append", "Get", "AppendThenFail", "Copy"] };
const textUrl = "t/text";

/** A user function with a value entity (`t.Values`) and an event-sourced one (`t.Events`) that keep a text. */
export async function openEntityFunction(options: EntityFunctionOptions = {}): Promise<EntityFunction> {
  const seen: string[] = [];
  const reports: string[] = [];
  const waiting: (() => void)[] = [];
  let openStreams = 0;
  let free = options.workers ?? Number.POSITIVE_INFINITY;

  function serve(stream: http2.ServerHttp2Stream, run: () => void): void {
    let isServed = free > 0;
    const start = () => {
      isServed = true;
      run();
    };
    openStreams += 1;
    if (free > 0) {
      free -= 1;
      run();
    } else waiting.push(start);
    stream.on("close", () => {
      openStreams -= 1;
      if (!isServed) {
        waiting.splice(waiting.indexOf(start), 1);
        return;
      }
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    });
  }

  const served = await openFunction(
    (stream, request) => {
      switch (request[":path"]) {
        case "/cloudstate.EntityDiscovery/discover":
          respond(stream, [specOf(options.passivationMs)]);
          return;
        case "/cloudstate.EntityDiscovery/reportError":
          collect(stream, (bytes) => reports.push(Buffer.from(bytes).toString("latin1")));
          respond(stream, [new Uint8Array(0)]);
          return;
        case "/cloudstate.valueentity.ValueEntity/handle":
          serve(stream, () => valueEntity(stream, seen));
          return;
        case "/cloudstate.eventsourced.EventSourced/handle":
          serve(stream, () => eventSourced(stream, seen));
          return;
        default:
          stream.respond({ ...headers, "grpc-status": "12" }, { endStream: true });
      }
    },
    options.streamsMax === undefined ? {} : { settings: { maxConcurrentStreams: options.streamsMax } },
  );
  return {
    port: served.port,
    sessions: served.sessions,
    get accepted() {
      return served.accepted;
    },
    get openStreams() {
      return openStreams;
    },
    seen,
    reports,
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

function valueEntity(stream: http2.ServerHttp2Stream, seen: string[]): void {
  let state: string | undefined;
  let who = "";
  converse(stream, (bytes) => {
    const { message } = fromBinary(ValueEntityStreamInSchema, bytes);
    if (message.case === "init") {
      who = message.value.entityId;
      state = message.value.state?.value && Buffer.from(message.value.state.value.value).toString();
      seen.push(`value ${who} init ${state ?? "-"}`);
      return undefined;
    }
    const command = message.value!;
    seen.push(`value ${who} command ${command.id} ${command.name}`);
    const text = inputText(command.payload!.value);
    const change = command.name === "Set" ? "update" : command.name === "Delete" ? "delete" : undefined;
    if (change) state = change === "update" ? text : undefined;
    const stateAction = change && {
      action:
        change === "update"
          ? { case: change, value: { value: { typeUrl: textUrl, value: Buffer.from(text) } } }
          : { case: change, value: {} },
    };
    return toBinary(
      ValueEntityStreamOutSchema,
      create(ValueEntityStreamOutSchema, {
        message: {
          case: "reply",
          value: {
            commandId: command.id,
            clientAction: answerOf(command.name === "Fail" ? "no" : undefined, state ?? ""),
            ...(stateAction && { stateAction }),
          },
        },
      } as MessageInitShape<typeof ValueEntityStreamOutSchema>),
    );
  });
}

function eventSourced(stream: http2.ServerHttp2Stream, seen: string[]): void {
  let state = "";
  let sequence = 0;
  let who = "";
  converse(stream, (bytes) => {
    const { message } = fromBinary(EventSourcedStreamInSchema, bytes);
    switch (message.case) {
      case "init": {
        const { entityId, snapshot } = message.value;
        who = entityId;
        state = Buffer.from(snapshot?.snapshot?.value ?? []).toString();
        sequence = Number(snapshot?.snapshotSequence ?? 0n);
        seen.push(`events ${who} init ${snapshot ? `${sequence} ${state}` : "-"}`);
        return undefined;
      }
      case "event":
        sequence += 1;
        if (BigInt(sequence) !== message.value.sequence) seen.push(`events ${who} GAP`);
        state += Buffer.from(message.value.payload!.value).toString();
        return undefined;
      case "command":
      case undefined:
    }
    const command = message.value!;
    seen.push(`events ${who} command ${command.id} ${command.name} after ${sequence}`);
    const text = inputText(command.payload!.value);
    const emitted = command.name.startsWith("Append") ? [{ typeUrl: textUrl, value: Buffer.from(text) }] : [];
    for (const { value } of emitted) state += value.toString();
    sequence += emitted.length;
    const failed = command.name === "AppendThenFail";
    return toBinary(
      EventSourcedStreamOutSchema,
      create(EventSourcedStreamOutSchema, {
        message: {
          case: "reply",
          value: {
            commandId: command.id,
            clientAction:
              command.name === "Copy"
                ? {
                    action: {
                      case: "forward",
                      value: {
                        serviceName: "t.Values",
                        commandName: "Set",
                        payload: { typeUrl: inputUrl, value: input(who, state) },
                      },
                    },
                  }
                : answerOf(failed ? "no" : undefined, state, failed),
            events: failed ? [] : emitted,
            ...(emitted.length > 0 &&
              sequence % 5 === 0 && { snapshot: { typeUrl: textUrl, value: Buffer.from(state) } }),
          },
        },
      }),
    );
  });
}

const inputUrl = "type.googleapis.com/t.In";

function answerOf(failure: string | undefined, text: string, restart = false): object {
  if (failure !== undefined) return { action: { case: "failure", value: { description: failure, restart } } };
  const payload = {
    typeUrl: "type.googleapis.com/t.Out",
    value: encodeAny({ typeUrl: text, value: new Uint8Array(0) }),
  };
  return { action: { case: "reply", value: { payload } } };
}

/** `t.In` has a text in field 1 and bytes in field 2, just as Any: its codec serves for both. */
export function input(id: string, text = ""): Uint8Array {
  return encodeAny({ typeUrl: id, value: Buffer.from(text) });
}

function inputText(bytes: Uint8Array): string {
  return Buffer.from(decodeAny(bytes).value).toString();
}

/** The text of a `t.Out`. */
export function outputText(bytes: Uint8Array): string {
  return decodeAny(bytes).typeUrl;
}

/** Answers every message, and completes the stream once the proxy has half-closed it. */
function converse(stream: http2.ServerHttp2Stream, answer: (bytes: Uint8Array) => Uint8Array | undefined): void {
  stream.respond(headers, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(ok));
  collect(stream, (bytes) => {
    const said = answer(bytes);
    if (said) stream.write(frameOf(said));
  });
  stream.on("end", () => stream.end());
}

function collect(stream: http2.ServerHttp2Stream, take: (bytes: Uint8Array) => void): void {
  const reader = new FrameReader(1 << 24);
  stream.on("data", (chunk: Buffer) => {
    reader.push(chunk);
    for (let bytes = reader.next(); bytes; bytes = reader.next()) take(bytes);
  });
}

function specOf(passivationMs: number | undefined): Uint8Array {
  const field = (name: string, number: number, type: Type) => ({
    name,
    number,
    type,
    label: Label.OPTIONAL,
    jsonName: name,
  });
  const options = create(FieldOptionsSchema);
  setExtension(options, entity_key, true);
  const service = (name: string, names: readonly string[]) => ({
    name,
    method: names.map((method) => ({ name: method, inputType: ".t.In", outputType: ".t.Out" })),
  });
  const file = create(FileDescriptorProtoSchema, {
    name: "t.proto",
    package: "t",
    syntax: "proto3",
    messageType: [
      { name: "In", field: [{ ...field("id", 1, Type.STRING), options }, field("text", 2, Type.BYTES)] },
      { name: "Out", field: [field("text", 1, Type.STRING)] },
    ],
    service: [service("Values", methods.values), service("Events", methods.events)],
  });
  const passivationStrategy =
    passivationMs === undefined
      ? {}
      : { passivationStrategy: { strategy: { case: "timeout" as const, value: { timeout: BigInt(passivationMs) } } } };
  const entity = (entityType: string, serviceName: string, persistenceId: string) => ({
    entityType,
    serviceName,
    persistenceId,
    ...passivationStrategy,
  });
  return toBinary(
    EntitySpecSchema,
    create(EntitySpecSchema, {
      proto: toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] })),
      entities: [
        entity("cloudstate.valueentity.ValueEntity", "t.Values", "values"),
        entity("cloudstate.eventsourced.EventSourced", "t.Events", "events"),
      ],
      serviceInfo: { serviceName: "entities", protocolMajorVersion: 0, protocolMinorVersion: 2 },
    }),
  );
}
