import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A process of the bench that listens. */
export interface Running {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A proxy, ready. */
export interface RunningProxy extends Running {
  readonly meshPort: number;
  /** From its start until its admin port said that it is ready. */
  readonly readyMs: number;
}

/** What one run of load.ts printed. */
export interface Load {
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
  readonly firstFailure?: string;
  readonly cpuMicrosPerCall?: number;
}

const root = join(import.meta.dirname, "..");
const readyWithinMs = 30_000;
const stopWithinMs = 15_000;

export async function startFunction(): Promise<Running> {
  return startListening("bench/function.ts");
}

/** The least that a proxy can do, in its place. */
export async function startRelay(mode: "action" | "entity", functionPort: number): Promise<Running> {
  return startListening("bench/relay.ts", "--mode", mode, "--function", `${functionPort}`);
}

/** How a proxy is started. */
interface ProxyOptions {
  /** Mesh ports of others that it meets. */
  readonly peers?: readonly number[];
  /** How many proxies there are in the mesh. */
  readonly expect?: number;
  /** More settings, as environment variables. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** The built proxy, in front of a function. BENCH_PROXY_OPTIONS holds options of Node for it, such as `--cpu-prof`. */
export async function startProxy(functionPort: number, options: ProxyOptions = {}): Promise<RunningProxy> {
  const { peers = [], expect = 1, settings = {} } = options;
  const [port, admin, meshPort] = [await freePort(), await freePort(), await freePort()];
  const startedAt = performance.now();
  const nodeOptions = process.env["BENCH_PROXY_OPTIONS"]?.split(" ") ?? [];
  const child = start([...nodeOptions, "dist/main.js"], {
    MASSA_NODE_NAME: `bench-${port}`,
    MASSA_PORT: `${port}`,
    MASSA_ADMIN_PORT: `${admin}`,
    MASSA_MESH_PORT: `${meshPort}`,
    MASSA_MESH_HOST: "127.0.0.1",
    MASSA_MESH_KEY: "for-the-bench-alone",
    MASSA_MESH_PEERS: peers.map((peer) => `127.0.0.1:${peer}`).join(","),
    MASSA_MESH_EXPECT: `${expect}`,
    // Nobody waits for others here: neither the first to start, nor the last to leave.
    MASSA_MESH_JOIN_TIMEOUT: "2s",
    MASSA_MESH_LEAVE_TIMEOUT: "500ms",
    MASSA_LOG_LEVEL: "error",
    MASSA_CRDT_PASSIVATION_TIMEOUT: "10m",
    // Each proxy of a mesh keeps the stored entities of its own function.
    MASSA_STORE_SHARED: "false",
    USER_FUNCTION_HOST: "127.0.0.1",
    USER_FUNCTION_PORT: `${functionPort}`,
    ...settings,
  });
  for (let answer = ""; answer !== "ready";) {
    if (performance.now() - startedAt > readyWithinMs) {
      await stop(child);
      throw new Error(`a proxy was not ready within ${readyWithinMs / 1_000} s: ${answer}`);
    }
    if (child.exitCode !== null) throw new Error(`a proxy ended with exit code ${child.exitCode}`);
    await sleep(10);
    answer = await readiness(admin);
  }
  const readyMs = performance.now() - startedAt;
  return { port, meshPort, pid: child.pid!, readyMs, stop: () => stop(child) };
}

/** A directory for a store, on the disk of TMPDIR, and gone with the stack, or with this process. */
export async function temporaryDirectory(stack: AsyncDisposableStack): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "massa-bench-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove);
  stack.defer(() => {
    process.off("exit", remove);
    remove();
  });
  return directory;
}

/** Runs load.ts to its end; fails when a call failed. */
export async function load(
  port: number,
  path: string,
  options: Readonly<Record<string, number | string>>,
): Promise<Load> {
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const child = start(["bench/load.ts", "--port", `${port}`, "--path", path, ...flags]);
  const ended = once(child, "exit");
  const result = JSON.parse(await firstLine(child)) as Load;
  await ended;
  if (result.failures > 0) throw new Error(`${result.failures} calls of ${path} failed: ${result.firstFailure ?? ""}`);
  return result;
}

async function startListening(file: string, ...flags: readonly string[]): Promise<Running> {
  const child = start([file, "--port", "0", ...flags]);
  const { listening } = JSON.parse(await firstLine(child)) as { readonly listening: { readonly port: number } };
  return { port: listening.port, pid: child.pid!, stop: () => stop(child) };
}

function start(command: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function firstLine(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  throw new Error(`a process of the bench ended without a word (exit code ${child.exitCode ?? "unknown"})`);
}

async function readiness(admin: number): Promise<string> {
  try {
    const answer = await fetch(`http://127.0.0.1:${admin}/readyz`, { signal: AbortSignal.timeout(2_000) });
    const reason = await answer.text();
    return answer.ok ? "ready" : reason;
  } catch (error) {
    return String(error);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopWithinMs);
  await gone;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("the machine gave no port");
  return address.port;
}
