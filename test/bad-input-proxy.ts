import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, status } from "@grpc/grpc-js";
import { Stock } from "../examples/stock/gen/stock_pb.ts";

const startedWithinMs = 15_000;

/** The most that the proxy of these tests takes in one message. */
export const messageBytesMax = 1024 * 1024;
const clusterKey = "a-key-for-this-test-only";

/** How a call ended: the status by its name, and what was said with it. */
export interface Ending {
  readonly status: string;
  readonly text: string;
}

/** A real proxy, a process of its own, with all that a client, an operator and a peer can see of it. */
export class ProxyProcess implements AsyncDisposable {
  readonly frontPort: number;
  readonly adminPort: number;
  readonly meshPort: number;
  readonly #child: ChildProcess;
  readonly #client: Client;
  #said = "";

  private constructor(ports: readonly number[], functionPort: number, env: Readonly<Record<string, string>>) {
    [this.frontPort, this.adminPort, this.meshPort] = ports as [number, number, number];
    const held = new URL("held-memory.ts", import.meta.url).href;
    const args = ["--conditions=massa-source", "--expose-gc", `--import=${held}`, "lib/main.ts"];
    this.#child = spawn(process.execPath, args, {
      env: {
        ...process.env,
        MASSA_PORT: `${this.frontPort}`,
        MASSA_ADMIN_PORT: `${this.adminPort}`,
        MASSA_MESH_PORT: `${this.meshPort}`,
        MASSA_MESH_KEY: clusterKey,
        MASSA_MESH_CLUSTER: "test",
        MASSA_MESH_ADMISSION_TIMEOUT: "800ms",
        MASSA_LIMITS_MESSAGE: `${messageBytesMax}`,
        MASSA_LOG_LEVEL: "info",
        USER_FUNCTION_HOST: "127.0.0.1",
        USER_FUNCTION_PORT: `${functionPort}`,
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream!.on("data", (chunk: Buffer) => (this.#said += chunk.toString()));
    this.#client = new Client(`127.0.0.1:${this.frontPort}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.initial_reconnect_backoff_ms": 20,
      "grpc.max_reconnect_backoff_ms": 100,
    });
  }

  /** Starts one and waits until `/readyz` says `wanted`. */
  static async open(
    functionPort: number,
    wanted: RegExp = ready,
    env: Readonly<Record<string, string>> = {},
  ): Promise<ProxyProcess> {
    const proxy = new ProxyProcess(await freePorts(), functionPort, env);
    try {
      await proxy.readyz(wanted);
      return proxy;
    } catch (failure) {
      await proxy[Symbol.asyncDispose]();
      throw failure;
    }
  }

  /** What the process wrote to its log. */
  get said(): string {
    return this.#said;
  }

  /** Waits until `/readyz` answers so. */
  async readyz(wanted: RegExp = ready): Promise<void> {
    let last = "no answer";
    await this.until(
      async () => {
        last = await this.admin("/readyz").then(
          ({ status: code, body }) => `${code} ${body}`,
          (failure: unknown) => String(failure),
        );
        return wanted.test(last);
      },
      () => `/readyz to say ${wanted.source}, it says ${last}`,
    );
  }

  /** Runs `die`, which ends the function, and waits until the proxy has missed it: one that serves and is back sooner is not asked again. */
  async bereaved(die: () => void): Promise<void> {
    const times = () => this.#said.split('"the user function is away"').length;
    const before = times();
    die();
    await this.until(
      () => times() > before,
      () => "the function to be missed",
    );
  }

  /** Waits for a condition, while the process lives. */
  async until(holds: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
    const untilMs = performance.now() + startedWithinMs;
    while (!(await holds())) {
      assert.ok(this.isAlive, `the proxy ended; it said:\n${this.#said}`);
      assert.ok(performance.now() < untilMs, `waited in vain for ${what()}; the proxy said:\n${this.#said}`);
      await new Promise((tick) => setTimeout(tick, 10));
    }
  }

  /** Resident memory (Linux). */
  get residentBytes(): number {
    return Number(readFileSync(`/proc/${this.#child.pid}/statm`, "utf8").split(" ")[1]) * 4096;
  }

  /** Bytes that it holds, on the heap and outside, once garbage is collected. */
  async heldBytes(): Promise<number> {
    const told = once(this.#child, "message", { signal: AbortSignal.timeout(startedWithinMs) });
    this.#child.send("held");
    return (await told)[0] as number;
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async admin(path: string, init: RequestInit = {}): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, init).catch(async (failure: unknown) => {
      // The end of a process is heard of a little later than that of its connections.
      if (this.isAlive) await Promise.race([once(this.#child, "exit"), new Promise((tick) => setTimeout(tick, 100))]);
      assert.ok(this.isAlive, `the proxy ended; it said:\n${this.#said.slice(-10_000)}`);
      throw failure;
    });
    return { status: response.status, body: await response.text() };
  }

  /** The level that a method of the stock answers with; rejects with an `Ending` in words. */
  async level(method: "receive" | "get" | "order", sku: string, quantity = 0): Promise<bigint> {
    const { input, output, name } = Stock.method[method];
    const bytes = toBinary(input, create(input, { sku, ...(method !== "get" && { quantity }) }));
    const answer = await this.#unary(name, Buffer.from(bytes));
    if (!Buffer.isBuffer(answer)) throw new Error(`${answer.status}: ${answer.text}`);
    return fromBinary(output, answer).quantity;
  }

  /** How a call of the stock's `Get` with these bytes ends, which must not be well. */
  async refusal(bytes: Buffer): Promise<Ending> {
    const answer = await this.#unary("Get", bytes);
    if (Buffer.isBuffer(answer)) throw new Error("the call succeeded");
    return answer;
  }

  /** Whether the front port takes connections. */
  async isFrontOpen(): Promise<boolean> {
    const socket = connect(this.frontPort, "127.0.0.1");
    const { promise, resolve } = Promise.withResolvers<boolean>();
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
    const isOpen = await promise;
    socket.destroy();
    return isOpen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    if (!this.isAlive) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  #unary(name: string, bytes: Buffer): Promise<Buffer | Ending> {
    const same = (either: Buffer) => either;
    const { promise, resolve } = Promise.withResolvers<Buffer | Ending>();
    const deadline = Date.now() + 10_000;
    this.#client.makeUnaryRequest(`/${Stock.typeName}/${name}`, same, same, bytes, { deadline }, (error, answer) =>
      resolve(error ? { status: nameOf(error.code), text: error.details } : answer!),
    );
    return promise;
  }
}

/** The name of a gRPC status. */
export function nameOf(code: number): string {
  return status[code] ?? `status ${code}`;
}

/** What `/readyz` says when all is well. */
const ready = /^200 /;

/** Three ports that nobody has now, all different. */
export async function freePorts(): Promise<number[]> {
  const servers = [1, 2, 3].map(() => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
