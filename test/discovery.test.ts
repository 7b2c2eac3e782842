import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { MassaError } from "../lib/core/errors.ts";
import { type Logger, silentLogger } from "../lib/core/log.ts";
import { type Clock, seededRandom, type World } from "../lib/core/world.ts";
import { createDiscoveryClient } from "../lib/discovery/client.ts";
import { createDiscovery, type DiscoveryClient, type DiscoveryOptions } from "../lib/discovery/discovery.ts";
import type { UserFunction } from "../lib/user-function/user-function.ts";
import {
  EntitySpecSchema,
  type EntitySpec,
  type ProxyInfo,
  ProxyInfoSchema,
  UserFunctionErrorSchema,
} from "../lib/wire/gen/cloudstate/entity_pb.ts";
import { fileOf, skeleton, specOf } from "./discovery-harness.ts";

const good = specOf([fileOf("a.proto", { methods: ["Get"] })], [["action", "a_proto.S"]]);
const outdated = specOf([fileOf("a.proto", { methods: ["Get"] })], [["action", "a_proto.S"]], [0, 1]);
const options: DiscoveryOptions = {
  ...skeleton,
  address: "127.0.0.1:8080",
  proxyName: "massa",
  proxyVersion: "1.2.3",
  backoffMinMs: 1_000,
  backoffMaxMs: 10_000,
  jitter: 0.2,
};

/** A clock whose waits are over at once and written down. */
function instantWorld(): { world: World; waits: number[] } {
  const waits: number[] = [];
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    after: () => () => undefined,
    every: () => () => undefined,
    sleep: async (delayMs, signal) => {
      waits.push(delayMs);
      signal.throwIfAborted();
    },
  };
  return { world: { clock, random: seededRandom(7) }, waits };
}

