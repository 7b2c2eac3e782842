import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ProxyProcess } from "../bad-input-proxy.ts";
import { temporaryFolder } from "../store-harness.ts";

/** Soon turns away who is slow, so that a shot which is never finished is over in good time. */
const impatient = {
  MASSA_LOG_LEVEL: "error",
  // A heap without room to be lazy in: what grows then is kept, and not just not collected yet.
  NODE_OPTIONS: "--max-old-space-size=96",
  MASSA_FRONTEND_GREETING_TIMEOUT: "1s",
  MASSA_FRONTEND_IDLE_TIMEOUT: "3s",
  MASSA_FRONTEND_BODY_TIMEOUT: "2s",
  MASSA_FRONTEND_HTTP1_HEADERS_TIMEOUT: "1s",
  MASSA_FRONTEND_HTTP1_KEEP_ALIVE: "1s",
  // What is kept for a while is kept for a short one, so that memory comes to its height soon.
  MASSA_ENTITIES_CACHE: "1MiB",
  MASSA_VALUE_PASSIVATION_TIMEOUT: "2s",
  MASSA_EVENT_SOURCED_PASSIVATION_TIMEOUT: "2s",
  MASSA_CRDT_PASSIVATION_TIMEOUT: "2s",
  MASSA_USER_FUNCTION_BACKOFF_MIN: "5ms",
  MASSA_USER_FUNCTION_BACKOFF_MAX: "50ms",
};

/** A proxy that stores in a file, so that what is written does not count as memory, before the function of `function.ts`. */
export class Arena implements AsyncDisposable {
  readonly proxy: ProxyProcess;
  readonly #function: ChildProcess;
  readonly #folder: Disposable;

  private constructor(proxy: ProxyProcess, served: ChildProcess, folder: Disposable) {
    this.proxy = proxy;
    this.#function = served;
    this.#folder = folder;
  }

  static async open(): Promise<Arena> {
    const folder = temporaryFolder();
    const script = join(import.meta.dirname, "function.ts");
    const served = spawn(process.execPath, ["--conditions=massa-source", script], {
      env: { ...process.env, PORT: "0" },
      // It ends with us, however we end.
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
    const [line] = (await once(createInterface(served.stdout!), "line")) as [string];
    const proxy = await openProxy(Number(line), /^200/, { MASSA_STORE: `file:${join(folder.path, "massa.db")}` });
    return new Arena(proxy, served, folder);
  }

  /** Throws when a process is gone. */
  check(): void {
    assert.ok(this.proxy.isAlive, `the proxy ended; it said:\n${this.proxy.said.slice(-10_000)}`);
    assert.equal(this.#function.exitCode ?? this.#function.signalCode, null, "the function ended");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    const gone = once(this.#function, "exit");
    if (this.#function.exitCode === null && this.#function.kill("SIGTERM")) await gone;
    this.#folder[Symbol.dispose]();
  }
}

/** A proxy that is to be shot at, once `/readyz` says so. */
export function openProxy(
  functionPort: number,
  wanted: RegExp,
  env: Readonly<Record<string, string>>,
): Promise<ProxyProcess> {
  return ProxyProcess.open(functionPort, wanted, { ...impatient, ...env });
}
