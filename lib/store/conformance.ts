import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { AnyValue } from "../wire/protocol.ts";
import type { EntityKey, EventStore, LoggedEvent, Store } from "./store.ts";

/** What the suite needs to run on some store. Whoever opened it disposes it, and with it the store that is open by then. */
export interface StoreHarness extends AsyncDisposable {
  /** Empty, or holding nothing that this suite names. */
  readonly store: Store;
  /** Closes the store that is open and opens it anew; absent where nothing is kept. */
  reopen?(): Promise<Store>;
}

type Check = (title: string, body: (store: Store, harness: StoreHarness) => Promise<void>) => void;

const cart: EntityKey = { persistenceId: "carts", entityId: "one" };
const say = (text: string, typeUrl = "type.googleapis.com/shop.Said"): AnyValue => ({
  typeUrl,
  value: Buffer.from(text),
});
const conflict = { name: "MassaError", code: "conflict" };
const closed = { name: "MassaError", code: "unavailable", message: /closed/ };
/** What could be mangled on its way: nothing, bytes that end C strings, separators, what SQL and paths treat specially. */
const oddIds = [
  "",
  "\0",
  "a\0b",
  "a\0c",
  "a|b",
  "|",
  "ünï – 尺寸 🚚",
  "%_'\"`;--",
  " a ",
  "A",
  "a",
  "x".repeat(20_000),
];

/** What entities rely on from any store. An adapter is finished when this passes. */
export function storeConformance(name: string, open: () => Promise<StoreHarness>): void {
  suite(`${name} store`, () => {
    const check: Check = (title, body) => {
      test(title, async () => {
        await using harness = await open();
        await body(harness.store, harness);
      });
    };
    checkValues(check);
    checkEvents(check);
    checkLog(check);
    checkInbox(check);
    checkLife(check);
  });
}

function checkValues(check: Check): void {
  check("a value that was never written is absent, at version 0", async ({ values }) => {
    assert.deepEqual(await values.get(cart), { version: 0, value: undefined });
  });

  check("a value comes back with type and bytes, one version on with each write", async ({ values }) => {
    for (const [version, text] of ["one", "", "three"].entries()) {
      await values.put(cart, version, say(text, `example.com/T${version}`));
      const read = await values.get(cart);
      assert.equal(read.version, version + 1);
      same(read.value, say(text, `example.com/T${version}`));
    }
  });

  check("a put at another version is a conflict and writes nothing", async ({ values }) => {
    await assert.rejects(values.put(cart, 1, say("early")), conflict);
    await values.put(cart, 0, say("first"));
    for (const stale of [0, 2]) await assert.rejects(values.put(cart, stale, say("stale")), conflict);
    await assert.rejects(values.put(cart, 0, undefined), conflict);
    const read = await values.get(cart);
    assert.equal(read.version, 1);
    same(read.value, say("first"));
  });

  check("a version never goes back, not by a delete either", async ({ values }) => {
    await values.put(cart, 0, undefined);
    await values.put(cart, 1, say("one"));
    await values.put(cart, 2, undefined);
    assert.deepEqual(await values.get(cart), { version: 3, value: undefined });
    await assert.rejects(values.put(cart, 0, say("born again")), conflict);
    await values.put(cart, 3, say("two"));
    const read = await values.get(cart);
    assert.equal(read.version, 4);
    same(read.value, say("two"));
  });

  check("of concurrent puts at one version exactly one wins", async ({ values }) => {
    const rivals = Array.from({ length: 20 }, (_, rival) => values.put(cart, 0, say(`rival ${rival}`)));
    const winner = await onlyWinner(rivals);
    const read = await values.get(cart);
    assert.equal(read.version, 1);
    same(read.value, say(`rival ${winner}`));
  });

  check("odd ids are told apart, and each keeps its own value", async ({ values }) => {
    for (const key of oddKeys()) await values.put(key, 0, say(JSON.stringify(key)));
    for (const key of oddKeys()) same((await values.get(key)).value, say(JSON.stringify(key)));
  });

  check("every byte comes back, of large values too", async ({ values }) => {
    const large = filled(12 * 1024 * 1024, 7);
    await values.put(cart, 0, { typeUrl: "", value: large });
    same((await values.get(cart)).value, { typeUrl: "", value: large });
    const every = Uint8Array.from({ length: 256 }, (_, index) => index);
    await values.put(cart, 1, { typeUrl: "t/\0ü", value: every });
    same((await values.get(cart)).value, { typeUrl: "t/\0ü", value: every });
  });

  check("a slice of a larger buffer is stored alone, and outlives the buffer", async ({ values, events }) => {
    const buffer = Buffer.alloc(64 * 1024, "x");
    buffer.write("inside", 1000);
    const slice = { typeUrl: "t", value: buffer.subarray(1000, 1006) };
    await values.put(cart, 0, slice);
    await events.append(cart, 0, [slice]);
    await events.saveSnapshot(cart, 1, slice);
    buffer.fill("y");
    same((await values.get(cart)).value, say("inside", "t"));
    same((await events.read(cart, 0, 1))[0], say("inside", "t"));
    same((await events.head(cart)).snapshot?.payload, say("inside", "t"));
  });

  check("values and events of one key have nothing to do with each other", async ({ values, events }) => {
    await values.put(cart, 0, say("value"));
    assert.equal((await events.head(cart)).sequence, 0);
    await events.append(cart, 0, [say("event"), say("event")]);
    assert.equal((await values.get(cart)).version, 1);
  });
}

