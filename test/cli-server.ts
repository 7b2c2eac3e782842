import {
  create,
  fromBinary,
  toBinary,
  type DescFile,
  type DescMessage,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, type DescriptorProto } from "@bufbuild/protobuf/wkt";
import {
  Server,
  ServerCredentials,
  status,
  type Metadata,
  type MethodDefinition,
  type ServerDuplexStream,
} from "@grpc/grpc-js";
import { promisify } from "node:util";
import {
  ServerReflection,
  ServerReflectionResponseSchema,
  type ServerReflectionRequest,
} from "../lib/wire/gen/grpc/reflection/v1/reflection_pb.ts";
import { ActionTckModel, file_tck_action, ResponseSchema, type Request } from "./conformance/gen/tck/action_pb.ts";

export interface ReflectedServer extends AsyncDisposable {
  readonly address: string;
}

interface Reflected {
  readonly versions: readonly ("v1" | "v1alpha")[];
  /** Leaves the names in JSON out of the descriptors, as some servers do. */
  readonly withoutJsonNames?: boolean;
  /** The name of a file that the server does not give. */
  readonly withoutFile?: string;
}

type Stream = ServerDuplexStream<Message, Message>;

/** A gRPC server on grpc-js, with the model service of the action cases and server reflection. */
export async function openReflectedServer(reflected: Reflected): Promise<ReflectedServer> {
  const server = new Server();
  const { input, output } = ActionTckModel.method.processUnary;
  for (const { name } of ActionTckModel.methods) {
    addStream(server, ActionTckModel.typeName, name, input, output, (stream) => model(name, stream));
  }
  for (const version of reflected.versions) {
    const { input: question, output: answer } = ServerReflection.method.serverReflectionInfo;
    const service = `grpc.reflection.${version}.ServerReflection`;
    addStream(server, service, "ServerReflectionInfo", question, answer, (stream) => {
      stream.on("data", (asked: ServerReflectionRequest) => stream.write(answerTo(asked, service, reflected)));
      stream.on("end", () => stream.end());
    });
  }
  const port = await promisify(server.bindAsync.bind(server))("127.0.0.1:0", ServerCredentials.createInsecure());
  return { address: `127.0.0.1:${port}`, [Symbol.asyncDispose]: async () => server.forceShutdown() };
}

/** On the wire all four kinds of call are a stream each way. */
function addStream(
  server: Server,
  service: string,
  name: string,
  input: DescMessage,
  output: DescMessage,
  handle: (stream: Stream) => void,
): void {
  const definition: MethodDefinition<Message, Message> = {
    path: `/${service}/${name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message) => Buffer.from(toBinary(input, message)),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(output, message)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
  server.addService({ [name]: definition }, { [name]: handle });
}

/** Says back what it was asked to say: whole, by group, by request; `fail` fails, and a header `x-echo` is said first. */
function model(method: string, stream: Stream): void {
  const heard: string[] = [];
  const respond = (message: string) => stream.write(create(ResponseSchema, { message }));
  const echo = headerOf(stream.metadata, "x-echo");
  if (echo !== undefined) heard.push(echo);
  stream.on("data", (message: Message) => {
    const steps = (message as Request).groups.flatMap((group) => group.steps.map(({ step }) => step));
    for (const step of steps) {
      if (step.case === "fail") {
        stream.emit("error", { code: status.FAILED_PRECONDITION, details: step.value.message });
        return;
      }
      if (step.case !== "reply") continue;
      if (method === "ProcessStreamed" || method === "ProcessStreamedOut") respond(step.value.message);
      else heard.push(step.value.message);
    }
  });
  stream.on("end", () => {
    if (!method.startsWith("ProcessStreamed") || method === "ProcessStreamedIn") respond(heard.join("+"));
    stream.end();
  });
}

function headerOf(metadata: Metadata, name: string): string | undefined {
  return metadata.get(name)[0]?.toString();
}

function answerTo(asked: ServerReflectionRequest, ownName: string, reflected: Reflected): Message {
  const { messageRequest: question } = asked;
  const files = filesOf(file_tck_action);
  const found =
    question.case === "fileContainingSymbol"
      ? question.value.startsWith("cloudstate.tck.model.action.") &&
        files.find(({ name }) => name === file_tck_action.name)
      : question.case === "fileByFilename" && files.find(({ name }) => `${name}.proto` === question.value);
  const file = found && `${found.name}.proto` !== reflected.withoutFile ? [bytesOf(found, reflected)] : [];
  if (question.case !== "listServices")
    return response(asked, { case: "fileDescriptorResponse", value: { fileDescriptorProto: file } });
  const service = [{ name: ownName }, { name: ActionTckModel.typeName }];
  return response(asked, { case: "listServicesResponse", value: { service } });
}

function response(
  originalRequest: ServerReflectionRequest,
  messageResponse: MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"],
): Message {
  return create(ServerReflectionResponseSchema, { originalRequest, ...(messageResponse && { messageResponse }) });
}

function filesOf(file: DescFile): readonly DescFile[] {
  return [file, ...file.dependencies.flatMap(filesOf)];
}

function bytesOf(file: DescFile, { withoutJsonNames = false }: Reflected): Uint8Array {
  if (!withoutJsonNames) return toBinary(FileDescriptorProtoSchema, file.proto);
  const copy = structuredClone(file.proto);
  const strip = (message: DescriptorProto) => {
    for (const field of message.field) field.jsonName = "";
    message.nestedType.forEach(strip);
  };
  copy.messageType.forEach(strip);
  return toBinary(FileDescriptorProtoSchema, copy);
}
