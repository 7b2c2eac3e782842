import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, type Empty, EmptySchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from "@grpc/grpc-js";
import { LevelSchema, PurchaseSchema, Stock } from "../examples/stock/gen/stock_pb.ts";
import { definitionOf } from "../lib/sdk/grpc.ts";
import {
  Crdt,
  type CrdtInit,
  type CrdtStreamIn,
  type CrdtStreamOut,
  CrdtStreamOutSchema,
} from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import {
  type Command,
  EntityDiscovery,
  type EntitySpec,
  type ProxyInfo,
  type UserFunctionError,
} from "../lib/wire/gen/cloudstate/entity_pb.ts";
import { specOf, setOf, withImports } from "./discovery-harness.ts";

type Stream = ServerDuplexStream<CrdtStreamIn, CrdtStreamOut>;

/** What `Receive` of an article of such a name makes the function do. */
export const misdeeds = {
  unknownId: "answers-an-unknown-id",
  twice: "answers-twice",
  dies: "dies",
} as const;

/**
 * A user function for the stock example, by hand: right for most articles, wrong in one way for each of `misdeeds`. It keeps
 * nothing itself; levels are what the proxy tells it.
 */
export class HostileFunction implements AsyncDisposable {
  /** All that the proxy complained of. */
  readonly reports: string[] = [];
  #server: Server | undefined;
  #port = 0;

  get port(): number {
    return this.#port;
  }

  /** Listens where it did before; what it says of itself is true unless `spec` is another one. */
  async start(spec: EntitySpec = trueSpec()): Promise<void> {
    const server = new Server();
    server.addService(definitionOf(EntityDiscovery), {
      discover: (_: ServerUnaryCall<ProxyInfo, EntitySpec>, answer: sendUnaryData<EntitySpec>) => answer(null, spec),
      reportError: (call: ServerUnaryCall<UserFunctionError, Empty>, answer: sendUnaryData<Empty>) => {
        this.reports.push(call.request.message);
        answer(null, create(EmptySchema));
      },
    });
    server.addService(definitionOf(Crdt), { handle: (stream: Stream) => this.#converse(stream) });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
    this.#port = await promise;
    this.#server = server;
  }

  /** Ends at once, with all streams. */
  die(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.die();
  }

  #converse(stream: Stream): void {
    let level = 0n;
    /** Answers the first delivery to the article that is answered twice; kept until there is a second. */
    let held: (() => void) | undefined;
    const take = (command: Command) => {
      const { sku, quantity } = fromBinary(PurchaseSchema, payloadOf(command).value);
      const change = { Receive: BigInt(quantity), Order: BigInt(-quantity) }[command.name] ?? 0n;
      const answer = (id = command.id) => {
        level += change;
        stream.write(reply(id, sku, level, change));
      };
      const misdeed = command.name === "Receive" ? sku : "";
      if (misdeed === misdeeds.dies) {
        this.die();
      } else if (misdeed === misdeeds.unknownId) {
        answer(command.id + 100n);
      } else if (misdeed !== misdeeds.twice) {
        answer();
      } else if (held) {
        held();
        held();
      } else {
        held = answer;
      }
    };
    stream.on("error", () => undefined); // It ends with the function.
    stream.on("end", () => stream.end());
    stream.on("data", ({ message }: CrdtStreamIn) => {
      if (message.case === "init") level = levelOf(message.value.delta);
      else if (message.case === "delta") level += levelOf(message.value);
      else if (message.case === "command") take(message.value);
    });
  }
}

/** The stock service as it is. */
export function trueSpec(): EntitySpec {
  return specOf(withImports(Stock.file), [["crdt", Stock.typeName, { persistenceId: "stock" }]]);
}

/** The same, but a method takes a message that no file declares. */
export function lyingSpec(): EntitySpec {
  const spec = trueSpec();
  const { file } = fromBinary(FileDescriptorSetSchema, spec.proto);
  const method = file.flatMap(({ service }) => service).find(({ name }) => name === "Stock")!.method[0]!;
  method.inputType = ".shop.stock.Nothing";
  return { ...spec, proto: setOf(file) };
}

function levelOf(delta: CrdtInit["delta"]): bigint {
  return delta?.delta.case === "pncounter" ? delta.delta.value.change : 0n;
}

function payloadOf({ name, payload }: Command): Any {
  if (!payload) throw new Error(`${name} came without a payload`);
  return payload;
}

function reply(commandId: bigint, sku: string, quantity: bigint, change: bigint): CrdtStreamOut {
  const payload = packed(LevelSchema, toBinary(LevelSchema, create(LevelSchema, { sku, quantity })));
  return create(CrdtStreamOutSchema, {
    message: {
      case: "reply",
      value: {
        commandId,
        clientAction: { action: { case: "reply", value: { payload } } },
        ...(change !== 0n && {
          stateAction: {
            action: { case: "update", value: { delta: { case: "pncounter", value: { change } } } },
          },
        }),
      },
    },
  });
}

function packed({ typeName }: DescMessage, value: Uint8Array) {
  return { typeUrl: `type.googleapis.com/${typeName}`, value };
}