function checkEvents(check: Check): void {
  check("an entity without events starts at sequence 0", async ({ events }) => {
    assert.deepEqual(await events.head(cart), { sequence: 0, snapshot: undefined });
    assert.deepEqual(await events.read(cart, 0, 10), []);
  });

  check("events come back in order, with types and bytes, in pages", async ({ events }) => {
    const all = Array.from({ length: 25 }, (_, index) => say(`event ${index + 1}`, `example.com/T${index % 3}`));
    await events.append(cart, 0, all.slice(0, 1));
    await events.append(cart, 1, all.slice(1, 20));
    await events.append(cart, 20, all.slice(20));
    assert.equal((await events.head(cart)).sequence, 25);
    assert.equal((await events.read(cart, 0, 10)).length, 10);
    const read = await readAll(events, cart, 0, 10);
    assert.equal(read.length, 25);
    read.forEach((event, index) => same(event, all[index]));
    same((await events.read(cart, 24, 10))[0], all[24]);
    assert.deepEqual(await events.read(cart, 25, 10), []);
  });

  check("many events are appended whole or not at all", async ({ events }) => {
    const many = Array.from({ length: 2_000 }, (_, index) => say(`event ${index + 1}`));
    await events.append(cart, 0, many.slice(0, 1_000));
    for (const stale of [0, 999, 1_001]) await assert.rejects(events.append(cart, stale, many), conflict);
    assert.equal((await events.head(cart)).sequence, 1_000);
    assert.equal((await readAll(events, cart, 0, 500)).length, 1_000);
    assert.equal((await logged(events, cart.persistenceId)).length, 1_000);
  });

  check("a conflict of one entity leaves those written beside it alone", async ({ events }) => {
    const keys = Array.from({ length: 8 }, (_, index) => ({ persistenceId: "carts", entityId: `e${index}` }));
    const outcomes = await Promise.allSettled(
      keys.map((key, index) => events.append(key, index % 2, [say("one"), say("two")])),
    );
    assert.deepEqual(
      outcomes.map(({ status }) => status === "fulfilled"),
      keys.map((_, index) => index % 2 === 0),
    );
    for (const [index, key] of keys.entries()) {
      assert.equal((await events.head(key)).sequence, index % 2 === 0 ? 2 : 0);
    }
  });

  check("of concurrent appends at one sequence exactly one wins", async ({ events }) => {
    await events.append(cart, 0, [say("first")]);
    const rivals = Array.from({ length: 20 }, (_, rival) =>
      events.append(cart, 1, [say(`rival ${rival}`), say(`rival ${rival}`)]),
    );
    const winner = await onlyWinner(rivals);
    assert.equal((await events.head(cart)).sequence, 3);
    for (const event of await events.read(cart, 1, 10)) same(event, say(`rival ${winner}`));
  });

  check("appends sent one after another without waiting are carried out in order", async ({ events }) => {
    await Promise.all(
      Array.from({ length: 50 }, (_, sequence) => events.append(cart, sequence, [say(`event ${sequence + 1}`)])),
    );
    const read = await readAll(events, cart, 0, 100);
    assert.equal(read.length, 50);
    read.forEach((event, index) => same(event, say(`event ${index + 1}`)));
  });

  check("odd ids are told apart, and each keeps its own events", async ({ events }) => {
    for (const key of oddKeys()) await events.append(key, 0, [say(JSON.stringify(key))]);
    for (const key of oddKeys()) {
      assert.equal((await events.head(key)).sequence, 1);
      same((await events.read(key, 0, 2))[0], say(JSON.stringify(key)));
      const ids = (await logged(events, key.persistenceId)).map(({ entityId }) => entityId);
      assert.deepEqual(ids.filter((id) => id === key.entityId).length, 1);
    }
  });

  check("large events come whole, a few at a time", async ({ events }) => {
    const large = [1, 2, 3].map((seed) => ({ typeUrl: "t", value: filled(12 * 1024 * 1024, seed) }));
    await events.append(cart, 0, large);
    const read = await readAll(events, cart, 0, 10);
    assert.equal(read.length, 3);
    read.forEach((event, index) => same(event, large[index]));
    assert.equal((await logged(events, cart.persistenceId, 10)).length, 3);
  });

  check("the newer snapshot stays", async ({ events }) => {
    await events.append(
      cart,
      0,
      Array.from({ length: 9 }, () => say("event")),
    );
    await events.saveSnapshot(cart, 5, say("at five", "example.com/S"));
    await events.saveSnapshot(cart, 3, say("at three"));
    const head = await events.head(cart);
    assert.deepEqual([head.sequence, head.snapshot?.sequence], [9, 5]);
    same(head.snapshot?.payload, say("at five", "example.com/S"));
    await Promise.all([8, 9, 7].map((sequence) => events.saveSnapshot(cart, sequence, say(`at ${sequence}`))));
    same((await events.head(cart)).snapshot?.payload, say("at 9"));
    const other = { ...cart, entityId: "other" };
    assert.equal((await events.head(other)).snapshot, undefined);
  });
}

