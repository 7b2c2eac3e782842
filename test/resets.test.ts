import assert from "node:assert/strict";
import { test } from "node:test";
import { ProcessClock, VirtualTime } from "../lib/testing/virtual-time.ts";
import { Resets } from "../lib/user-function/resets.ts";
import type { ClientSession, ClientStream } from "../lib/wire/http2.ts";

/** A session of so many streams, and what is done to it. */
function stage(streams: number) {
  const time = new VirtualTime();
  const done = { reset: 0, isDestroyed: false };
  const session = { streams, destroy: () => (done.isDestroyed = true) };
  const resets = new Resets(session as Partial<ClientSession> as ClientSession, new ProcessClock(time, 0));
  const stream = () => {
    const one = {
      reset() {
        done.reset += 1;
        session.streams -= 1;
      },
    };
    return one as Partial<ClientStream> as ClientStream;
  };
  return { time, done, session, resets, stream };
}

test("300 streams are reset at once, then 10 a second, in the order of their coming", () => {
  const { time, done, resets, stream } = stage(1_000);
  const waits = Array.from({ length: 350 }, () => resets.reset(stream(), 8));
  assert.deepEqual([waits.indexOf(true), done.reset], [300, 300]);
  time.run(1_050);
  assert.equal(done.reset, 310);
  time.run(10_000);
  assert.deepEqual([done.reset, done.isDestroyed], [350, false]);
  time.run(60_000);
  assert.equal(resets.reset(stream(), 8), false, "what was not used is there again");
});

test("a session ends as soon as nothing lives on it, and not because others than its last stream have closed by themselves", () => {
  const { time, done, session, resets, stream } = stage(401);
  const given = Array.from({ length: 400 }, stream);
  for (const each of given) resets.reset(each, 8);
  for (const each of given.slice(300)) {
    resets.closed(each);
    session.streams -= 1;
  }
  time.run(30_000);
  assert.deepEqual([session.streams, done.isDestroyed], [1, false], "one lives");

  const other = stage(301);
  for (let index = 0; index < 301; index += 1) other.resets.reset(other.stream(), 8);
  other.resets.settle();
  assert.equal(other.done.isDestroyed, true);
});
