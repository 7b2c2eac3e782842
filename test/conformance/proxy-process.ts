import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { get } from "node:http";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

/** A proxy that is judged. */
export interface RunningProxy {
  readonly address: string;
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const startedWithinMs = 20_000;
const stoppedWithinMs = 5_000;

/** Starts our proxy, as a process of its own, in front of a function on this machine, and waits until it answers. */
export async function startProxy(functionPort: number): Promise<RunningProxy> {
  const proxy = await launchProxy(functionPort);
  try {
    await answers(proxy.address, startedWithinMs, proxy.isOver);
  } catch (failure) {
    await proxy.stop();
    throw new Error(`the proxy did not start; it said:\n${proxy.said()}`, { cause: failure });
  }
  return proxy;
}

/** A process of our proxy, which may not come to answer. */
export interface LaunchedProxy extends RunningProxy {
  /** What it wrote so far. */
  readonly said: () => string;
  readonly isOver: () => boolean;
}

/** Starts our proxy and does not wait for it. */
export async function launchProxy(functionPort: number): Promise<LaunchedProxy> {
  const [front, admin] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, ["--conditions=massa-source", "lib/main.ts"], {
    cwd: root,
    env: {
      ...process.env,
      MASSA_PORT: front.toString(),
      MASSA_ADMIN_PORT: admin.toString(),
      MASSA_MESH_PORT: "0",
      MASSA_LOG_LEVEL: "warn",
      // A stream that the recorder keeps from its end stays, and comes into no later case.
      MASSA_ENTITIES_COMPLETE_TIMEOUT: "1m",
      USER_FUNCTION_HOST: "127.0.0.1",
      USER_FUNCTION_PORT: functionPort.toString(),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  return {
    address: `127.0.0.1:${front.toString()}`,
    said: () => said.join(""),
    isOver: () => child.exitCode !== null,
    stop: () => stop(child),
  };
}

/** Waits until an HTTP/1.1 request is answered, whatever the answer is. */
export async function answers(address: string, withinMs: number, gone = () => false): Promise<void> {
  const until = performance.now() + withinMs;
  for (;;) {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const request = get(`http://${address}/`, { timeout: 1_000 }, (response) => {
      response.resume();
      resolve(true);
    });
    request.on("error", () => resolve(false));
    request.on("timeout", () => request.destroy(new Error("no answer")));
    if (await promise) return;
    if (gone()) throw new Error(`the process of ${address} has ended`);
    if (performance.now() > until) throw new Error(`${address} did not answer within ${withinMs.toString()} ms`);
    await new Promise((tick) => setTimeout(tick, 25));
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stoppedWithinMs);
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
