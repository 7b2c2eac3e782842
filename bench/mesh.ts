import { setTimeout as sleep } from "node:timers/promises";
import { openClient } from "./client.ts";
import { type Figure, figure, median, quantile } from "./figures.ts";
import { residentBytesOf } from "./load-cpu.ts";
import { load, type RunningProxy, startFunction, startProxy } from "./stage.ts";

const perSecond = 200;
const starts = 5;
const idleMs = 60_000;

/** Increments on one of three proxies: how many, and how soon they show on both others. */
export async function spreadFigures(seconds: number): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const proxies = await startMesh(stack, 3);
  const delays = await watchIncrements(proxies, seconds * 3);
  const { callsPerSecond } = await load(proxies[0]!.port, "/bench.Counter/Increment", { seconds, concurrency: 64 });
  return [
    figure("increments.per_second", callsPerSecond, "/s"),
    figure("visible3.p50_ms", quantile(delays, 0.5), "ms"),
    figure("visible3.p90_ms", quantile(delays, 0.9), "ms"),
    figure("visible3.p99_ms", quantile(delays, 0.99), "ms"),
  ];
}

/** A third proxy joins two: how long until it is ready, and what it holds when nothing happens. */
export async function startFigures(ids: (id: string) => boolean): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const peers = (await startMesh(stack, 2)).map(({ meshPort }) => meshPort);
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const figures: Figure[] = [];
  if (ids("start.ready_ms")) {
    const times: number[] = [];
    for (let round = 0; round < starts; round++) {
      const proxy = await startProxy(bench.port, { peers, expect: 3 });
      times.push(proxy.readyMs);
      await proxy.stop();
    }
    figures.push(figure("start.ready_ms", median(times), "ms"));
  }
  if (ids("idle.rss_mb")) {
    const proxy = await startProxy(bench.port, { peers, expect: 3 });
    stack.defer(() => proxy.stop());
    await sleep(idleMs);
    figures.push(figure("idle.rss_mb", residentBytesOf(proxy.pid) / 1e6, "MB"));
  }
  return figures;
}

async function startMesh(stack: AsyncDisposableStack, size: number): Promise<RunningProxy[]> {
  const proxies: RunningProxy[] = [];
  for (let index = 0; index < size; index++) {
    const bench = await startFunction();
    stack.defer(() => bench.stop());
    const peers = proxies.map(({ meshPort }) => meshPort);
    const proxy = await startProxy(bench.port, { peers, expect: 3 });
    stack.defer(() => proxy.stop());
    proxies.push(proxy);
  }
  return proxies;
}

/** Milliseconds from each increment's call on the first proxy until the watchers on all others have been told of it. */
async function watchIncrements(proxies: readonly RunningProxy[], seconds: number): Promise<number[]> {
  const [writer, ...watchers] = proxies.map(({ port }) => openClient(port));
  const key = "visible";
  const shown = watchers.map(() => [] as number[]);
  const watches = watchers.map((client, index) =>
    client.call("Counter/Watch", key, (value) => {
      const now = performance.now();
      // What is told may hold several increments at once.
      for (let count = shown[index]!.length + 1; count <= value; count++) shown[index]!.push(now);
    }),
  );
  const sentAt: number[] = [];
  const calls: Promise<string>[] = [];
  const startedAt = performance.now();
  while (sentAt.length < seconds * perSecond) {
    const due = startedAt + (sentAt.length * 1_000) / perSecond;
    const waitMs = due - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    sentAt.push(performance.now());
    calls.push(writer!.call("Counter/Increment", key).ended);
  }
  const failed = (await Promise.all(calls)).filter((status) => status !== "0");
  if (failed.length > 0) throw new Error(`${failed.length} increments failed, the first with status ${failed[0]!}`);
  const until = performance.now() + 10_000;
  while (shown.some((times) => times.length < sentAt.length)) {
    if (performance.now() > until)
      throw new Error(`only ${shown.map(({ length }) => length).join(", ")} of ${sentAt.length} increments showed`);
    await sleep(10);
  }
  for (const watch of watches) watch.cancel();
  for (const client of [writer!, ...watchers]) client.close();
  return sentAt.map((sent, index) => Math.max(...shown.map((times) => times[index]!)) - sent);
}
