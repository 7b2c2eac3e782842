import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** How a process is started. */
export interface Recipe {
  readonly name: string;
  /** Arguments of Node. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const restartAfterMs = 1_000;
const stopWithinMs = 12_000;
/** Ends a child whose parent is gone, however the parent ended. */
const endWithParent = `data:text/javascript,${encodeURIComponent(
  `process.on("disconnect", () => process.kill(process.pid, "SIGTERM")); process.channel.unref();`,
)}`;

/** A child process that is started again a second after it died, until it is told to stop. What it says is prefixed with its name. */
export class KeptProcess {
  readonly #recipe: Recipe;
  readonly #say: (line: string) => void;
  #child: ChildProcess;
  #restart: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(recipe: Recipe, say: (line: string) => void) {
    this.#recipe = recipe;
    this.#say = say;
    this.#child = this.#start();
  }

  get name(): string {
    return this.#recipe.name;
  }

  /** Of the process that runs now, or ran last; 0 when none could be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Asks the process to end, and ends it when it takes too long. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopWithinMs);
    await gone;
    clearTimeout(timer);
  }

  #start(): ChildProcess {
    const { name, command, env } = this.#recipe;
    const child = spawn(process.execPath, ["--conditions=massa-source", "--import", endWithParent, ...command], {
      // A group of its own: Ctrl-C reaches this process alone, which then ends the others in order.
      detached: true,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface(stream).on("line", (line) => this.#hear(`[${name}] ${line}`));
    }
    child.on("error", (error) => this.#say(`${name} (pid ${this.pid}): ${error.message}`));
    child.on("exit", (code, signal) => this.#ended(child.pid ?? 0, signal ?? `exit code ${code ?? 0}`));
    return child;
  }

  /** What a process says while it ends is about the others, which end too. */
  #hear(line: string): void {
    if (!this.#stopping) this.#say(line);
  }

  #ended(pid: number, how: string): void {
    if (this.#stopping) return;
    this.#say(`${this.name} (pid ${pid}) ended by ${how}; it is started again in ${restartAfterMs / 1_000} s`);
    this.#restart = setTimeout(() => {
      this.#child = this.#start();
      this.#say(`${this.name} runs again (pid ${this.pid})`);
    }, restartAfterMs);
  }
}
