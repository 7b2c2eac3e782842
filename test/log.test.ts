import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "../lib/core/pino.ts";

function logged(level: Parameters<typeof createLogger>[0]) {
  const lines: string[] = [];
  const log = createLogger(level, { node: "a" }, { write: (line: string) => void lines.push(line) });
  return { log, events: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>), lines };
}

test("one event is one line, with its level by name, its fields and those of its room", () => {
  const { log, events, lines } = logged("info");
  log.child({ room: "mesh" }).warn({ peer: "b", text: "two\nlines" }, "node was lost");
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^[^\n]+\n$/);
  const { time, ...rest } = events()[0]!;
  assert.deepEqual(rest, {
    level: "warn",
    node: "a",
    room: "mesh",
    peer: "b",
    text: "two\nlines",
    msg: "node was lost",
  });
  assert.ok(!Number.isNaN(Date.parse(time as string)));
});

test("what is below the level is not logged, for children neither, and silent says nothing", () => {
  const { log, events } = logged("warn");
  for (const one of [log, log.child({ room: "x" })]) {
    one.debug({}, "debug");
    one.info({}, "info");
    one.warn({}, "warn");
    one.error({}, "error");
  }
  assert.deepEqual(
    events().map(({ msg }) => msg),
    ["warn", "error", "warn", "error"],
  );
  const { log: mute, lines } = logged("silent");
  mute.error({}, "error");
  assert.deepEqual(lines, []);
});