/** A function that answers as told: an answer, or an error to fail with. */
function scripted(answers: readonly (EntitySpec | Error)[]) {
  const asked: ProxyInfo[] = [];
  const reports: string[] = [];
  const client: DiscoveryClient = {
    discover: async (proxy) => {
      asked.push(proxy);
      const answer = answers[Math.min(asked.length, answers.length) - 1]!;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    reportError: async (message) => void reports.push(message),
  };
  return { client, asked, reports };
}

const never = new AbortController().signal;

suite("discovery", () => {
  test("asks once, says who asks and what is served, and has a table", async () => {
    const { client, asked } = scripted([good]);
    const discovery = createDiscovery({ client, world: instantWorld().world, log: silentLogger }, options);
    assert.match(discovery.reason!, /not asked/);
    const outcome = await discovery.ask(never);
    assert(outcome.type === "table");
    assert.deepEqual([...outcome.table.services.keys()], ["a_proto.S"]);
    assert.equal(discovery.reason, undefined);
    assert.equal(asked.length, 1);
    assert.deepEqual(toJson(ProxyInfoSchema, asked[0]!, { alwaysEmitImplicit: true }), {
      protocolMajorVersion: 0,
      protocolMinorVersion: 2,
      proxyName: "massa",
      proxyVersion: "1.2.3",
      supportedEntityTypes: ["cloudstate.action.ActionProtocol", "cloudstate.crdt.Crdt"],
    });
  });

  test("tries again with growing waits while there is no usable answer, and tells each time", async () => {
    const down = new MassaError("unavailable", "connection refused");
    const garbage = specOf(Buffer.from("garbage"), [["action", "a_proto.S"]]);
    const { client, asked, reports } = scripted([down, garbage, down, down, down, down, good]);
    const lines: object[] = [];
    const reasons: (string | undefined)[] = [];
    const log: Logger = {
      ...silentLogger,
      warn: (fields) => {
        lines.push(fields);
        reasons.push(discovery.reason);
      },
    };
    const { world, waits } = instantWorld();
    const discovery = createDiscovery({ client, world, log }, options);
    assert.equal((await discovery.ask(never)).type, "table");
    assert.equal(asked.length, 7);
    assert.deepEqual(reports, []);
    for (const [index, base] of [1_000, 2_000, 4_000, 8_000, 10_000, 10_000].entries()) {
      assert(waits[index]! >= base && waits[index]! <= 1.2 * base, `wait ${index}: ${waits[index]!}`);
    }
    assert.notEqual(waits[4], waits[5], "jitter");
    assert.deepEqual(lines[0], {
      address: options.address,
      attempt: 1,
      error: "connection refused",
      delayMs: waits[0]!,
    });
    assert.match(reasons[0]!, /127\.0\.0\.1:8080 .*attempt 1: connection refused/);
    assert.match(reasons[1]!, /does not parse/);
    assert.equal(discovery.reason, undefined);
  });

  test("reports a rejection and does not ask again", async () => {
    const { client, asked, reports } = scripted([outdated]);
    const { world, waits } = instantWorld();
    const discovery = createDiscovery({ client, world, log: silentLogger }, options);
    const text = "Incompatible protocol version 0.1, only 0.2 is supported";
    assert.deepEqual(await discovery.ask(never), { type: "rejected", message: text });
    assert.deepEqual([asked.length, waits, reports], [1, [], [text]]);
    assert.match(discovery.reason!, /rejected: Incompatible/);
  });

  test("rejects also when the report fails", async () => {
    const { client } = scripted([outdated]);
    const warned: string[] = [];
    const log = { ...silentLogger, warn: (_: object, message: string) => void warned.push(message) };
    const reportError = () => Promise.reject(new MassaError("unavailable", "gone"));
    const discovery = createDiscovery(
      { client: { ...client, reportError }, world: instantWorld().world, log },
      options,
    );
    assert.equal((await discovery.ask(never)).type, "rejected");
    assert.deepEqual(warned, ["rejection could not be reported"]);
  });

  test("only warns of another version when the check is off", async () => {
    const { client } = scripted([outdated]);
    const warned: unknown[] = [];
    const log = { ...silentLogger, warn: (bound: object, message: string) => void warned.push(message, bound) };
    const lenient = { ...options, compatibilityCheck: false };
    const discovery = createDiscovery({ client, world: instantWorld().world, log }, lenient);
    assert.equal((await discovery.ask(never)).type, "table");
    const { address } = options;
    assert.deepEqual(warned, ["user function speaks another protocol version", { address, version: "0.1" }]);
  });

  test("asks again from the beginning after a function was lost", async () => {
    const { client, asked } = scripted([good, new MassaError("unavailable", "gone"), outdated]);
    const discovery = createDiscovery({ client, world: instantWorld().world, log: silentLogger }, options);
    assert.equal((await discovery.ask(never)).type, "table");
    assert.equal((await discovery.ask(never)).type, "rejected");
    assert.equal(asked.length, 3);
    assert.notEqual(discovery.reason, undefined);
  });

  test("stops when it is aborted, while asking and while waiting", async () => {
    const down = new MassaError("unavailable", "down");
    const stop = new AbortController();
    const reason = new Error("stopping");
    const { client } = scripted([down]);
    const log = { ...silentLogger, warn: () => stop.abort(reason) };
    const waiting = createDiscovery({ client, world: instantWorld().world, log }, options);
    await assert.rejects(waiting.ask(stop.signal), reason);
    const hangs: DiscoveryClient = {
      ...client,
      discover: (_, signal) =>
        new Promise((__, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
    };
    const asking = new AbortController();
    const quiet = { ...silentLogger, warn: () => assert.fail("being stopped is no failure of the function") };
    const asked = createDiscovery({ client: hangs, world: instantWorld().world, log: quiet }, options);
    const answer = asked.ask(asking.signal);
    asking.abort(reason);
    await assert.rejects(answer, reason);
  });
});

suite("the client of discovery", () => {
  const functionWith = (unary: UserFunction["unary"]) => ({ unary }) as Partial<UserFunction> as UserFunction;
  const info = create(ProxyInfoSchema);

  test("calls the two methods by their paths", async () => {
    const calls: [string, string][] = [];
    const client = createDiscoveryClient(
      functionWith(async (path, message) => {
        const text = path.endsWith("reportError")
          ? fromBinary(UserFunctionErrorSchema, message).message
          : fromBinary(ProxyInfoSchema, message).proxyName;
        calls.push([path, text]);
        return path.endsWith("discover") ? toBinary(EntitySpecSchema, good) : new Uint8Array(0);
      }),
      instantWorld().world.clock,
      1_000,
    );
    const { client: once, asked } = scripted([good]);
    await createDiscovery({ client: once, world: instantWorld().world, log: silentLogger }, options).ask(never);
    assert.equal((await client.discover(asked[0]!, never)).entities[0]?.serviceName, "a_proto.S");
    await client.reportError("no");
    assert.deepEqual(calls, [
      ["/cloudstate.EntityDiscovery/discover", "massa"],
      ["/cloudstate.EntityDiscovery/reportError", "no"],
    ]);
  });

  test("gives up on a function that accepts and never answers", async () => {
    let late: () => void = () => assert.fail("no timer");
    const clock: Clock = {
      ...instantWorld().world.clock,
      after: (delayMs, callback) => {
        assert.equal(delayMs, 250);
        late = callback;
        return () => undefined;
      },
    };
    const client = createDiscoveryClient(
      functionWith(
        (_, __, signal) =>
          new Promise((___, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
      ),
      clock,
      250,
    );
    const answer = client.discover(info, never);
    late();
    await assert.rejects(answer, { code: "deadline", message: /discover within 250 ms/ });
  });

  test("says when the answer is no EntitySpec", async () => {
    const client = createDiscoveryClient(
      functionWith(async () => Buffer.from([0x0a, 0xff])),
      instantWorld().world.clock,
      250,
    );
    await assert.rejects(client.discover(info, never), {
      code: "protocol",
      message: /^the answer to discover is no EntitySpec/,
    });
  });
});
