import type http2 from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { clone, create, toBinary } from "@bufbuild/protobuf";
import {
  DescriptorProtoSchema,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import type { Random } from "../../lib/core/world.ts";
import { EntitySpecSchema } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import { frameOf } from "../../lib/wire/http2-frames.ts";
import type { ProxyProcess } from "../bad-input-proxy.ts";
import { type FakeFunction, headers, ok, openFunction, respond } from "../user-function-harness.ts";
import { openProxy } from "./arena.ts";
import { mutated } from "./mutation.ts";
import { trueFiles, trueEntities } from "./specs.ts";
import { anyOf, chance, pick, several, type Shot, type Weapon } from "./weapon.ts";

/** Less than a shot may take, so that it is said what was waited for. */
const settledWithinMs = 8_000;
/** A function that is not asked after it came back comes back once more; the outcome tells. */
const restartEveryMs = 2_000;

/** Answers to discovery: of a function that says something else of itself each time it is asked, and answers calls with noise. */
export class DescriptorsWeapon implements Weapon, AsyncDisposable {
  readonly name = "descriptors";
  readonly parallel = 1;
  readonly proxy: ProxyProcess;
  readonly #function: FakeFunction;
  readonly #state: State;

  private constructor(proxy: ProxyProcess, served: FakeFunction, state: State) {
    this.proxy = proxy;
    this.#function = served;
    this.#state = state;
  }

  static async open(): Promise<DescriptorsWeapon> {
    const state: State = { answer: Buffer.alloc(0), noise: Buffer.alloc(0), asked: 0, refused: 0 };
    const served = await openFunction((stream, request) => answer(stream, request, state));
    try {
      return new DescriptorsWeapon(
        await openProxy(served.port, /^503/, { MASSA_USER_FUNCTION_WAIT: "500ms" }),
        served,
        state,
      );
    } catch (failure) {
      await served[Symbol.asyncDispose]();
      throw failure;
    }
  }

  shot(random: Random): Shot {
    const input = specOf(random);
    const noise = Buffer.from(random.bytes(random.int(200)));
    const paths = several(random, 4, () =>
      pick(random, ["/echo/x", "/carts/a", "/stock/a", "/customers/a", "/shop.Shop/Out", "/x"]),
    );
    return {
      input,
      how: `the answer to discovery, then ${paths.join(" ")}`,
      fire: () => this.#fire(input, noise, paths),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.#function[Symbol.asyncDispose]();
  }

  async #fire(input: Buffer, noise: Buffer, paths: readonly string[]): Promise<string> {
    const state = this.#state;
    const { asked, refused } = state;
    state.answer = input;
    state.noise = noise;
    // The proxy comes back, and asks again.
    for (const session of this.#function.sessions) session.destroy();
    const untilMs = performance.now() + settledWithinMs;
    let restartAtMs = performance.now() + restartEveryMs;
    let restarts = 0;
    let isUnreadable = false;
    for (;;) {
      const { status, body } = await this.proxy.admin("/readyz");
      if (state.refused > refused && body.includes("was rejected")) return `rejected${again(restarts)}`;
      if (state.asked > asked && status === 200) break;
      if (state.asked > asked && body.includes("is not discovered after attempt")) {
        // Asked again until it can be read: with the truth, so that the waits in between stay short.
        isUnreadable = true;
        state.answer = truth;
      }
      if (state.asked === asked && performance.now() > restartAtMs) {
        restarts += 1;
        restartAtMs += restartEveryMs;
        for (const session of this.#function.sessions) session.destroy();
      }
      if (performance.now() > untilMs) {
        throw new Error(`it was asked ${state.asked - asked} times, and then nothing: ${body}`);
      }
      await sleep(2);
    }
    // What it serves now, it may be asked.
    const calls = await Promise.all(paths.map((path) => this.#get(path)));
    const isCalled = calls.some((code) => code !== 404 && code !== 0);
    return `${isUnreadable ? "unreadable, then " : ""}served${isCalled ? " and called" : ""}${again(restarts)}`;
  }

  /** The status, 0 when the port was closed meanwhile. */
  async #get(path: string): Promise<number> {
    const url = `http://127.0.0.1:${this.proxy.frontPort}${path}`;
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(settledWithinMs) });
      await response.arrayBuffer();
      return response.status;
    } catch (failure) {
      if (failure instanceof Error && failure.name === "TimeoutError") throw failure;
      return 0;
    }
  }
}

function again(restarts: number): string {
  return restarts === 0 ? "" : " (not asked when it came back)";
}

const truth = encoded(trueFiles(), trueEntities());

interface State {
  answer: Buffer;
  noise: Buffer;
  asked: number;
  refused: number;
}

function answer(stream: http2.ServerHttp2Stream, request: http2.IncomingHttpHeaders, state: State): void {
  switch (request[":path"]) {
    case "/cloudstate.EntityDiscovery/discover":
      state.asked += 1;
      respond(stream, [state.answer]);
      return;
    case "/cloudstate.EntityDiscovery/reportError":
      state.refused += 1;
      respond(stream, [new Uint8Array(0)]);
      return;
    default:
      stream.respond(headers, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers(ok));
      stream.end(frameOf(state.noise));
  }
}

function specOf(random: Random): Buffer {
  const files = trueFiles();
  const entities = trueEntities();
  if (chance(random, 80)) several(random, 3, () => spoil(random, pick(random, files)));
  if (chance(random, 15)) files.splice(random.int(files.length), 1);
  if (chance(random, 10)) files.push(pick(random, files));
  if (chance(random, 30)) {
    const entity = pick(random, entities);
    const what = pick(random, ["entityType", "serviceName", "persistenceId"] as const);
    entity[what] = pick(random, [
      "",
      "shop.Shop",
      "cloudstate.crdt.Crdt",
      "shop.cart.Carts",
      "é/%",
      pick(random, entities)[what],
    ]);
  }
  const [major, minor] = chance(random, 95) ? [0, 2] : [random.int(2), random.int(9)];
  const spec = encoded(files, chance(random, 95) ? entities : [], chance(random, 25) ? random : undefined, [
    major,
    minor,
  ]);
  return chance(random, 4) ? mutated(random, spec) : spec;
}

/** The answer to discovery, with the bytes of its descriptor set changed if `spoiler` is given. */
function encoded(
  files: FileDescriptorProto[],
  entities: ReturnType<typeof trueEntities>,
  spoiler?: Random,
  [protocolMajorVersion, protocolMinorVersion]: readonly [number, number] = [0, 2],
): Buffer {
  const set = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files }));
  const spec = create(EntitySpecSchema, {
    proto: spoiler ? mutated(spoiler, set) : set,
    entities,
    serviceInfo: { protocolMajorVersion, protocolMinorVersion },
  });
  return Buffer.from(toBinary(EntitySpecSchema, spec));
}

