import assert from "node:assert/strict";
import { test } from "node:test";
import { createTelemetry } from "../lib/core/telemetry.ts";

test("a gauge that is registered again lets go of its reader, one of other labels keeps its own", async () => {
  const { telemetry, registry } = createTelemetry();
  const asked: string[] = [];
  const reader = (name: string, value: number) => () => {
    asked.push(name);
    return value;
  };
  telemetry.gauge("massa_entities_active", reader("old", 1), { kind: "crdt" });
  telemetry.gauge("massa_entities_active", reader("other", 2), { kind: "value" });
  telemetry.gauge("massa_entities_active", reader("new", 3), { kind: "crdt" });
  const text = await registry.metrics();
  assert.deepEqual(asked.sort(), ["new", "other"]);
  assert.match(text, /massa_entities_active\{kind="crdt"\} 3/);
  assert.match(text, /massa_entities_active\{kind="value"\} 2/);
});

test("the metrics of the Cloudstate proxy have its label, Java's buckets and quantiles of the last minute", async () => {
  const { telemetry, registry } = createTelemetry();
  const labels = { entity_name: "cart" };
  telemetry.observe("cloudstate_eventsourced_persist_time_seconds", 0.3, labels);
  for (const seconds of [1, 2, 3]) {
    telemetry.observe("cloudstate_eventsourced_entity_active_time_seconds", seconds, labels);
  }
  const text = await registry.metrics();
  assert.match(
    text,
    /persist_time_seconds_bucket\{le="0.25",entity_name="cart"\} 0\n.*\{le="0.5",entity_name="cart"\} 1\n/,
  );
  assert.match(text, /entity_active_time_seconds\{quantile="0.5",entity_name="cart"\} 2\n/);
  assert.match(text, /entity_active_time_seconds\{quantile="1",entity_name="cart"\} 3\n/);
});