function checkLog(check: Check): void {
  check("the log has the events of all entities of one persistence id, in order, in pages", async ({ events }) => {
    const other = { persistenceId: "carts", entityId: "two" };
    await events.append(cart, 0, [say("a"), say("b")]);
    await events.append({ persistenceId: "orders", entityId: "one" }, 0, [say("not of this log")]);
    await events.append(other, 0, [say("c")]);
    await events.append(cart, 2, [say("d")]);
    const log = await logged(events, "carts", 2);
    assert.deepEqual(
      log.map(({ entityId, sequence }) => [entityId, sequence]),
      [
        ["one", 1],
        ["one", 2],
        ["two", 1],
        ["one", 3],
      ],
    );
    log.forEach(({ payload }, index) => same(payload, say("abcd"[index]!)));
    assert.equal(new Set(log.map(({ offset }) => offset)).size, 4);
    assert.deepEqual(await events.log("carts", log[3]!.offset, 10), []);
    assert.deepEqual(await events.log("nothing", undefined, 10), []);
    const again = await events.log("carts", log[1]!.offset, 10);
    assert.deepEqual(
      again.map(({ offset }) => offset),
      log.slice(2).map(({ offset }) => offset),
    );
  });

  check("what is no offset is refused", async ({ events }) => {
    await events.append(cart, 0, [say("a")]);
    for (const offset of ["", "x", "-1", "1.5", "1e3", " 1", "9".repeat(30)]) {
      await assert.rejects(events.log("carts", offset, 10), { name: "MassaError", code: "invalid" });
    }
  });

  check("a reader of the log misses nothing while others append", async ({ events }) => {
    const [writers, rounds] = [16, 20];
    const write = async (entityId: string) => {
      for (let round = 0; round < rounds; round++) {
        await events.append({ persistenceId: "carts", entityId }, round * 2, [say(entityId), say(entityId)]);
      }
    };
    const written = Promise.all(Array.from({ length: writers }, (_, index) => write(`e${index}`)));
    const seen: LoggedEvent[] = [];
    while (seen.length < writers * rounds * 2) {
      const page = await events.log("carts", seen.at(-1)?.offset, 7);
      seen.push(...page);
      if (page.length === 0) await new Promise(setImmediate);
    }
    await written;
    assert.equal(seen.length, writers * rounds * 2);
    const next = new Map<string, number>();
    for (const { entityId, sequence } of seen) {
      assert.equal(sequence, (next.get(entityId) ?? 0) + 1, `${entityId} is read in order`);
      next.set(entityId, sequence);
    }
    const stored = await logged(events, "carts");
    assert.deepEqual(
      seen.map(({ offset }) => offset),
      stored.map(({ offset }) => offset),
    );
  });

  check("whoever watches a log is called when it grew, until it stops", async ({ events }) => {
    let calls = 0;
    let others = 0;
    const told = Promise.withResolvers<undefined>();
    const unwatch = events.watch("carts", () => {
      calls += 1;
      told.resolve(undefined);
    });
    const second = Promise.withResolvers<undefined>();
    const unwatchSecond = events.watch("carts", () => second.resolve(undefined));
    const unwatchOther = events.watch("orders", () => (others += 1));
    const appended = events.append(cart, 0, [say("a")]);
    assert.equal(calls, 0, "not from within append");
    await appended;
    await Promise.all([told.promise, second.promise]);
    assert.equal((await events.log("carts", undefined, 10)).length, 1);
    unwatch();
    unwatch();
    const before = calls;
    const later = Promise.withResolvers<undefined>();
    const unwatchLater = events.watch("carts", () => later.resolve(undefined));
    await events.append(cart, 1, [say("b")]);
    await later.promise;
    assert.equal(calls, before);
    assert.equal(others, 0);
    for (const stop of [unwatchSecond, unwatchOther, unwatchLater]) stop();
  });

  check("each consumer has its own offset", async ({ offsets }) => {
    assert.equal(await offsets.get("stock"), undefined);
    await offsets.put("stock", "17");
    await offsets.put("mail|ü\0", "9007199254740993");
    await offsets.put("stock", "18");
    assert.equal(await offsets.get("stock"), "18");
    assert.equal(await offsets.get("mail|ü\0"), "9007199254740993");
    assert.equal(await offsets.get("mail"), undefined);
  });
}