const { STRING, BYTES, BOOL, MESSAGE, GROUP, ENUM, SINT64, DOUBLE } = FieldDescriptorProto_Type;
const types = [STRING, BYTES, BOOL, MESSAGE, GROUP, ENUM, SINT64, DOUBLE];

/** One thing of a file changed. */
function spoil(random: Random, file: FileDescriptorProto): void {
  const method = anyOf(
    random,
    file.service.flatMap((service) => service.method),
  );
  const message = anyOf(random, file.messageType);
  const field = message && anyOf(random, message.field);
  const names = [
    "",
    "x",
    ".x.Y",
    "constructor",
    "__proto__",
    ".shop.Everything",
    ".google.protobuf.Any",
    "é",
    "a.b",
    file.name,
  ];
  switch (random.int(14)) {
    case 0:
      if (method) method.inputType = pick(random, names);
      return;
    case 1:
      if (method) method.outputType = pick(random, names);
      return;
    case 2:
      if (method) [method.clientStreaming, method.serverStreaming] = [chance(random, 50), chance(random, 50)];
      return;
    case 3:
      if (method) method.name = pick(random, names);
      return;
    case 4:
      // Rules of HTTP, keys and topics are unknown fields here: their bytes are what is changed.
      if (method?.options) {
        method.options.$unknown =
          method.options.$unknown?.map((one) => ({ ...one, data: mutated(random, one.data) })) ?? [];
      }
      return;
    case 5:
      if (field) field.type = pick(random, types);
      return;
    case 6:
      if (field) field.typeName = pick(random, names);
      return;
    case 7:
      if (field) field.number = pick(random, [0, -1, 1, 19_000, 536_870_911, 536_870_912, 0x7fff_ffff]);
      return;
    case 8:
      if (field) field.name = field.jsonName = pick(random, names);
      return;
    case 9:
      if (field) [field.oneofIndex, field.proto3Optional] = [random.int(4) - 1, chance(random, 50)];
      return;
    case 10:
      if (message) message.name = pick(random, names);
      return;
    case 11:
      if (message) message.nestedType.push(clone(DescriptorProtoSchema, pick(random, file.messageType)));
      return;
    case 12:
      file.dependency.push(pick(random, names));
      return;
    default:
      [file.name, file.package, file.syntax] = pick(random, [
        [pick(random, names), file.package, file.syntax],
        [file.name, pick(random, names), file.syntax],
        [file.name, file.package, pick(random, ["proto2", "editions", "proto9"])],
      ] as const);
  }
}
