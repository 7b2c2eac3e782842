import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FailureDetector } from "../lib/mesh/failure-detector.ts";

suite("failure detector", () => {
  const open = () => new FailureDetector({ suspectAfterMs: 1_500, silentAfterMs: 3_000 });

  test("goes from alive to suspect to silent, and tells each step once", () => {
    const detector = open();
    assert.deepEqual(detector.heard("a", 0), { node: "a", health: "alive" });
    assert.equal(detector.heard("a", 100), undefined);
    assert.deepEqual(detector.judge(1_599), []);
    assert.deepEqual(detector.judge(1_600), [{ node: "a", health: "suspect" }]);
    assert.deepEqual(detector.judge(3_099), []);
    assert.deepEqual(detector.judge(3_100), [{ node: "a", health: "silent" }]);
    assert.deepEqual(detector.judge(9_000), []);
    assert.equal(detector.silenceMs("a", 9_000), 8_900);
  });

  test("a heartbeat brings a node back at once", () => {
    const detector = open();
    detector.heard("a", 0);
    detector.judge(5_000);
    assert.deepEqual(detector.heard("a", 5_100), { node: "a", health: "alive" });
    assert.equal(detector.health("a"), "alive");
  });

  test("an old heartbeat that comes late makes nobody older", () => {
    const detector = open();
    detector.heard("a", 2_000);
    detector.heard("a", 100);
    assert.deepEqual(detector.judge(3_000), []);
  });

  test("who was never heard, or is forgotten, is silent", () => {
    const detector = open();
    detector.heard("a", 0);
    detector.forget("a");
    assert.deepEqual(
      [detector.health("a"), detector.health("b"), detector.silenceMs("b", 7)],
      ["silent", "silent", Infinity],
    );
    assert.deepEqual(detector.judge(10_000), []);
  });
});
