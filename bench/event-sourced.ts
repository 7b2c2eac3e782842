import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Client, openClient } from "./client.ts";
import { type Figure, figure, median, quantile } from "./figures.ts";
import type { Effort } from "./link.ts";
import { load, startFunction, startProxy, temporaryDirectory } from "./stage.ts";

const deposit = "/bench.Account/Deposit";
/** Length of an event in the store, and of what the disk is asked for beside it. */
const eventBytes = 512;
const activations = { perRound: 200, warm: 100, atOnce: 64 };
/** A snapshot stands for one event, and a hundred follow it. */
const eventsEach = 101;

/** Commands that each store an event in a file, answered once it is on the disk, and what that disk can do. */
export async function durableFigures({ seconds, rounds }: Effort): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const directory = await temporaryDirectory(stack);
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const proxy = await startProxy(bench.port, { settings: { MASSA_STORE: `file:${join(directory, "massa.db")}` } });
  stack.defer(() => proxy.stop());
  const disk: number[] = [];
  const many: number[] = [];
  const single: number[] = [];
  const store = async (concurrency: number) =>
    (await load(proxy.port, deposit, { seconds, concurrency, bytes: eventBytes })).callsPerSecond;
  for (let round = 0; round < rounds; round++) {
    disk.push(syncsPerSecond(join(directory, "disk"), seconds));
    many.push(await store(64));
    single.push(await store(1));
  }
  return [
    figure("es.disk_fdatasync_per_s", median(disk), "/s"),
    figure("es.durable_per_s", median(many), "/s"),
    figure("es.single_per_s", median(single), "/s"),
  ];
}

/** The same commands with the store in memory. */
export async function memoryFigures({ seconds, rounds }: Effort): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const proxy = await startProxy(bench.port);
  stack.defer(() => proxy.stop());
  const micros: number[] = [];
  for (let round = 0; round < rounds; round++) {
    micros.push((await load(proxy.port, deposit, { seconds, concurrency: 64, pid: proxy.pid })).cpuMicrosPerCall!);
  }
  return [figure("es.memory_cpu_us", median(micros), "µs")];
}

/** First commands on entities of which a proxy that was started anew finds a snapshot and a hundred events in its file. */
export async function activationFigures(rounds: number): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const directory = await temporaryDirectory(stack);
  const settings = { MASSA_STORE: `file:${join(directory, "massa.db")}`, MASSA_ENTITIES_CACHE: "0" };
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const keys = Array.from(
    { length: activations.warm + activations.perRound * rounds },
    (_, index) => `account-${index}`,
  );
  const before = await startProxy(bench.port, { settings });
  try {
    await fill(before.port, keys);
  } finally {
    await before.stop();
  }
  const proxy = await startProxy(bench.port, { settings });
  stack.defer(() => proxy.stop());
  const client = openClient(proxy.port);
  stack.defer(() => client.close());
  const times: number[] = [];
  for (const key of keys) {
    const startedAt = performance.now();
    await answered(client, "Get", key);
    times.push(performance.now() - startedAt);
  }
  return [figure("es.activate_ms", quantile(times.slice(activations.warm), 0.5), "ms")];
}

async function fill(port: number, keys: readonly string[]): Promise<void> {
  const client = openClient(port);
  for (let start = 0; start < keys.length; start += activations.atOnce) {
    const some = keys.slice(start, start + activations.atOnce);
    await Promise.all(some.map((key) => answered(client, "Keep", key, 1)));
    await Promise.all(some.map((key) => answered(client, "Fill", key)));
  }
  client.close();
}

/** Fails unless the account says that it has had so many events. */
async function answered(client: Client, command: string, key: string, events = eventsEach): Promise<void> {
  let value = 0;
  const status = await client.call(`Account/${command}`, key, (heard) => (value = heard)).ended;
  if (status === "0" && value === events) return;
  throw new Error(`${command} of ${key} ended with status ${status} and ${value} events instead of ${events}`);
}

/** How often one after another the disk takes what is appended to a file. */
function syncsPerSecond(path: string, seconds: number): number {
  const file = openSync(path, "a");
  const bytes = Buffer.alloc(eventBytes, 7);
  const startedAt = performance.now();
  let syncs = 0;
  for (; performance.now() - startedAt < seconds * 1_000; syncs++) {
    writeSync(file, bytes);
    fdatasyncSync(file);
  }
  const perSecond = (syncs * 1_000) / (performance.now() - startedAt);
  closeSync(file);
  return perSecond;
}
