// `npm start`: three proxies in a mesh, each with the stock function behind it, on this machine.
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { KeptProcess, type Recipe } from "./kept-process.ts";

const readyWithinMs = 60_000;
const host = "127.0.0.1";
const root = join(import.meta.dirname, "..");
const letters = ["a", "b", "c"];
/** Each kind takes three ports in a row, from the one that its variable names. */
const variables = {
  front: ["START_FRONT_PORT", 9001],
  mesh: ["START_MESH_PORT", 9005],
  admin: ["START_ADMIN_PORT", 9090],
  function: ["START_FUNCTION_PORT", 8080],
} as const;
type Kind = keyof typeof variables;

const say = (line: string) => console.log(line);
const stopped = Promise.race([
  ...["SIGINT", "SIGTERM", "SIGHUP"].map((signal) => once(process, signal)),
  orphaned(process.ppid),
]);
// A second Ctrl-C changes nothing: the end is under way.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => undefined);

process.exit(await run());

async function run(): Promise<number> {
  const taken = await takenPorts();
  for (const line of taken) console.error(line);
  if (taken.length > 0) return 1;
  say("Starting three user functions and three proxies …");
  const functions = letters.map((_, index) => new KeptProcess(functionRecipe(index), say));
  const proxies = letters.map((_, index) => new KeptProcess(proxyRecipe(index), say));
  const ready = Promise.all(letters.map((_, index) => isReady(index))).then(() => "ready" as const);
  const outcome = await Promise.race([ready, stopped, sleep(readyWithinMs, "late" as const, { ref: false })]);
  if (outcome === "ready") {
    say(overview(functions, proxies));
    await stopped;
  } else if (outcome === "late") {
    console.error(`not ready within ${readyWithinMs / 1_000} s:\n${(await reasons()).join("\n")}`);
  }
  say("Ending …");
  // Proxies first: what they have in hand needs the functions.
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await Promise.all(functions.map((one) => one.stop()));
  return outcome === "late" ? 1 : 0;
}

function functionRecipe(index: number): Recipe {
  return {
    name: `function-${letters[index]!}`,
    command: [join(root, "examples/stock/function.ts")],
    env: { HOST: host, PORT: `${portOf("function", index)}` },
  };
}

function proxyRecipe(index: number): Recipe {
  return {
    name: `proxy-${letters[index]!}`,
    command: [join(root, "lib/main.ts")],
    env: {
      MASSA_NODE_NAME: letters[index]!,
      MASSA_PORT: `${portOf("front", index)}`,
      MASSA_FRONTEND_HOST: host,
      MASSA_ADMIN_PORT: `${portOf("admin", index)}`,
      MASSA_ADMIN_HOST: host,
      MASSA_MESH_PORT: `${portOf("mesh", index)}`,
      MASSA_MESH_HOST: host,
      MASSA_MESH_PEERS: letters.map((_, peer) => `${host}:${portOf("mesh", peer)}`).join(","),
      // Known to everybody: good on loopback alone, which is where this mesh listens.
      MASSA_MESH_KEY: "for-development-only",
      // All three leave at once at the end, and would wait for one another.
      MASSA_MESH_LEAVE_TIMEOUT: "2s",
      MASSA_LOG_LEVEL: process.env["MASSA_LOG_LEVEL"] ?? "warn",
      USER_FUNCTION_HOST: host,
      USER_FUNCTION_PORT: `${portOf("function", index)}`,
    },
  };
}

function portOf(kind: Kind, index: number): number {
  const [variable, usual] = variables[kind];
  const first = Number(process.env[variable] ?? usual);
  if (!Number.isInteger(first) || first < 1 || first > 65_533) {
    console.error(`${variable} is "${process.env[variable] ?? ""}"; it must be a port from 1 to 65533`);
    process.exit(1);
  }
  return first + index;
}

/** A line for each port that somebody else has, with the variable that moves it. */
async function takenPorts(): Promise<string[]> {
  const lines: string[] = [];
  for (const kind of Object.keys(variables) as Kind[]) {
    for (const index of letters.keys()) {
      const port = portOf(kind, index);
      if (await isFree(port)) continue;
      const [variable] = variables[kind];
      lines.push(`port ${port} is taken; free it, or move these ports: ${variable}=${portOf(kind, 0) + 100} npm start`);
    }
  }
  return lines;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.on("error", () => resolve(false));
  server.listen(port, host, () => server.close(() => resolve(true)));
  return promise;
}

async function isReady(index: number): Promise<void> {
  while ((await readiness(index)) !== "ready") await sleep(100);
}

async function reasons(): Promise<string[]> {
  return Promise.all(letters.map(async (letter, index) => `proxy-${letter}: ${await readiness(index)}`));
}

/** "ready", or why not. */
async function readiness(index: number): Promise<string> {
  try {
    const url = `http://${host}:${portOf("admin", index)}/readyz`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    const reason = await answer.text();
    return answer.ok ? "ready" : reason.trim();
  } catch (error) {
    return `its admin port does not answer (${String(error)})`;
  }
}

function overview(functions: readonly KeptProcess[], proxies: readonly KeptProcess[]): string {
  const rows = [
    ["name", "pid", "front", "mesh", "admin", "function"],
    ...proxies.map(({ name, pid }, index) => [
      name,
      `${pid}`,
      ...(["front", "mesh", "admin"] as const).map((kind) => `${portOf(kind, index)}`),
      "",
    ]),
    ...functions.map(({ name, pid }, index) => [name, `${pid}`, "", "", "", `${portOf("function", index)}`]),
  ];
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(column === 0 ? 11 : 8))
      .join("")
      .trimEnd(),
  );
  const call = (index: number, method: string, json: string) =>
    `  npm run -s massa -- call ${host}:${portOf("front", index)} shop.stock.Stock/${method} '${json}'`;
  return `
${table.join("\n")}

Type in another terminal:
  # goods arrive at proxy-a; the level is the same at b and c
${call(0, "Receive", `{"sku":"tea","quantity":5}`)}
${call(1, "Get", `{"sku":"tea"}`)}
  # follow the level at c (Ctrl-C ends it) …
${call(2, "Watch", `{"sku":"tea"}`)}
  # … while an order comes in through the topic "orders" of a
  curl -H 'content-type: application/json' -d '{"sku":"tea","quantity":2}' 'http://${host}:${portOf("admin", 0)}/topics/orders?wait=ack'

Ctrl-C ends all.
`;
}

/** Resolves when the parent is gone: npm dies of SIGTERM without telling its children. */
async function orphaned(parent: number): Promise<void> {
  while (process.ppid === parent) await sleep(500, undefined, { ref: false });
}
