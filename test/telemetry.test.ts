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
