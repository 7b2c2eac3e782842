import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { serve } from "../lib/sdk/index.ts";
import { CrdtTckModel, type RequestSchema, UpdateSchema } from "./conformance/gen/tck/crdt_pb.ts";
import { Caller } from "./conformance/call.ts";
import { modelServices } from "./conformance/model/services.ts";
import { answers } from "./conformance/proxy-process.ts";

const consistencies = { local: 0, majority: 1, all: 2 } as const;

/** Three real proxies in a mesh, each a process of its own, with a model function behind each in this one. */
export class Cluster implements AsyncDisposable {
  readonly #nodes: Node[] = [];

  /** One proxy for each list of services, which its function serves. */
  static async open(functions = [modelServices, modelServices, modelServices]): Promise<Cluster> {
    const cluster = new Cluster();
    const meshPorts = await Promise.all(functions.map(freePort));
    for (const [index, services] of functions.entries()) {
      const meshPort = meshPorts[index]!;
      const running = await serve({ services, port: 0, host: "127.0.0.1" });
      const [front, admin] = [await freePort(), await freePort()];
      const env = {
        MASSA_PORT: `${front}`,
        MASSA_ADMIN_PORT: `${admin}`,
        MASSA_MESH_PORT: `${meshPort}`,
        MASSA_MESH_PEERS: meshPorts.map((port) => `127.0.0.1:${port}`).join(","),
        MASSA_MESH_KEY: "a-key-for-this-test-only",
        MASSA_LOG_LEVEL: "warn",
        // The model's value and event-sourced entities are each node's own here.
        MASSA_STORE_SHARED: "false",
        USER_FUNCTION_PORT: `${running.port}`,
      };
      cluster.#nodes.push(new Node(front, env, () => running.stop(0)));
    }
    try {
      await Promise.all(cluster.#nodes.map((node) => node.start()));
      return cluster;
    } catch (failure) {
      await cluster[Symbol.asyncDispose]();
      throw failure;
    }
  }

  node(index: number): Node {
    return this.#nodes[index]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.close()));
  }
}

/** One of the proxies; it can be killed, stopped and started again on the same ports. */
export class Node {
  readonly #front: number;
  readonly #env: Readonly<Record<string, string>>;
  readonly #stopFunction: () => Promise<void>;
  #child: ChildProcess | undefined;
  #caller: Caller | undefined;
  #said = "";

  constructor(front: number, env: Readonly<Record<string, string>>, stopFunction: () => Promise<void>) {
    this.#front = front;
    this.#env = env;
    this.#stopFunction = stopFunction;
  }

  async start(): Promise<void> {
    const child = spawn(
      process.execPath,
      ["--conditions=massa-source", process.env["TEST_PROXY_MAIN"] ?? "lib/main.ts"],
      {
        env: { ...process.env, ...this.#env },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (this.#said += chunk.toString()));
    try {
      await answers(`127.0.0.1:${this.#front}`, 20_000, () => child.exitCode !== null);
    } catch (failure) {
      throw new Error(`a proxy did not start; it said:\n${this.#said}`, { cause: failure });
    }
    this.#caller = new Caller(`127.0.0.1:${this.#front}`, () => ({ answerMs: 10_000, surplusMs: 10 }));
  }

  /** Its front port, for calls of any kind. */
  get caller(): Caller {
    return this.#caller!;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child!.kill(signal);
  }

  async kill(): Promise<void> {
    this.#caller!.close();
    const gone = once(this.#child!, "exit");
    this.#child!.kill("SIGKILL");
    await gone;
  }

  /** Adds to a PNCounter and gives its value on this node; rejects with the status text. */
  async add(id: string, change: bigint, consistency: keyof typeof consistencies = "local"): Promise<bigint> {
    const update = create(UpdateSchema, {
      update: { case: "pncounter", value: { change } },
      writeConsistency: consistencies[consistency],
    });
    return this.#process(id, [{ action: { case: "update", value: update } }]);
  }

  read(id: string): Promise<bigint> {
    return this.#process(id, []);
  }

  async close(): Promise<void> {
    this.#caller?.close();
    if (this.#child?.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, "exit");
      this.#child.kill("SIGKILL");
      await gone;
    }
    await this.#stopFunction();
  }

  async #process(id: string, actions: MessageInitShape<typeof RequestSchema>["actions"]): Promise<bigint> {
    const { state } = await this.#caller!.unary(CrdtTckModel.method.process, { id, ...(actions && { actions }) });
    return state?.value.case === "pncounter" ? state.value.value.value : 0n;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}
