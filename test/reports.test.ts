import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { createReporter } from "../lib/reports.ts";

function reporting(isThere = true) {
  const [told, counted]: string[][] = [[], []];
  const under: (() => void)[] = [];
  const report = createReporter({
    client: {
      reportError(message) {
        told!.push(message);
        return new Promise((resolve) => under.push(resolve));
      },
    },
    userFunction: { isThere },
    log: silentLogger,
    telemetry: { ...silentTelemetry, count: (name, labels) => void counted!.push(`${name} ${labels!["limit"]}`) },
  });
  return { report, told: told!, counted: counted!, under };
}

suite("complaints to the function", () => {
  test("are told to the process that gave cause, never to the one after it", () => {
    const { report, told } = reporting();
    report("wrong");
    assert.deepEqual(told, ["wrong"]);
    const gone = reporting(false);
    gone.report("its connection was lost");
    assert.deepEqual([gone.told, gone.counted], [[], []]);
  });

  test("are left out and counted when a hundred are under way", async () => {
    const { report, told, counted, under } = reporting();
    for (let at = 0; at < 102; at++) report(`${at}`);
    assert.deepEqual([told.length, counted], [100, Array(2).fill("massa_limit_reached_total reports")]);
    under[0]!();
    await new Promise(setImmediate);
    report("again");
    assert.equal(told.at(-1), "again");
  });
});
