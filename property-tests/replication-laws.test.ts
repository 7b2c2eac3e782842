import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { NumberedChange } from "../crdt/index.ts";
import { digest } from "../crdt/index.ts";
import { MassaError } from "../lib/core/errors.ts";
import { cutBatches, decodeBatch, type Batch } from "../lib/replication/batch.ts";
import { decodeMembers, decodeMessage, encodeMembers, encodeMessage, type Message } from "../lib/replication/frames.ts";
import { compare, shortClock, type Heartbeat } from "../lib/replication/heartbeat.ts";
import { Members, tableHash, type Member } from "../lib/replication/members.ts";
import { Replicator } from "../lib/replication/replicator.ts";
import { rightRules } from "../lib/replication/rules.ts";

const replica = fc.integer({ min: 0, max: 5 }).map((place) => String(place).repeat(32));
const number = fc.integer({ min: 1, max: 2 ** 40 });
const name = fc.string({ unit: "grapheme", maxLength: 8 });
const clock = fc.dictionary(replica, number, { maxKeys: 6 }).map((entries) => new Map(Object.entries(entries).sort()));
const hash = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString("hex"));

const changes = fc
  .array(
    fc.record({ entity: name, adds: fc.integer({ min: 0, max: 3 }), drops: fc.array(replica, { maxLength: 1 }) }),
    { minLength: 1, maxLength: 12 },
  )
  .map((steps) => {
    let last = 0;
    return steps.map(({ entity, adds, drops }): NumberedChange => {
      const from = last + 1;
      last += Math.max(1, adds);
      const entry = (place: number) => ({
        dot: { replica: "a".repeat(32), number: from + place },
        path: ["pncounter"],
        content: { type: "amount", amount: BigInt(place + from) } as const,
      });
      return {
        entity,
        from,
        to: last,
        drops: drops.map((other) => ({ replica: other, number: from })),
        adds: Array.from({ length: adds }, (_, place) => entry(place)),
      };
    });
  });
const batch = changes.map((held): Batch => cutBatches("a".repeat(32), held, 1e9)[0]!);

const member: fc.Arbitrary<Member> = fc
  .record({
    replica,
    incarnation: fc.integer({ min: 1, max: 3 }),
    isOut: fc.boolean(),
    nodeName: fc.constantFrom("a", "b"),
    startedMs: fc.constantFrom(1, 2),
    groups: fc.constantFrom(undefined, [], ["g"], ["g", "h"]),
  })
  .map((held) => (held.isOut ? { ...held, nodeName: "", startedMs: 0, groups: [] } : held));
const table = fc.array(member, { maxLength: 6 });

const heartbeat: fc.Arbitrary<Heartbeat> = fc
  .record({
    replica,
    incarnation: number,
    number,
    isLeaving: fc.boolean(),
    isGone: fc.boolean(),
    isReady: fc.boolean(),
    membersHash: hash,
    silent: fc.array(replica, { maxLength: 3 }),
    leavers: fc.array(replica, { maxLength: 3 }),
    named: fc.uniqueArray(replica),
    clocks: fc.uniqueArray(fc.tuple(name, clock), { selector: ([group]) => group, maxLength: 3 }),
  })
  .map(({ named, clocks, ...beat }) => ({
    ...beat,
    groups: clocks.map(([group, held]) => shortClock(group, held, named)),
  }));

const kept = fc
  .dictionary(name, number, { maxKeys: 2 })
  .map(
    (entities) =>
      new Map(Object.entries(entities).map(([entity, at]) => [entity, [{ replica: "b".repeat(32), number: at }]])),
  );
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: fc.constant("batch"), group: name, batch, ask: fc.nat() }),
  fc.record({ type: fc.constant("ack"), group: name, number }),
  fc.record({ type: fc.constant("ask"), group: name, id: number, clock, wantsReading: fc.boolean() }),
  fc.record({
    type: fc.constant("answered"),
    group: name,
    id: number,
    isReady: fc.boolean(),
    lacked: clock,
    isBusy: fc.boolean(),
  }),
  fc.record({
    type: fc.constant("slice"),
    group: name,
    id: number,
    reading: number,
    index: fc.nat(100),
    isLast: fc.boolean(),
    isReady: fc.boolean(),
    clock,
    kept,
    parts: changes.map((held) => held.map(({ entity, adds }) => ({ entity, repair: { entries: adds, kept: [] } }))),
  }),
  fc.record({ type: fc.constant("more"), group: name, id: number, reading: number, taken: fc.nat(100) }),
  fc.record({ type: fc.constant("members"), members: table, answer: fc.boolean() }),
  heartbeat.map((held) => ({ type: "heartbeat", heartbeat: held }) as const),
);

