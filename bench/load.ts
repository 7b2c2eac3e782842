/**
 * Calls a unary gRPC method from bare node:http2 and prints one JSON line of figures.
 * Usage: load.ts --port 9001 --path /bench.Action/Call [--concurrency 64 | --rate 1000] [--seconds 5] [--warmup 1] [--bytes 100] [--keys 64] [--pid PROXY]
 */
import http2 from "node:http2";
import { parseArgs } from "node:util";
import { cpuMicrosOf } from "./load-cpu.ts";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "9001" },
    path: { type: "string", default: "/bench.Action/Call" },
    concurrency: { type: "string", default: "64" },
    rate: { type: "string", default: "0" },
    seconds: { type: "string", default: "5" },
    warmup: { type: "string", default: "1" },
    bytes: { type: "string", default: "100" },
    keys: { type: "string", default: "64" },
    pid: { type: "string" },
  },
});
const concurrency = Number(flags.concurrency);
const rate = Number(flags.rate);
const pid = flags.pid === undefined ? undefined : Number(flags.pid);

/** bench.In { key, body } in a gRPC frame. */
function requestOf(key: string): Buffer {
  const body = Buffer.alloc(Number(flags.bytes), 7);
  const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7];
  const message = Buffer.concat([Buffer.from([10, key.length]), Buffer.from(key), Buffer.from([18, ...length]), body]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const requests = Array.from({ length: Number(flags.keys) }, (_, index) => requestOf(`key-${index}`));
const headers = { ":method": "POST", ":path": flags.path, "content-type": "application/grpc", te: "trailers" };
const session = http2.connect(`http://127.0.0.1:${flags.port}`, { maxSessionMemory: 1000 });
session.on("error", (error: Error) => {
  console.error(error.message);
  process.exit(1);
});

let latencies: number[] = [];
let failures = 0;
let firstFailure = "";
let sent = 0;
let stopped = false;

/** One call; its latency counts from `startedAt`, which in rate mode is when it was due. */
function call(startedAt: number, done: () => void): void {
  const stream = session.request(headers);
  let status = "none";
  stream.on("response", (received) => {
    status = String(received["grpc-status"] ?? status);
  });
  stream.on("trailers", (received: http2.IncomingHttpHeaders) => {
    status = received["grpc-status"] as string;
    if (status !== "0" && firstFailure === "") firstFailure = `${status} ${received["grpc-message"] as string}`;
  });
  stream.on("data", () => undefined);
  stream.on("error", () => undefined);
  stream.on("close", () => {
    if (status === "0") latencies.push(performance.now() - startedAt);
    else {
      failures += 1;
      firstFailure ||= `status ${status}`;
    }
    done();
  });
  stream.end(requests[sent++ % requests.length]);
}

function loop(): void {
  if (!stopped) call(performance.now(), loop);
}

function paced(): void {
  const startedAt = performance.now();
  let due = 0;
  const timer = setInterval(() => {
    if (stopped) clearInterval(timer);
    for (const now = performance.now(); !stopped && startedAt + (due * 1000) / rate <= now; due++) {
      call(startedAt + (due * 1000) / rate, () => undefined);
    }
  }, 1);
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

if (rate > 0) paced();
else for (let started = 0; started < concurrency; started++) loop();
await sleep(Number(flags.warmup) * 1000);
latencies = [];
failures = 0;
const cpuBefore = pid === undefined ? 0 : cpuMicrosOf(pid);
const startedAt = performance.now();
await sleep(Number(flags.seconds) * 1000);
const seconds = (performance.now() - startedAt) / 1000;
const cpuMicros = pid === undefined ? undefined : cpuMicrosOf(pid) - cpuBefore;
const measured = latencies.sort((left, right) => left - right);
stopped = true;
const quantile = (share: number) => Number((measured[Math.floor(measured.length * share)] ?? Number.NaN).toFixed(3));
const perCall =
  cpuMicros === undefined ? {} : { cpuMicrosPerCall: Number((cpuMicros / Math.max(1, measured.length)).toFixed(1)) };
const latency = { p50Ms: quantile(0.5), p90Ms: quantile(0.9), p99Ms: quantile(0.99) };
const failed = failures > 0 ? { failures, firstFailure } : { failures };
console.log(
  JSON.stringify({
    calls: measured.length,
    callsPerSecond: Math.round(measured.length / seconds),
    ...latency,
    ...failed,
    ...perCall,
  }),
);
session.destroy();
