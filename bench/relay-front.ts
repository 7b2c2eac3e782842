/**
 * The real front and function link with nothing but a trivial router between, to see what these two cost; with `--actions`
 * the real router and action handler stand there.
 * Usage: relay-front.ts [--port 9101] [--function 8080] [--actions]. Prints one line when it listens.
 */
import assert from "node:assert/strict";
import { createRegistry } from "@bufbuild/protobuf";
import { parseArgs } from "node:util";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import type { Method, Service, ServiceTable } from "../lib/discovery/service-table.ts";
import { createActionHandler } from "../lib/entities/action.ts";
import { openFront } from "../lib/frontend/front.ts";
import type { Router } from "../lib/routing/command.ts";
import { createRouter } from "../lib/routing/router.ts";
import { openUserFunction } from "../lib/user-function/grpc.ts";
import { frameOf } from "../lib/wire/http2-frames.ts";
import { nodeHttp2 } from "../lib/wire/http2-node.ts";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "9101" },
    function: { type: "string", default: "8080" },
    actions: { type: "boolean", default: false },
  },
});
const parts = { engine: nodeHttp2, world: realWorld, log: silentLogger, telemetry: silentTelemetry };
const kib = 1024;
const userFunction = openUserFunction(parts, {
  address: { host: "127.0.0.1", port: Number(flags.function) },
  waitMs: 5_000,
  waitersMax: 10_000,
  bufferBytes: 64 * kib * kib,
  sessionsMax: 64,
  connectTimeoutMs: 5_000,
  backoffMinMs: 100,
  backoffMaxMs: 2_000,
  windowBytes: 64 * kib,
  messageBytesMax: 12 * kib * kib,
});

const trivial: Router = {
  open(command, caller) {
    const stream = userFunction.open("/bench.Raw/unary", {
      message: (value) => caller.reply({ typeUrl: "", value }, []),
      drain: () => caller.drain(),
      end: () => caller.end(),
      fail: (error) => caller.fail(error),
    });
    stream.write(frameOf(command.payload!.value));
    return {
      send: () => true,
      halfClose: () => stream.end(),
      cancel: () => stream.cancel(),
      pause: () => stream.pause(),
      resume: () => stream.resume(),
    };
  },
};

const methods = new Map<string, Method>();
const service: Service = { name: "bench.Action", entityType: "action", persistenceId: "", methods };
methods.set("Call", {
  service,
  name: "Call",
  path: "/bench.Action/Call",
  labels: { service: service.name, method: "Call" },
  inputType: "bench.In",
  outputType: "bench.Out",
  inputUrl: "type.googleapis.com/bench.In",
  outputUrl: "type.googleapis.com/bench.Out",
  streamedIn: false,
  streamedOut: false,
  key: () => "",
});
const table: ServiceTable = { services: new Map([[service.name, service]]), files: [], registry: createRegistry() };

const actions = createRouter({
  ...parts,
  handlers: {
    action: createActionHandler({
      userFunction,
      reportError: (message) => console.error(message),
      calls: { watch: () => undefined, forget: () => undefined },
    }),
  },
  others: { host: () => false, open: () => assert.fail("there are no other nodes") },
  reportError: (message) => console.error(message),
  options: { hopsMax: 64, effectsMax: 1_000 },
});
actions.setTable(table);

const front = await openFront({
  ...parts,
  router: flags.actions ? actions : trivial,
  table,
  options: {
    host: "127.0.0.1",
    port: Number(flags.port),
    connectionsMax: 10_000,
    streamsMax: 10_000,
    windowBytes: 64 * kib,
    headerBytesMax: 16 * kib,
    greetingTimeoutMs: 10_000,
    idleTimeoutMs: 43_200_000,
    bodyTimeoutMs: 30_000,
    headersTimeoutMs: 10_000,
    keepAliveMs: 120_000,
    pipelineMax: 100,
    cors: { origins: [], headers: [], exposed: [], maxAgeMs: 600_000 },
    messageBytesMax: 12 * kib * kib,
    bufferBytes: 256 * kib * kib,
  },
});
console.log(JSON.stringify({ listening: front.port }));
