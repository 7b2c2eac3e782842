import { setTimeout as sleep } from "node:timers/promises";
import { openClient } from "./client.ts";
import { type Figure, figure } from "./figures.ts";
import { residentBytesOf } from "./load-cpu.ts";
import { startFunction, startProxy } from "./stage.ts";

const streams = 10_000;
const warm = 100;
const atOnce = 64;
const settleMs = 5_000;

/** Ten thousand entity streams open: what each costs, and how long one command on each takes when all come at once. */
export async function streamFigures(): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const proxy = await startProxy(bench.port);
  stack.defer(() => proxy.stop());
  const client = openClient(proxy.port);
  stack.defer(() => client.close());
  const touch = async (index: number) => {
    const startedAt = performance.now();
    const status = await client.call("Counter/Touch", `stream-${index}`).ended;
    return { status, ms: performance.now() - startedAt };
  };
  const open = async (from: number, to: number) => {
    for (let start = from; start < to; start += atOnce) {
      const some = Array.from({ length: Math.min(atOnce, to - start) }, (_, index) => touch(start + index));
      const refused = (await Promise.all(some)).find(({ status }) => status !== "0");
      if (refused) throw new Error(`a stream was refused with status ${refused.status}`);
    }
    await sleep(settleMs);
    return residentBytesOf(proxy.pid);
  };
  const before = await open(0, warm);
  const after = await open(warm, streams);
  const answers = await Promise.all(Array.from({ length: streams }, (_, index) => touch(index)));
  return [
    figure("stream.kb", (after - before) / 1_000 / (streams - warm), "kB"),
    figure("stream.slowest_ms", Math.max(...answers.map(({ ms }) => ms)), "ms"),
    figure("stream.failed", answers.filter(({ status }) => status !== "0").length, "calls"),
  ];
}