function checkInbox(check: Check): void {
  const record = { subscription: "orders|stock", messageId: "0\0:17" };

  check("a message is recorded with what it wrote", async ({ values, events, inbox }) => {
    assert.equal(await inbox.has(record), false);
    await events.append(cart, 0, [say("a")], record);
    assert.equal(await inbox.has(record), true);
    assert.equal(await inbox.has({ ...record, subscription: "orders" }), false);
    assert.equal(await inbox.has({ ...record, messageId: "0" }), false);
    await values.put(cart, 0, say("a"), { ...record, messageId: "18" });
    assert.equal(await inbox.has({ ...record, messageId: "18" }), true);
  });

  check("a message is not recorded when its write was a conflict", async ({ values, events, inbox }) => {
    await assert.rejects(events.append(cart, 1, [say("a")], record), conflict);
    await assert.rejects(events.append(cart, 1, [], record), conflict);
    await assert.rejects(values.put(cart, 1, say("a"), record), conflict);
    assert.equal(await inbox.has(record), false);
  });

  check("an empty append records the message and nothing else", async ({ events, inbox }) => {
    await events.append(cart, 0, [say("a")]);
    await events.append(cart, 1, [], record);
    assert.equal(await inbox.has(record), true);
    assert.equal((await events.head(cart)).sequence, 1);
    assert.equal((await events.log("carts", undefined, 10)).length, 1);
  });

  check("a message that is recorded already writes nothing", async ({ values, events, inbox }) => {
    await events.append(cart, 0, [say("a")], record);
    await assert.rejects(events.append(cart, 1, [say("again")], record), conflict);
    await assert.rejects(values.put(cart, 0, say("again"), record), conflict);
    assert.equal((await events.head(cart)).sequence, 1);
    assert.equal((await values.get(cart)).version, 0);
    const fresh = { ...record, messageId: "twins" };
    await onlyWinner(
      ["left", "right"].map((entityId) => events.append({ ...cart, entityId }, 0, [say(entityId)], fresh)),
    );
    assert.equal((await logged(events, "carts")).length, 2);
    assert.equal(await inbox.has(fresh), true);
  });
}

