import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { Delivery, Driver, Feed, FeedListener } from "../eventing/driver.ts";
import { createMemoryBroker } from "../eventing/memory.ts";
import { Subscription } from "../eventing/subscription.ts";
import type { Outcome } from "../eventing/verdict.ts";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { seededRandom } from "../lib/core/world.ts";
import { ProcessClock, VirtualTime } from "../lib/testing/virtual-time.ts";

/** How one attempt ends. */
type End = "accept" | "fail" | "permanent" | "exhausted" | "down" | "answered-exhausted";
/** What a message's attempts come to, in order; after the last it is accepted. */
interface Plan {
  readonly key: number;
  readonly ends: readonly End[];
  readonly workMs: number;
}

const source = { topic: "t", group: "g" };
const attemptsMax = 3;
const inFlightMax = 8;
const plans = fc.array(
  fc.record({
    key: fc.nat(3),
    ends: fc.array(
      fc.constantFrom<End>("accept", "fail", "fail", "permanent", "exhausted", "down", "answered-exhausted"),
      { maxLength: 5 },
    ),
    workMs: fc.nat(30),
  }),
  { minLength: 1, maxLength: 40 },
);
/** Moments at which the feed is lost, the subscription is replaced, and keys are given to another member. */
const events = fc.array(
  fc.record({ atMs: fc.nat(400), type: fc.constantFrom("lose" as const, "replace" as const, "revoke" as const) }),
  { maxLength: 4 },
);

const errors: Readonly<Record<Exclude<End, "accept" | "permanent">, () => MassaError>> = {
  fail: () => new MassaError("failed", "no"),
  exhausted: () => new MassaError("exhausted", "bound"),
  down: () => new MassaError("unavailable", "away"),
  "answered-exhausted": () => MassaError.fromGrpc(8, "too large for me"),
};

function outcomeOf(end: End): Outcome {
  if (end === "accept") return { type: "accepted" };
  if (end === "permanent") return { type: "permanent", error: new MassaError("invalid", "never") };
  return { type: "failed", error: errors[end]() };
}

const turns = async () => {
  for (let turn = 0; turn < 12; turn += 1) await Promise.resolve();
};

/** A feed that is open, with what it has handed out. */
interface Live {
  feed: Feed | undefined;
  readonly listener: FeedListener;
  readonly taken: Set<Delivery>;
  /** Messages of keys that are another member's for now. */
  away: Delivery[] | undefined;
}

/** The memory broker, whose feeds can be cut and whose keys can go to another member and come back. */
function cuttable(driver: Driver) {
  const live = new Set<Live>();
  return {
    driver: {
      ...driver,
      async open(from, listener) {
        const taken = new Set<Delivery>();
        const entry: Live = { feed: undefined, listener, taken, away: undefined };
        const inner = await driver.open(from, {
          ...listener,
          deliver: (delivery) => {
            taken.add(delivery);
            // While half of the keys are another member's, their messages come to that one.
            if (entry.away && isOfHalf(delivery)) entry.away.push(delivery);
            else listener.deliver(delivery);
          },
          revoked: (isLost) => listener.revoked(isLost),
          closed: (error) => listener.closed(error),
        });
        entry.feed = inner;
        live.add(entry);
        const settled = (delivery: Delivery): Delivery => {
          taken.delete(delivery);
          return delivery;
        };
        return {
          ack: (delivery) => inner.ack(settled(delivery)),
          release: (delivery, attempts) => inner.release(settled(delivery), attempts),
          bury: (delivery, grave) => inner.bury(settled(delivery), grave),
          extend: (delivery) => inner.extend(delivery),
          pause: () => inner.pause(),
          resume: () => inner.resume(),
          lag: () => inner.lag(),
          async [Symbol.asyncDispose]() {
            live.delete(entry);
            await inner[Symbol.asyncDispose]();
          },
        };
      },
    } satisfies Driver,
    async lose() {
      for (const entry of live) {
        live.delete(entry);
        await entry.feed![Symbol.asyncDispose]();
        entry.listener.closed(new MassaError("unavailable", "cut"));
      }
    },
    /** Half of the keys go to a member that hands them straight back. */
    revoke() {
      for (const entry of live) {
        const { feed, listener, taken } = entry;
        const lost = [...taken].filter(isOfHalf);
        entry.away = [];
        listener.revoked(isOfHalf).then(
          () => {
            const back = [...lost, ...(entry.away ?? [])];
            entry.away = undefined;
            for (const delivery of back) if (taken.delete(delivery)) feed!.release(delivery, 0);
          },
          (reason: unknown) => assert.fail(String(reason)),
        );
      }
    },
  };
}

function isOfHalf({ key }: Delivery): boolean {
  return key === "0" || key === "1";
}

