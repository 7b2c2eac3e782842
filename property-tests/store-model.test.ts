import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { MassaError } from "../lib/core/errors.ts";
import { createMemoryStore } from "../lib/store/memory.ts";
import type { EntityKey, Store } from "../lib/store/store.ts";
import type { AnyValue } from "../lib/wire/protocol.ts";
import { openEmbedded, temporaryFolder } from "../test/store-harness.ts";

type Operation =
  | { readonly type: "put"; readonly key: EntityKey; readonly skew: number; readonly value: AnyValue | undefined }
  | { readonly type: "append"; readonly key: EntityKey; readonly skew: number; readonly events: readonly AnyValue[] }
  | { readonly type: "snapshot"; readonly key: EntityKey; readonly sequence: number; readonly value: AnyValue }
  | { readonly type: "offset"; readonly consumer: string; readonly offset: string };

/** An operation, and the message that caused it. */
type Step = { readonly operation: Operation; readonly messageId: string | undefined };

/** What any store must hold, said as simply as can be. */
class Model {
  readonly values = new Map<string, { version: number; value: AnyValue | undefined }>();
  readonly streams = new Map<string, AnyValue[]>();
  readonly snapshots = new Map<string, { sequence: number; payload: AnyValue }>();
  readonly log: { persistenceId: string; entityId: string; sequence: number; payload: AnyValue }[] = [];
  readonly offsets = new Map<string, string>();
  readonly inbox = new Set<string>();

  /** Whether it is written. */
  step({ operation, messageId }: Step): boolean {
    if (operation.type === "offset") {
      this.offsets.set(operation.consumer, operation.offset);
      return true;
    }
    const { key } = operation;
    const name = nameOf(key);
    if (operation.type === "snapshot") {
      if ((this.snapshots.get(name)?.sequence ?? -1) < operation.sequence) {
        this.snapshots.set(name, { sequence: operation.sequence, payload: operation.value });
      }
      return true;
    }
    if (operation.skew !== 0 || (messageId !== undefined && this.inbox.has(messageId))) return false;
    if (messageId !== undefined) this.inbox.add(messageId);
    if (operation.type === "put") {
      this.values.set(name, { version: this.version(key) + 1, value: operation.value });
      return true;
    }
    const stream = this.streams.get(name) ?? [];
    this.streams.set(name, stream);
    for (const payload of operation.events) this.log.push({ ...key, sequence: stream.push(payload), payload });
    return true;
  }

  version(key: EntityKey): number {
    return this.values.get(nameOf(key))?.version ?? 0;
  }

  sequence(key: EntityKey): number {
    return this.streams.get(nameOf(key))?.length ?? 0;
  }
}

const ids = ["", "a", "b", "a|b", "|", "\0", "ü"];
const anys = fc.record(
  { typeUrl: fc.constantFrom("", "t/A", "t/B"), value: fc.uint8Array({ maxLength: 20 }) },
  { noNullPrototype: true },
);
const keys = fc.record({ persistenceId: fc.constantFrom(...ids), entityId: fc.constantFrom(...ids) });
const skews = fc.constantFrom(0, 0, 0, 0, -1, 1, 5);
const operations: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ type: fc.constant("put"), key: keys, skew: skews, value: fc.option(anys, { nil: undefined }) }),
  fc.record({ type: fc.constant("append"), key: keys, skew: skews, events: fc.array(anys, { maxLength: 4 }) }),
  fc.record({ type: fc.constant("snapshot"), key: keys, sequence: fc.nat(9), value: anys }),
  fc.record({ type: fc.constant("offset"), consumer: fc.constantFrom(...ids), offset: fc.nat(99).map(String) }),
);
const histories = fc.array(
  fc.record({ operation: operations, messageId: fc.option(fc.constantFrom("1", "2", "3", "4"), { nil: undefined }) }),
  { minLength: 1, maxLength: 40 },
);

/** Runs of steps that are sent at once; each entry is how many. */
const bursts = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 10 });

test("the memory store holds what the model does, whatever is sent at once", async () => {
  await fc.assert(
    fc.asyncProperty(histories, bursts, async (steps, at) => {
      await using store = createMemoryStore();
      await agree(store, new Model(), steps, at);
    }),
    { numRuns: 300 },
  );
});

test("the embedded store holds what the model does, after reopening too", async () => {
  await fc.assert(
    fc.asyncProperty(histories, bursts, async (steps, at) => {
      using folder = temporaryFolder();
      const model = new Model();
      const file = join(folder.path, "massa.db");
      {
        await using store = await openEmbedded(file);
        await agree(store, model, steps, at);
      }
      await using store = await openEmbedded(file);
      await holds(store, model);
    }),
    { numRuns: 15 },
  );
});

/** Takes the steps in bursts without waiting within one; a store carries them out in the order they were sent. */
async function agree(store: Store, model: Model, steps: readonly Step[], sizes: readonly number[]): Promise<void> {
  let burst = 0;
  for (let begin = 0; begin < steps.length; burst++) {
    const end = begin + sizes[burst % sizes.length]!;
    const sent = steps.slice(begin, end).map((step) => {
      const outcome = send(store, model, step);
      return { outcome, isWritten: model.step(step) };
    });
    for (const { outcome, isWritten } of sent) assert.equal(await outcome, isWritten ? "written" : "conflict");
    begin = end;
  }
  await holds(store, model);
}

function send(store: Store, model: Model, { operation, messageId }: Step): Promise<string> {
  const record = messageId === undefined ? undefined : { subscription: "s", messageId };
  const done = () => {
    switch (operation.type) {
      case "put": {
        const { key, skew, value } = operation;
        return store.values.put(key, model.version(key) + skew, value, record);
      }
      case "append": {
        const { key, skew, events } = operation;
        return store.events.append(key, model.sequence(key) + skew, events, record);
      }
      case "snapshot":
        return store.events.saveSnapshot(operation.key, operation.sequence, operation.value);
      case "offset":
        return store.offsets.put(operation.consumer, operation.offset);
    }
  };
  return done().then(
    () => "written",
    (failure: unknown) => (failure as MassaError).code,
  );
}

async function holds({ values, events, offsets, inbox }: Store, model: Model): Promise<void> {
  for (const persistenceId of ids) {
    for (const entityId of ids) {
      const key = { persistenceId, entityId };
      assert.deepEqual(await values.get(key), model.values.get(nameOf(key)) ?? { version: 0, value: undefined });
      const head = { sequence: model.sequence(key), snapshot: model.snapshots.get(nameOf(key)) };
      assert.deepEqual(await events.head(key), head);
      assert.deepEqual(await events.read(key, 0, 1_000), model.streams.get(nameOf(key)) ?? []);
    }
    const log = await events.log(persistenceId, undefined, 1_000);
    assert.deepEqual(
      log.map(({ entityId, sequence, payload }) => ({ persistenceId, entityId, sequence, payload })),
      model.log.filter((event) => event.persistenceId === persistenceId),
    );
    assert.equal(await offsets.get(persistenceId), model.offsets.get(persistenceId));
  }
  for (const messageId of ["1", "2", "3", "4"]) {
    assert.equal(await inbox.has({ subscription: "s", messageId }), model.inbox.has(messageId));
  }
}

function nameOf(key: EntityKey): string {
  return JSON.stringify([key.persistenceId, key.entityId]);
}
