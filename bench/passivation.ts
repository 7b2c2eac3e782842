import { setTimeout as sleep } from "node:timers/promises";
import { type Client, openClient } from "./client.ts";
import { type Figure, figure, median, quantile } from "./figures.ts";
import { startFunction, startProxy } from "./stage.ts";

const idle = 28_000;
const others = 64;
const atOnce = 128;
const commandsPerSecond = 1_000;
const normalMs = 4_000;
const pollMs = 25;
const passivationMs = 12_000;
const settings = {
  MASSA_EVENT_SOURCED_PASSIVATION_TIMEOUT: `${passivationMs}ms`,
  // Only idleness is to end an entity, not that the function is late.
  MASSA_ENTITIES_PRESSURE_AFTER: "1m",
};

/** How many streams of stored entities a function has seen half-closed. */
export async function passivatedOf(functionPort: number): Promise<number> {
  const client = openClient(functionPort);
  const count = await passivatedOver(client);
  client.close();
  return count;
}

async function passivatedOver(client: Client): Promise<number> {
  let count = 0;
  const status = await client.call("Raw/passivated", "", (value) => (count = value)).ended;
  if (status !== "0") throw new Error(`the function does not say how many are passivated: status ${status}`);
  return count;
}

/** Commands on some entities, while many others are open and idle, and while those are passivated, in turn. */
export async function passivationFigures(rounds: number): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const proxy = await startProxy(bench.port, { settings });
  stack.defer(() => proxy.stop());
  const [client, counter] = [openClient(proxy.port), openClient(bench.port)];
  stack.defer(() => client.close());
  stack.defer(() => counter.close());
  const results: RoundResult[] = [];
  for (let number = 0; number < rounds; number++) results.push(await round(proxy.pid, client, counter));
  return [
    figure("passivate.p99_ratio", median(results.map((each) => each.duringMs / each.normalMs)), "of normal"),
    figure("passivate.normal_p99_ms", median(results.map((each) => each.normalMs)), "ms"),
    figure("passivate.per_s", median(results.map((each) => each.perSecond)), "/s"),
  ];
}

/** p99 of both, and how many passivations a second there were in the second. */
interface RoundResult {
  readonly normalMs: number;
  readonly duringMs: number;
  readonly perSecond: number;
}

/** The proxy stands still until all idle entities are due, else they would be passivated only as fast as they were opened. */
async function round(proxyPid: number, client: Client, counter: Client): Promise<RoundResult> {
  const before = await passivatedOver(counter);
  await openIdle(client);
  const dueAt = performance.now() + passivationMs;
  await sleep(1_000); // until the garbage of the opening is gone
  const normal = await withCommands(client, () => sleep(normalMs));
  process.kill(proxyPid, "SIGSTOP");
  try {
    await sleep(Math.max(0, dueAt - performance.now()));
  } finally {
    process.kill(proxyPid, "SIGCONT");
  }
  const seen: Seen[] = [];
  const during = await withCommands(client, () => watchPassivations(counter, before, seen));
  // On a slow machine some were due before the last were open.
  const early = seen[0]!.count;
  const when = (share: number) => seen.find(({ count }) => count >= early + share * (idle - early))!;
  const [first, last] = [when(0.1), when(0.9)];
  return {
    normalMs: p99(normal),
    duringMs: p99(during.filter(({ at }) => at >= first.at && at < last.at)),
    perSecond: ((last.count - first.count) * 1_000) / (last.at - first.at),
  };
}

/** How many had been passivated by then. */
interface Seen {
  readonly at: number;
  readonly count: number;
}

/** Until all idle entities are passivated. */
async function watchPassivations(counter: Client, before: number, seen: Seen[]): Promise<void> {
  const until = performance.now() + 2 * passivationMs;
  for (let count = 0; count < idle;) {
    if (performance.now() > until) throw new Error(`only ${count} of ${idle} idle entities were passivated`);
    count = (await passivatedOver(counter)) - before;
    seen.push({ at: performance.now(), count });
    await sleep(pollMs);
  }
}

/** One command on each of the entities that are then left alone. */
async function openIdle(client: Client): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < idle) {
      const index = next++;
      const status = await client.call("Account/Deposit", `idle-${index}`).ended;
      if (status !== "0") throw new Error(`the command on idle entity ${index} failed with status ${status}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

interface Answer {
  readonly status: string;
  /** When the command was due, and how long its answer took from then. */
  readonly at: number;
  readonly ms: number;
}

function p99(answers: readonly Answer[]): number {
  return quantile(
    answers.map(({ ms }) => ms),
    0.99,
  );
}

/** Commands at a fixed rate, while something else goes on. */
async function withCommands(client: Client, meanwhile: () => Promise<void>): Promise<readonly Answer[]> {
  const calls: Promise<Answer>[] = [];
  const startedAt = performance.now();
  const call = async (index: number) => {
    const at = startedAt + (index * 1_000) / commandsPerSecond;
    const status = await client.call("Account/Deposit", `other-${index % others}`).ended;
    return { status, at, ms: performance.now() - at };
  };
  const timer = setInterval(() => {
    while (startedAt + (calls.length * 1_000) / commandsPerSecond <= performance.now()) calls.push(call(calls.length));
  }, 1);
  try {
    await meanwhile();
  } finally {
    clearInterval(timer);
  }
  const answers = await Promise.all(calls);
  const failed = answers.find(({ status }) => status !== "0");
  if (failed) throw new Error(`a command failed with status ${failed.status} beside many idle entities`);
  return answers;
}
