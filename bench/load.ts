/**
 * Calls a unary method and prints one JSON line of figures: bench.In over gRPC, or with `--message order` a bench.Order, which
 * `--protocol json` posts as JSON over HTTP/1.1, and `json2` over HTTP/2.
 * Usage: load.ts --port 9001 --path /bench.Action/Call [--protocol grpc|json|json2] [--message in|order]
 *   [--concurrency 64 | --rate 1000] [--seconds 5] [--warmup 1] [--bytes 100] [--keys 64] [--pid PROXY]
 */
import { parseArgs } from "node:util";
import { cpuMicrosOf } from "./load-cpu.ts";
import { openGrpc } from "./load-grpc.ts";
import { openJson, openJsonOverHttp2 } from "./load-json.ts";
import { order, orderBytes } from "./order.ts";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "9001" },
    path: { type: "string", default: "/bench.Action/Call" },
    protocol: { type: "string", default: "grpc" },
    message: { type: "string", default: "in" },
    concurrency: { type: "string", default: "64" },
    rate: { type: "string", default: "0" },
    seconds: { type: "string", default: "5" },
    warmup: { type: "string", default: "1" },
    bytes: { type: "string", default: "100" },
    keys: { type: "string", default: "64" },
    pid: { type: "string" },
  },
});
const port = Number(flags.port);
const concurrency = Number(flags.concurrency);
const rate = Number(flags.rate);
const pid = flags.pid === undefined ? undefined : Number(flags.pid);

/** bench.In { key, body } */
function inputOf(key: string): Buffer {
  const body = Buffer.alloc(Number(flags.bytes), 7);
  const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7];
  return Buffer.concat([Buffer.from([10, key.length]), Buffer.from(key), Buffer.from([18, ...length]), body]);
}

const inputs = () => Array.from({ length: Number(flags.keys) }, (_, index) => inputOf(`key-${index}`));
const bodies = flags.message === "order" ? [Buffer.from(orderBytes())] : inputs();
const send = open(flags.protocol);

function open(protocol: string) {
  if (protocol === "json") return openJson(port, flags.path, JSON.stringify(order));
  if (protocol === "json2") return openJsonOverHttp2(port, flags.path, JSON.stringify(order));
  return openGrpc(port, flags.path, bodies);
}

let latencies: number[] = [];
let failures = 0;
let firstFailure = "";
let sent = 0;
let stopped = false;

/** One call; its latency counts from `startedAt`, which in rate mode is when it was due. */
function call(startedAt: number, done: () => void): void {
  send(sent++, (failure) => {
    if (failure === "") latencies.push(performance.now() - startedAt);
    else {
      failures += 1;
      firstFailure ||= failure;
    }
    done();
  });
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
process.exit(0);