async function runs(
  given: readonly Plan[],
  happenings: readonly { atMs: number; type: "lose" | "replace" | "revoke" }[],
) {
  const time = new VirtualTime();
  const clock = new ProcessClock(time, 0);
  const world = { clock, random: seededRandom(7) };
  const options = { topicsMax: 1, topicMessagesMax: 100, topicBytesMax: 1e6, deadLettersMax: 100 };
  const broker = createMemoryBroker({ log: silentLogger, telemetry: silentTelemetry, options });
  const cuts = cuttable(broker);
  const attempts = given.map(() => 0);
  const accepted: number[] = [];
  const running = new Map<string, number>();
  let held = 0;
  const open = () =>
    new Subscription({
      driver: cuts.driver,
      source,
      world,
      log: silentLogger,
      telemetry: silentTelemetry,
      options: { inFlightMax, attemptsMax, backoffMinMs: 10, backoffMaxMs: 100, drainMs: 1_000, stallMs: 10_000 },
      plan: ({ body, key }) => ({
        lane: key,
        async run(signal) {
          const number = Number(Buffer.from(body).toString());
          const end = given[number]!.ends[attempts[number]!] ?? "accept";
          attempts[number]! += 1;
          const { promise, resolve } = Promise.withResolvers<undefined>();
          clock.after(given[number]!.workMs, () => resolve(undefined));
          assert.equal(running.get(key) ?? 0, 0, `two at once in lane ${key}`);
          running.set(key, 1);
          signal.addEventListener("abort", () => running.set(key, 0), { once: true });
          await promise;
          running.set(key, 0);
          if (end === "accept") accepted.push(number);
          return outcomeOf(end);
        },
      }),
    });
  await broker.declare(source.topic, [source.group]);
  for (const [number, { key }] of given.entries()) {
    await broker.publish(source.topic, { key: String(key), headers: [], body: Buffer.from(String(number)) });
  }
  let subscription = open();
  const due = [...happenings].sort((a, b) => a.atMs - b.atMs);
  const isDone = () => broker.topics()[0]!.messages === 0;
  for (let stepMs = 0; stepMs < 120_000 && !(isDone() && due.length === 0); stepMs += 5) {
    await turns();
    time.run(5);
    await turns();
    held = Math.max(held, subscription.held);
    if (due[0] === undefined || due[0].atMs > stepMs) continue;
    const { type } = due.shift()!;
    if (type === "lose") await cuts.lose();
    else if (type === "revoke") cuts.revoke();
    else {
      const stopping = subscription[Symbol.asyncDispose]();
      for (let waitedMs = 0; waitedMs < 1_100; waitedMs += 5) {
        await turns();
        time.run(5);
      }
      await stopping;
      subscription = open();
    }
  }
  assert.ok(isDone(), `${broker.topics()[0]!.messages} of ${given.length} were never settled`);
  await subscription[Symbol.asyncDispose]();
  return { accepted, attempts, held, dead: broker.deadLetters(source, 100) };
}

/** What becomes of a message that is never handed back uncounted or twice, by the rules of verdicts alone. */
function fateOf({ ends }: Plan): { readonly type: "accepted" | "dead"; readonly attempts: number } {
  let counted = 1;
  for (const end of ends) {
    if (end === "accept") break;
    if (end === "permanent") return { type: "dead", attempts: counted };
    if (end === "exhausted" || end === "down") continue;
    if (counted === attemptsMax) return { type: "dead", attempts: counted };
    counted += 1;
  }
  return { type: "accepted", attempts: counted };
}

suite("subscription", () => {
  test("undisturbed, each message meets its fate, once, in the order of its key, within the bound", async () => {
    await fc.assert(
      fc.asyncProperty(plans, async (given) => {
        const { accepted, dead, held } = await runs(given, []);
        const fates = given.map(fateOf);
        const numbersOf = (type: "accepted" | "dead") =>
          [...fates.keys()].filter((number) => fates[number]!.type === type);
        assert.deepEqual(
          [...accepted].sort((a, b) => a - b),
          numbersOf("accepted"),
        );
        const buried = dead.map(({ position, attempts }) => [Number(position), attempts]).sort((a, b) => a[0]! - b[0]!);
        assert.deepEqual(
          buried,
          numbersOf("dead").map((number) => [number, fates[number]!.attempts]),
        );
        for (let key = 0; key < 4; key += 1) {
          const ofKey = accepted.filter((number) => given[number]!.key === key);
          assert.deepEqual(
            ofKey,
            [...ofKey].sort((a, b) => a - b),
            `order of key ${key}`,
          );
        }
        assert.ok(held <= inFlightMax, `${held} were held`);
      }),
      { numRuns: 60 },
    );
  });

  test("feeds that are lost, members that come and go and restarts lose nothing and mix up no lane", async () => {
    await fc.assert(
      fc.asyncProperty(plans, events, async (given, happenings) => {
        const { accepted, dead, attempts } = await runs(given, happenings);
        const buried = new Set(dead.map(({ position }) => Number(position)));
        for (const number of given.keys()) {
          assert.ok(attempts[number]! >= 1, `message ${number} was never begun`);
          assert.ok(accepted.includes(number) || buried.has(number), `message ${number} came to nothing`);
        }
        assert.equal(dead.length, buried.size, "a message has two dead letters");
        for (let key = 0; key < 4; key += 1) {
          const firsts = [...new Set(accepted.filter((number) => given[number]!.key === key))];
          assert.deepEqual(
            firsts,
            [...firsts].sort((a, b) => a - b),
            `order of key ${key}`,
          );
        }
      }),
      { numRuns: 60 },
    );
  });
});
