import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { KeptProcess, type Recipe } from "./kept-process.ts";
import { host, type PortRow, takenPorts } from "./ports.ts";

/** An example: functions, the proxies before them, and what to say once all is ready. */
export interface Play {
  /** What was typed, such as `npm start`. */
  readonly command: string;
  readonly functions: readonly Recipe[];
  readonly proxies: readonly ProxyRecipe[];
  readonly ports: readonly PortRow[];
  readonly overview: (functions: readonly KeptProcess[], proxies: readonly KeptProcess[]) => string;
}

/** How a proxy is started, and where it says whether it is ready. */
export interface ProxyRecipe extends Recipe {
  readonly adminPort: number;
}

const readyWithinMs = 60_000;
const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
const say = (line: string) => console.log(line);

/** Starts everything, and keeps it running until Ctrl-C; gives the exit code. */
export async function run({ command, functions, proxies, ports, overview }: Play): Promise<number> {
  const stopped = Promise.race([...signals.map((signal) => once(process, signal)), orphaned(process.ppid)]);
  // A second Ctrl-C changes nothing: the end is under way.
  for (const signal of signals) process.on(signal, () => undefined);
  const taken = await takenPorts(ports, command);
  for (const line of taken) console.error(line);
  if (taken.length > 0) return 1;
  const keptFunctions = functions.map((recipe) => new KeptProcess(recipe, say));
  const keptProxies = proxies.map((recipe) => new KeptProcess(recipe, say));
  const ready = Promise.all(proxies.map(isReady)).then(() => "ready" as const);
  const outcome = await Promise.race([ready, stopped, sleep(readyWithinMs, "late" as const, { ref: false })]);
  if (outcome === "ready") {
    say(overview(keptFunctions, keptProxies));
    await stopped;
  } else if (outcome === "late") {
    const reasons = await Promise.all(proxies.map(async (proxy) => `${proxy.name}: ${await readiness(proxy)}`));
    console.error(`not ready within ${readyWithinMs / 1_000} s:\n${reasons.join("\n")}`);
  }
  say("Ending …");
  // Proxies first: what they have in hand needs the functions.
  await Promise.all(keptProxies.map((proxy) => proxy.stop()));
  await Promise.all(keptFunctions.map((one) => one.stop()));
  return outcome === "late" ? 1 : 0;
}

/** Rows of cells, as wide as they need. */
export function table(rows: readonly (readonly string[])[]): string {
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(width(column) + 2))
        .join("")
        .trimEnd(),
    )
    .join("\n");
}

async function isReady(proxy: ProxyRecipe): Promise<void> {
  while ((await readiness(proxy)) !== "ready") await sleep(100);
}

/** "ready", or why not. */
async function readiness({ adminPort }: ProxyRecipe): Promise<string> {
  try {
    const answer = await fetch(`http://${host}:${adminPort}/readyz`, { signal: AbortSignal.timeout(2_000) });
    const reason = await answer.text();
    return answer.ok ? "ready" : reason.trim();
  } catch (error) {
    return `its admin port does not answer (${String(error)})`;
  }
}

/** Resolves when the parent is gone: npm dies of SIGTERM without telling its children. */
async function orphaned(parent: number): Promise<void> {
  while (process.ppid === parent) await sleep(500, undefined, { ref: false });
}
