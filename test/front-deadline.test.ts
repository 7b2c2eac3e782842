import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { realWorld } from "../lib/core/world.ts";
import { Deadline } from "../lib/frontend/deadline.ts";
import { createHttpDate } from "../lib/frontend/http-date.ts";
import { VirtualTime } from "../lib/testing/virtual-time.ts";

const clockOf = (time: VirtualTime) => ({
  ...realWorld.clock,
  now: () => time.now(),
  monotonic: () => time.now(),
  after: (delayMs: number, callback: () => void) => time.after(delayMs, callback),
});

suite("the deadline of a client", () => {
  test("says how long it was as a person reads it", () => {
    const cases = [
      [250, "250 ms"],
      [0.05, "0.05 ms"],
      [0.000001, "0.000001 ms"],
      [999, "999 ms"],
      [1_000, "1 s"],
      [1_250, "1.25 s"],
      [119_999, "120 s"],
      [7_200_000, "7200 s"],
    ] as const;
    for (const [timeoutMs, text] of cases) {
      const time = new VirtualTime();
      const errors: MassaError[] = [];
      new Deadline(clockOf(time), timeoutMs, (error) => errors.push(error));
      time.run(timeoutMs);
      assert.deepEqual(
        errors.map(({ code, message }) => [code, message]),
        [["deadline", `the call did not end within ${text}, the client's deadline`]],
      );
    }
  });

  test("is told of in the same words when somebody else noticed it first, and of nothing else", () => {
    const time = new VirtualTime();
    const deadline = new Deadline(clockOf(time), 500, () => undefined);
    const inner = new MassaError("deadline", "an inner name was not answered in time");
    const other = new MassaError("failed", "no");
    time.run(400);
    assert.equal(deadline.told(inner), inner);
    // A timer may run a little early.
    time.run(99.5);
    assert.equal(deadline.told(inner).message, "the call did not end within 500 ms, the client's deadline");
    assert.equal(deadline.told(other), other);
  });

  test("is nothing to a call that has ended", () => {
    const time = new VirtualTime();
    new Deadline(clockOf(time), 500, () => assert.fail("it came")).cancel();
    time.run(1_000);
  });
});

suite("the date header", () => {
  test("is that of the second", () => {
    const time = new VirtualTime();
    const date = createHttpDate(clockOf(time));
    assert.equal(date(), "Thu, 01 Jan 1970 00:00:00 GMT");
    time.run(999);
    assert.equal(date(), "Thu, 01 Jan 1970 00:00:00 GMT");
    time.run(1);
    assert.equal(date(), "Thu, 01 Jan 1970 00:00:01 GMT");
  });
});