function checkLife(check: Check): void {
  check("what was written is there after reopening", async (store, harness) => {
    if (harness.reopen === undefined) return;
    const record = { subscription: "orders", messageId: "17" };
    await store.values.put(cart, 0, say("value"));
    await store.values.put({ ...cart, entityId: "gone" }, 0, say("value"));
    await store.values.put({ ...cart, entityId: "gone" }, 1, undefined);
    await store.events.append(cart, 0, [say("a"), say("b")], record);
    await store.events.saveSnapshot(cart, 2, say("snapshot"));
    const before = await logged(store.events, "carts");
    await store.offsets.put("stock", before[0]!.offset);

    const { values, events, offsets, inbox } = await harness.reopen();
    const read = await values.get(cart);
    assert.equal(read.version, 1);
    same(read.value, say("value"));
    assert.deepEqual(await values.get({ ...cart, entityId: "gone" }), { version: 2, value: undefined });
    const head = await events.head(cart);
    assert.deepEqual([head.sequence, head.snapshot?.sequence], [2, 2]);
    same(head.snapshot?.payload, say("snapshot"));
    assert.deepEqual(await logged(events, "carts"), before);
    assert.equal(await inbox.has(record), true);
    const rest = await events.log("carts", await offsets.get("stock"), 10);
    assert.deepEqual(
      rest.map(({ sequence }) => sequence),
      [2],
    );
    await assert.rejects(events.append(cart, 0, [say("stale")]), conflict);
    await events.append(cart, 2, [say("c")]);
    assert.ok((await logged(events, "carts"))[2]);
  });

  check("what was sent before closing is answered, and kept if it succeeded", async (store, harness) => {
    const writes = Array.from({ length: 20 }, (_, index) =>
      store.events.append({ ...cart, entityId: `e${index}` }, 0, [say("a")]),
    );
    const settled = Promise.allSettled(writes);
    await store[Symbol.asyncDispose]();
    const fine = (await settled).filter(({ status }) => status === "fulfilled").length;
    if (harness.reopen === undefined) return;
    const { events } = await harness.reopen();
    const found = (await logged(events, "carts")).length;
    assert.ok(found >= fine, `${found} of ${fine} acknowledged events are there`);
  });

  check("a closed store says so", async (store) => {
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    const { values, events, offsets, inbox } = store;
    const calls = [
      () => values.get(cart),
      () => values.put(cart, 0, say("late")),
      () => events.head(cart),
      () => events.read(cart, 0, 1),
      () => events.append(cart, 0, [say("late")]),
      () => events.saveSnapshot(cart, 1, say("late")),
      () => events.log("carts", undefined, 1),
      () => offsets.get("stock"),
      () => offsets.put("stock", "1"),
      () => inbox.has({ subscription: "orders", messageId: "1" }),
      async () => void events.watch("carts", () => undefined),
    ];
    for (const call of calls) await assert.rejects(call, closed);
  });
}

/** Each odd id as both halves of a key; their halves must not run into each other. */
function oddKeys(): EntityKey[] {
  return oddIds.flatMap((id, index) => [
    { persistenceId: "odd", entityId: id },
    { persistenceId: id, entityId: `of ${index}` },
    { persistenceId: `a|${id}`, entityId: "b" },
    { persistenceId: "a", entityId: `|${id}b` },
  ]);
}

function same(actual: AnyValue | undefined, expected: AnyValue | undefined): void {
  assert.equal(actual?.typeUrl, expected?.typeUrl);
  const [left, right] = [actual?.value ?? new Uint8Array(), expected?.value ?? new Uint8Array()];
  // Compared by hand: a difference of megabytes would take a minute to be printed.
  assert.ok(
    Buffer.compare(left, right) === 0,
    `${left.byteLength} bytes are other than the ${right.byteLength} expected`,
  );
}

function filled(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = (index * 31 + (index >>> 8) + seed) & 0xff;
  return bytes;
}

/** The index of the one that resolved; all others must have been conflicts. */
async function onlyWinner(rivals: readonly Promise<void>[]): Promise<number> {
  const outcomes = await Promise.allSettled(rivals);
  const winners = outcomes.flatMap(({ status }, index) => (status === "fulfilled" ? [index] : []));
  assert.equal(winners.length, 1, `${winners.length} won`);
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") assert.equal((outcome.reason as { code?: string }).code, "conflict");
  }
  return winners[0]!;
}

async function readAll(events: EventStore, key: EntityKey, after: number, max: number): Promise<AnyValue[]> {
  const all: AnyValue[] = [];
  for (;;) {
    const page = await events.read(key, after + all.length, max);
    assert.ok(page.length <= max);
    if (page.length === 0) return all;
    all.push(...page);
  }
}

async function logged(events: EventStore, persistenceId: string, max = 1_000): Promise<LoggedEvent[]> {
  const all: LoggedEvent[] = [];
  for (;;) {
    const page = await events.log(persistenceId, all.at(-1)?.offset, max);
    assert.ok(page.length <= max);
    if (page.length === 0) return all;
    all.push(...page);
  }
}
