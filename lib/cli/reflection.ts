import { create, createFileRegistry, fromBinary, toBinary, type FileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema, type FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { status, type Client, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import { MassaError } from "../core/errors.ts";
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../wire/gen/grpc/reflection/v1/reflection_pb.ts";
import { completeJsonNames } from "../wire/json-names.ts";

type Question = ServerReflectionRequest["messageRequest"];
type Answer = ServerReflectionResponse["messageResponse"];

/** What a server says of its own services. */
export interface Reflection {
  listServices(): Promise<readonly string[]>;
  /** The types of the file that declares `symbol` and of all that it imports. */
  registryOf(symbol: string): Promise<FileRegistry>;
  close(): void;
}

const filesMax = 10_000;

/** Asks by `grpc.reflection.v1`, or by v1alpha where the server has only that. */
export async function openReflection(client: Client): Promise<Reflection> {
  const newer = openVersion(client, "v1");
  try {
    return reflectionOf(newer, await services(newer));
  } catch (failure) {
    if ((failure as Partial<ServiceError>).code !== status.UNIMPLEMENTED) throw failure;
    const older = openVersion(client, "v1alpha");
    return reflectionOf(older, await services(older));
  }
}

interface Conversation {
  ask(question: Question): Promise<Answer>;
  close(): void;
}

/** Both versions have the same messages. One question at a time is out. */
function openVersion(client: Client, version: "v1" | "v1alpha"): Conversation {
  const stream: ClientDuplexStream<ServerReflectionRequest, ServerReflectionResponse> = client.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    (request) => Buffer.from(toBinary(ServerReflectionRequestSchema, request)),
    (bytes) => fromBinary(ServerReflectionResponseSchema, bytes),
  );
  const answers = stream[Symbol.asyncIterator]() as AsyncIterator<ServerReflectionResponse>;
  return {
    async ask(messageRequest) {
      stream.write(create(ServerReflectionRequestSchema, { messageRequest }));
      const next = await answers.next();
      if (next.done) throw new MassaError("protocol", "the server ended its reflection stream without an answer");
      const { messageResponse } = next.value;
      if (messageResponse.case !== "errorResponse") return messageResponse;
      throw MassaError.fromGrpc(messageResponse.value.errorCode, messageResponse.value.errorMessage);
    },
    close: () => stream.end(),
  };
}

async function services(conversation: Conversation): Promise<readonly string[]> {
  const answer = await conversation.ask({ case: "listServices", value: "*" });
  if (answer.case !== "listServicesResponse") throw unexpected("the list of services", answer);
  return answer.value.service.map(({ name }) => name);
}

function reflectionOf(conversation: Conversation, listed: readonly string[]): Reflection {
  return {
    listServices: async () => listed,
    async registryOf(symbol) {
      const roots = await files(conversation, { case: "fileContainingSymbol", value: symbol });
      if (roots.length === 0) throw new MassaError("not-found", `the server does not know ${symbol}`);
      return createFileRegistry(create(FileDescriptorSetSchema, { file: await closure(conversation, roots) }));
    },
    close: () => conversation.close(),
  };
}

async function files(conversation: Conversation, question: Question): Promise<readonly FileDescriptorProto[]> {
  const answer = await conversation.ask(question);
  if (answer.case !== "fileDescriptorResponse") throw unexpected("a file", answer);
  const found = answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  found.forEach(completeJsonNames);
  return found;
}

/** The files and all that they import, each after its imports. */
async function closure(
  conversation: Conversation,
  roots: readonly FileDescriptorProto[],
): Promise<FileDescriptorProto[]> {
  const known = new Map(roots.map((file) => [file.name, file]));
  for (const file of known.values()) {
    for (const name of file.dependency.filter((wanted) => !known.has(wanted))) {
      const found = await files(conversation, { case: "fileByFilename", value: name });
      for (const more of found) if (!known.has(more.name)) known.set(more.name, more);
      if (!known.has(name)) throw new MassaError("not-found", `the server lacks ${name}, which ${file.name} imports`);
      if (known.size > filesMax) throw new MassaError("exhausted", `the server has more than ${filesMax} files`);
    }
  }
  const ordered = new Set<FileDescriptorProto>();
  const visit = (file: FileDescriptorProto, path: readonly string[]) => {
    if (path.includes(file.name)) throw new MassaError("protocol", `files import each other: ${path.join(", ")}`);
    for (const name of file.dependency) visit(known.get(name)!, [...path, file.name]);
    ordered.add(file);
  };
  for (const file of known.values()) if (!ordered.has(file)) visit(file, []);
  return [...ordered];
}

function unexpected(what: string, answer: Answer): MassaError {
  return new MassaError("protocol", `the server was asked for ${what} and answered ${answer.case ?? "nothing"}`);
}
