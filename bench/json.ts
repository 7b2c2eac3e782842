import assert from "node:assert/strict";
import { type Figure, figure, median } from "./figures.ts";
import type { Effort } from "./link.ts";
import { order } from "./order.ts";
import { load, startFunction, startProxy } from "./stage.ts";

const path = "/bench.Action/Order";

/**
 * Unary calls of one method, as JSON and over gRPC in turn. JSON over one session of HTTP/2, as gRPC goes, shows what JSON costs;
 * over 64 connections of HTTP/1.1 there are a read and a write of the kernel's for each call, which HTTP/2 shares among many.
 */
export async function jsonFigures({ seconds, rounds }: Effort): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const bench = await startFunction();
  stack.defer(() => bench.stop());
  const proxy = await startProxy(bench.port);
  stack.defer(() => proxy.stop());
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`http://127.0.0.1:${proxy.port}${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify(order),
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  assert.deepEqual(JSON.parse(text), order, "the order does not come back as it was sent");
  const micros = { json: [] as number[], json2: [] as number[], grpc: [] as number[] };
  // The first round is not counted: the code of all three is still being compiled, on the way of whoever comes first.
  for (let round = 0; round <= rounds; round++) {
    for (const protocol of ["json", "json2", "grpc"] as const) {
      const options = { protocol, message: "order", seconds, concurrency: 64, pid: proxy.pid };
      const { cpuMicrosPerCall } = await load(proxy.port, path, options);
      if (round > 0) micros[protocol].push(cpuMicrosPerCall!);
    }
  }
  const ratioOf = (each: readonly number[]) => median(each.map((value, round) => value / micros.grpc[round]!));
  return [
    figure("json.cpu_ratio", ratioOf(micros.json2), "of gRPC"),
    figure("json.http1_cpu_ratio", ratioOf(micros.json), "of gRPC"),
    figure("json.cpu_us", median(micros.json2), "µs"),
    figure("json.http1_cpu_us", median(micros.json), "µs"),
    figure("json.grpc_cpu_us", median(micros.grpc), "µs"),
  ];
}