/** fast-check's records have no prototype; ours have. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return new Map([...value].map(([key, held]) => [key, plain(held)]));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [key, plain(held)]));
}

suite("replication: messages", () => {
  test("what is written is read again", () => {
    fc.assert(fc.property(message, (held) => assert.deepEqual(decodeMessage(encodeMessage(held)), plain(held))));
  });

  test("hostile bytes give an error of the protocol, or a message", () => {
    const survives = (bytes: Uint8Array) => {
      try {
        decodeMessage(bytes);
        decodeMembers(bytes);
      } catch (failure) {
        assert.ok(failure instanceof MassaError && failure.code === "protocol", String(failure));
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), survives));
    fc.assert(
      fc.property(message, fc.nat(), fc.nat(255), (held, at, byte) => {
        const bytes = encodeMessage(held).slice();
        bytes[at % bytes.length] = byte;
        survives(bytes);
        survives(bytes.slice(0, at % bytes.length));
      }),
      { numRuns: 300 },
    );
  });

  test("batches cut at any size are the same changes", () => {
    fc.assert(
      fc.property(changes, fc.integer({ min: 1, max: 400 }), (held, bytesMax) => {
        const cut = cutBatches("a".repeat(32), held, bytesMax);
        assert.deepEqual(
          cut.flatMap(({ origin, bytes }) => decodeBatch(origin, bytes).changes),
          held,
        );
        for (const piece of cut) assert.ok(piece.bytes.length <= bytesMax || piece.changes.length === 1);
      }),
    );
  });
});

suite("replication: clocks in short", () => {
  test("a heartbeat tells exactly who has all, and whose rest differs", () => {
    fc.assert(
      fc.property(clock, clock, fc.uniqueArray(replica), (here, there, named) => {
        const { differs, isCovered } = compare(here, shortClock("g", there, named));
        const rest = (held: ReadonlyMap<string, number>) => [...held].filter(([place]) => !named.includes(place));
        const isSame = JSON.stringify(rest(here)) === JSON.stringify(rest(there));
        const hasAll = named.every((place) => (there.get(place) ?? 0) >= (here.get(place) ?? 0));
        assert.deepEqual([differs, isCovered], [!isSame, isSame && hasAll]);
      }),
    );
  });
});

suite("replication: the members' table", () => {
  const self = { replica: "f".repeat(32), nodeName: "f", startedMs: 1 };
  const joined = (...tables: readonly (readonly Member[])[]) => {
    const members = new Members(self, rightRules);
    for (const held of tables) members.join(held);
    return members;
  };

  test("tables join to the same in any order and grouping, and twice is once", () => {
    fc.assert(
      fc.property(table, table, table, (one, two, three) => {
        const { hash: expected } = joined(one, two, three);
        assert.equal(joined(three, two, one).hash, expected);
        assert.equal(joined([...joined(two, three).all()], one).hash, expected);
        assert.equal(joined(one, two, three, two, one).hash, expected);
        assert.equal(tableHash(decodeMembers(encodeMembers(joined(one, two, three).all()))), expected);
      }),
    );
  });

  test("whoever is in touch with a table that counts it out is in again at the next incarnation", () => {
    fc.assert(
      fc.property(table, fc.integer({ min: 1, max: 9 }), (others, incarnation) => {
        const members = joined(others, [{ ...self, incarnation, isOut: true, nodeName: "", startedMs: 0, groups: [] }]);
        assert.equal(members.isIn(self.replica), true);
        assert.equal(members.self.incarnation, incarnation + 1);
      }),
    );
  });

  test("MAJORITY is more than half of those in, or of those expected, and two majorities meet", () => {
    fc.assert(
      fc.property(table, fc.integer({ min: 1, max: 9 }), (others, expect) => {
        const members = joined(others);
        members.host(["g"]);
        const all = members.needed("g", "all", expect);
        assert.ok(all >= members.hosts("g").length);
        assert.ok(2 * members.needed("g", "majority", expect) > all);
        assert.ok(members.needed("g", "majority", expect) <= all);
      }),
    );
  });
});

suite("replication: a replicator", () => {
  const limits = { ringBytes: 1e6, waitingBytes: 1e6, keptMax: 1_000, batchBytes: 60, changeBytes: 1e6 };

  test("batches in any order, any number of times, come to the same state and clock as in order", () => {
    fc.assert(
      fc.property(changes, fc.infiniteStream(fc.nat()), (held, chances) => {
        const batches = cutBatches("a".repeat(32), held, 60);
        const inOrder = new Replicator("b".repeat(32), limits, rightRules);
        for (const piece of batches) assert.equal(inOrder.receive(piece).type, "applied");
        const any = new Replicator("c".repeat(32), limits, rightRules);
        const chance = (): number => chances.next().value as number;
        for (let step = 0; step < 2 * batches.length; step += 1) any.receive(batches[chance() % batches.length]!);
        for (const piece of batches) any.receive(piece);
        assert.deepEqual(any.clock, inOrder.clock);
        for (const entity of new Set([...inOrder.tables.names(), ...any.tables.names()])) {
          assert.equal(digest(any.tables.look(entity)), digest(inOrder.tables.look(entity)));
        }
        assert.equal(any.waiting.bytes, 0);
        assert.equal(any.keptCount, inOrder.keptCount);
      }),
    );
  });
});
