import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { parseArgs } from "node:util";
import { runCli } from "../lib/cli/cli.ts";

/** How long a test waits for what must come. */
const withinMs = 30_000;
const root = join(import.meta.dirname, "..");
/** Each kind of port by the first that `npm start` takes, which README.md names. */
const rows = { FRONT: 9001, MESH: 9005, ADMIN: 9090, FUNCTION: 8080 };
const perRow = 3;

test("the lines of README.md's tour are answered as it says", async () => {
  const first = await freeRow(Object.keys(rows).length * perRow);
  await using example = await start(first);
  const lines = tour(first);
  assert.deepEqual(new Set(lines.map(({ words }) => words[0])), new Set(["npm", "curl"]));
  for (const { words, answer } of lines) {
    let given = await run(words);
    // What was changed on another node shows a little later.
    while (given !== answer && isReading(words)) {
      await example.while(() => `${words.join(" ")} gives ${given} instead of ${answer}`);
      given = await run(words);
    }
    assert.equal(given, answer, words.join(" "));
  }
});

/** The lines to type that end by themselves and need no tool of others, with what stands below them, moved to the ports of this test. */
function tour(first: number): { readonly words: readonly string[]; readonly answer: string }[] {
  const page = readFileSync(join(root, "README.md"), "utf8");
  const moved = Object.values(rows).reduce((text, usual, row) => {
    const places = [0, 1, 2].map((place) => [
      `127.0.0.1:${usual + place}`,
      `127.0.0.1:${first + row * perRow + place}`,
    ]);
    return places.reduce((before, [from, to]) => before.replaceAll(from!, to!), text);
  }, page);
  return [...moved.matchAll(/^ {4}\$ (.+)\n {4}(\{.*)$/gm)]
    .map(([, line, answer]) => ({ words: wordsOf(line!), answer: answer! }))
    .filter(({ words }) => !words.some((word) => word.endsWith("/Watch")));
}

/** As a shell takes them apart. */
function wordsOf(line: string): string[] {
  return (line.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'(.*)'$/, "$1"));
}

function isReading(words: readonly string[]): boolean {
  return words.some((word) => word.endsWith("/Get")) || !words.includes("-d");
}

/** What a line prints: one of `massa call`, or of curl. */
async function run(words: readonly string[]): Promise<string> {
  const [program, ...rest] = words;
  return program === "curl" ? curl(rest) : massa(rest.slice(rest.indexOf("--") + 1));
}

async function curl(words: readonly string[]): Promise<string> {
  const { values, positionals } = parseArgs({
    args: [...words],
    options: { header: { type: "string", short: "H", multiple: true }, data: { type: "string", short: "d" } },
    allowPositionals: true,
  });
  const headers = values.header?.map((header) => header.split(": ") as [string, string]) ?? [];
  const sent = values.data === undefined ? {} : { method: "POST", body: values.data };
  const response = await fetch(positionals[0]!, { headers, ...sent });
  return `${response.ok ? "" : response.status}${(await response.text()).trimEnd()}`;
}

async function massa(argv: readonly string[]): Promise<string> {
  const out: string[] = [];
  const say = (line: string) => void out.push(line);
  const surroundings = { env: {}, print: async (line: string) => say(line), complain: say, input: Readable.from([]) };
  await runCli(argv, { start: async () => 1 }, surroundings);
  return out.join("\n");
}

/** `npm start`, without npm. */
async function start(first: number) {
  const moved = Object.keys(rows).map((name, row) => [`START_${name}_PORT`, `${first + row * perRow}`]);
  const child = spawn(process.execPath, ["--conditions=massa-source", "examples/stock/start.ts"], {
    cwd: root,
    env: { ...process.env, ...(Object.fromEntries(moved) as Record<string, string>) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const untilMs = performance.now() + withinMs;
  const example = {
    /** Lets a moment pass before a condition is looked at again. */
    async while(lacking: () => string): Promise<void> {
      assert.ok(performance.now() < untilMs && child.exitCode === null, `${lacking()}; it said:\n${said}`);
      await new Promise((tick) => setTimeout(tick, 20));
    },

    /** Ctrl-C. */
    async [Symbol.asyncDispose](): Promise<void> {
      if (child.exitCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGINT");
      assert.deepEqual(await gone, [0, null], said);
    },
  };
  while (!said.includes("Ctrl-C ends all.")) await example.while(() => "it is not ready");
  return example;
}

/** The first of so many ports in a row that nobody has now. */
async function freeRow(count: number): Promise<number> {
  for (;;) {
    const first = await freePort(0);
    const others = Array.from({ length: count - 1 }, (_, index) => freePort(first + 1 + index));
    if ((await Promise.allSettled(others)).every(({ status }) => status === "fulfilled")) return first;
  }
}

async function freePort(port: number): Promise<number> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  const { port: found } = server.address() as AddressInfo;
  await once(server.close(), "close");
  return found;
}
