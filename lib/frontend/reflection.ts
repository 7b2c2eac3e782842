import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { MassaError } from "../core/errors.ts";
import type { Call, Caller, Command } from "../routing/command.ts";
import type { AnyValue } from "../wire/protocol.ts";
import type { Route } from "./call.ts";
import { healthService } from "./health.ts";
import type { Symbols } from "./symbols.ts";

type Version = "v1" | "v1alpha";

const serviceOf = (version: Version) => `grpc.reflection.${version}.ServerReflection`;

/**
 * Server reflection. v1alpha lists itself and the entity services and answers what is unknown with an empty list
 * (as the Cloudstate test kit wants it); v1 also lists health and itself and answers NOT_FOUND, as its protocol says.
 */
export function createReflection(services: Iterable<string>, symbols: Symbols): readonly Route[] {
  const sorted = [...services].sort();
  const listed: Readonly<Record<Version, readonly string[]>> = {
    v1alpha: [serviceOf("v1alpha"), ...sorted],
    v1: [...sorted, healthService, serviceOf("v1"), serviceOf("v1alpha")].sort(),
  };
  return (["v1", "v1alpha"] as const).map((version) => ({
    router: { open: (_command: Command, caller: Caller) => conversation(version, listed[version], symbols, caller) },
    service: serviceOf(version),
    method: "ServerReflectionInfo",
    inputUrl: `type.googleapis.com/grpc.reflection.${version}.ServerReflectionRequest`,
    streamedIn: true,
  }));
}

function conversation(version: Version, listed: readonly string[], symbols: Symbols, caller: Caller): Call {
  let paused = false;
  let refused = false;
  let over = false;
  const typeUrl = `type.googleapis.com/grpc.reflection.${version}.ServerReflectionResponse`;
  const answer = (payload: AnyValue) => {
    let request: Request;
    try {
      request = decodeRequest(payload.value);
    } catch (failure) {
      over = true;
      caller.fail(
        new MassaError("invalid", `the request is no grpc.reflection.${version}.ServerReflectionRequest`, {
          cause: failure,
        }),
      );
      return;
    }
    caller.reply({ typeUrl, value: encodeResponse(version, request, payload.value, listed, symbols) }, []);
  };
  return {
    send(payload) {
      if (!over) answer(payload);
      refused = paused;
      return !paused;
    },
    halfClose() {
      if (!over) caller.end();
      over = true;
    },
    cancel() {
      over = true;
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      if (!refused) return;
      refused = false;
      caller.drain();
    },
  };
}

type Question =
  | { readonly type: "file"; readonly name: string }
  | { readonly type: "symbol"; readonly name: string }
  | { readonly type: "extension"; readonly message: string; readonly number: number }
  | { readonly type: "extensions"; readonly message: string }
  | { readonly type: "list" }
  | { readonly type: "nothing" };

interface Request {
  readonly host: string;
  readonly question: Question;
}

function decodeRequest(bytes: Uint8Array): Request {
  let host = "";
  let question: Question = { type: "nothing" };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    switch (field) {
      case 1:
        host = reader.string();
        break;
      case 3:
        question = { type: "file", name: reader.string() };
        break;
      case 4:
        question = { type: "symbol", name: reader.string() };
        break;
      case 5:
        question = decodeExtension(reader.bytes());
        break;
      case 6:
        question = { type: "extensions", message: reader.string() };
        break;
      case 7:
        reader.string();
        question = { type: "list" };
        break;
      default:
        reader.skip(wireType);
    }
  }
  return { host, question };
}

function decodeExtension(bytes: Uint8Array): Question {
  let message = "";
  let number = 0;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) message = reader.string();
    else if (field === 2) number = reader.int32();
    else reader.skip(wireType);
  }
  return { type: "extension", message, number };
}

function encodeResponse(
  version: Version,
  request: Request,
  original: Uint8Array,
  listed: readonly string[],
  symbols: Symbols,
): Uint8Array {
  const writer = new BinaryWriter();
  if (request.host !== "") writer.tag(1, WireType.LengthDelimited).string(request.host);
  writer.tag(2, WireType.LengthDelimited).bytes(original);
  const { question } = request;
  switch (question.type) {
    case "file":
      file(writer, version, symbols.file(question.name), `file ${question.name}`);
      break;
    case "symbol":
      file(writer, version, symbols.fileOf(question.name), `symbol ${question.name}`);
      break;
    case "extension": {
      const { message, number } = question;
      file(writer, version, symbols.fileOfExtension(message, number), `extension ${number} of ${message}`);
      break;
    }
    case "extensions": {
      const numbers = symbols.extensionsOf(question.message);
      if (!numbers && version === "v1") error(writer, 5, `message ${question.message} is not known here`);
      else extensions(writer, question.message, numbers ?? []);
      break;
    }
    case "list":
      writer.tag(6, WireType.LengthDelimited).fork();
      for (const name of listed)
        writer.tag(1, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(name).join();
      writer.join();
      break;
    case "nothing":
      error(writer, 3, "the request asks for nothing");
      break;
  }
  return writer.finish();
}

function file(writer: BinaryWriter, version: Version, bytes: Uint8Array | undefined, what: string): void {
  if (!bytes && version === "v1") {
    error(writer, 5, `${what} is not known here`);
    return;
  }
  writer.tag(4, WireType.LengthDelimited).fork();
  if (bytes) writer.tag(1, WireType.LengthDelimited).bytes(bytes);
  writer.join();
}

function extensions(writer: BinaryWriter, message: string, numbers: readonly number[]): void {
  writer.tag(5, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(message);
  for (const number of numbers) writer.tag(2, WireType.Varint).int32(number);
  writer.join();
}

function error(writer: BinaryWriter, code: number, message: string): void {
  writer
    .tag(7, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.Varint)
    .int32(code)
    .tag(2, WireType.LengthDelimited)
    .string(message)
    .join();
}
