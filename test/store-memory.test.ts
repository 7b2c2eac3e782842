import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createTelemetry } from "../lib/core/telemetry.ts";
import { storeConformance } from "../lib/store/conformance.ts";
import { createMemoryStore } from "../lib/store/memory.ts";

storeConformance("memory", async () => {
  const store = createMemoryStore();
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
});

suite("memory store", () => {
  const key = { persistenceId: "carts", entityId: "one" };
  const bytes = (length: number) => ({ typeUrl: "t", value: new Uint8Array(length) });
  const full = { code: "exhausted", message: /store\.memory of 2000 bytes/ };

  test("a write that does not fit is refused, and nothing is evicted for it", async () => {
    await using store = createMemoryStore({ options: { bytesMax: 2_000 } });
    const record = { subscription: "s", messageId: "m" };
    await store.values.put(key, 0, bytes(1_500));
    await assert.rejects(store.values.put({ ...key, entityId: "two" }, 0, bytes(500)), full);
    await assert.rejects(store.events.append(key, 0, [bytes(300), bytes(300)], record), full);
    assert.equal(await store.inbox.has(record), false);
    assert.equal((await store.events.head(key)).sequence, 0);
    assert.equal((await store.values.get(key)).value?.value.byteLength, 1_500);
    await assert.rejects(store.events.saveSnapshot(key, 1, bytes(500)), full);
    await store.values.put(key, 1, undefined);
    await store.events.append(key, 0, [bytes(300), bytes(300)], record);
  });

  test("what it takes and what became of writes can be seen", async () => {
    const { telemetry, registry } = createTelemetry();
    await using store = createMemoryStore({ telemetry, options: { bytesMax: 2_000 } });
    await store.values.put(key, 0, bytes(1_000));
    await store.values.put(key, 1, bytes(10));
    await store.events.append(key, 0, [bytes(700)]);
    await assert.rejects(store.values.put(key, 0, bytes(1)), { code: "conflict" });
    await assert.rejects(store.events.append(key, 1, [bytes(2_000)]), full);
    const metrics = await registry.metrics();
    assert.match(metrics, /^massa_store_writes_total\{outcome="written"\} 3$/m);
    assert.match(metrics, /^massa_store_writes_total\{outcome="conflict"\} 1$/m);
    assert.match(metrics, /^massa_limit_reached_total\{limit="store.memory"\} 1$/m);
    const held = Number(/^massa_store_bytes (\d+)$/m.exec(metrics)?.[1]);
    assert.ok(held > 710 && held < 1_710, `${held} bytes are counted`);
  });
});
