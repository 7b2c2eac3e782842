import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import { Deframer, decodeFrame, encodeFrame, kinds } from "../lib/mesh/frames.ts";
import { Link, type LinkEvents } from "../lib/mesh/link.ts";
import { defaultLinkLimits, type LinkLimits } from "../lib/mesh/link-limits.ts";
import type { IncomingRequest, OutgoingRequest, RequestHead } from "../lib/mesh/mesh.ts";

const none = new Uint8Array(0);
const head: RequestHead = {
  channel: 1,
  service: "s",
  method: "m",
  metadata: none,
  deadlineMs: 0,
  hops: 0,
  traceParent: "",
  originNumber: 0,
  bridgedMessage: none,
};
const now = { after: (_delayMs: number, callback: () => void) => (queueMicrotask(callback), () => undefined) };

interface End {
  readonly link: Link;
  readonly frames: { readonly channel: number; readonly body: Uint8Array }[];
  readonly served: {
    readonly request: IncomingRequest;
    readonly messages: Uint8Array[];
    isHalfClosed: boolean;
    isCanceled: boolean;
  }[];
  readonly broken: string[];
  readonly limited: string[];
}

function end(limits: Partial<LinkLimits> = {}, events: Partial<LinkEvents> = {}): End {
  const state: Omit<End, "link"> = { frames: [], served: [], broken: [], limited: [] };
  const link = new Link({ ...defaultLinkLimits, ...limits }, now, {
    wake: () => undefined,
    hello: () => undefined,
    limited: (limit) => void state.limited.push(limit),
    broken: (reason) => {
      state.broken.push(reason);
      link.close(reason);
    },
    frame: (channel, body) => void state.frames.push({ channel, body }),
    request(request) {
      const served = { request, messages: [] as Uint8Array[], isHalfClosed: false, isCanceled: false };
      state.served.push(served);
      return {
        message: (message) => void served.messages.push(message),
        halfClose: () => void (served.isHalfClosed = true),
        cancel: () => void (served.isCanceled = true),
        drain: () => undefined,
      };
    },
    ...events,
  });
  return { link, ...state };
}

/** Carries bytes to and fro until both are quiet; how many went from left to right. */
function exchange(left: End, right: End, cut = (bytes: Uint8Array) => [bytes]): number {
  let moved = 0;
  for (;;) {
    const there = left.link.take(64 * 1024);
    const back = right.link.take(64 * 1024);
    if (!there && !back) return moved;
    moved += there?.length ?? 0;
    if (there) for (const chunk of cut(there)) right.link.receive(chunk);
    if (back) for (const chunk of cut(back)) left.link.receive(chunk);
  }
}

function ask(link: Link): {
  readonly request: OutgoingRequest;
  readonly messages: Uint8Array[];
  isEnded: boolean;
  failure: MassaError | undefined;
} {
  const heard = { messages: [] as Uint8Array[], isEnded: false, failure: undefined as MassaError | undefined };
  const request = link.request(head, {
    message: (message) => void heard.messages.push(message),
    end: () => void (heard.isEnded = true),
    fail: (error) => void (heard.failure = error),
    drain: () => undefined,
  });
  return Object.assign(heard, { request });
}

suite("peer link", () => {
  test("brings any messages of any number of requests through any cuts", () => {
    const sizes = fc.array(fc.array(fc.nat(5_000), { maxLength: 6 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 997 }), (requests, cutBytes) => {
        const [left, right] = [
          end({ windowBytes: 1_000, assemblyBytesMax: 6_000 }),
          end({ windowBytes: 1_000, assemblyBytesMax: 6_000 }),
        ];
        const asked = requests.map((messages, seed) => {
          const call = ask(left.link);
          for (const size of messages) call.request.send(Buffer.alloc(size, size + seed));
          call.request.halfClose();
          return call;
        });
        exchange(left, right, (bytes) =>
          Array.from({ length: Math.ceil(bytes.length / cutBytes) }, (_, i) =>
            bytes.subarray(i * cutBytes, (i + 1) * cutBytes),
          ),
        );
        for (const [index, served] of right.served.entries()) {
          assert.equal(served.isHalfClosed, true);
          assert.deepEqual(
            served.messages.map(({ length }) => length),
            requests[index],
          );
          for (const message of served.messages)
            assert.ok(message.every((byte) => byte === ((message.length + index) & 0xff)));
          for (const message of served.messages) served.request.send(message);
          served.request.end();
        }
        exchange(left, right);
        for (const [index, call] of asked.entries()) {
          assert.equal(call.isEnded, true);
          assert.deepEqual(
            call.messages.map(({ length }) => length),
            requests[index],
          );
        }
        assert.deepEqual([left.broken, right.broken], [[], []]);
      }),
      { numRuns: 60 },
    );
  });

  test("long messages coming in at once share the room there is, and all arrive", () => {
    const limits = { windowBytes: 1_000, messageBytesMax: 10_000, assemblyBytesMax: 12_000 };
    const [left, right] = [end(limits), end(limits)];
    const calls = Array.from({ length: 5 }, () => ask(left.link));
    for (const call of calls) call.request.send(Buffer.alloc(10_000, 1));
    exchange(left, right);
    assert.deepEqual(
      right.served.map(({ messages }) => messages.length),
      [1, 1, 1, 1, 1],
    );
  });

  test("holds no more of a paused request than a window and one long message", () => {
    const limits = { windowBytes: 1_000, messageBytesMax: 10_000, assemblyBytesMax: 12_000 };
    const [left, right] = [end(limits), end(limits, {})];
    const call = ask(left.link);
    exchange(left, right);
    right.served[0]!.request.pause();
    call.request.send(Buffer.alloc(10_000, 1));
    call.request.send(Buffer.alloc(900, 2));
    call.request.send(Buffer.alloc(10_000, 3));
    const moved = exchange(left, right);
    assert.ok(moved < 12_000, `${moved} bytes moved`);
    right.served[0]!.request.resume();
    exchange(left, right);
    assert.deepEqual(
      right.served[0]!.messages.map(({ length }) => length),
      [10_000, 900, 10_000],
    );
  });

  test("a request that was cancelled gives its room back", () => {
    const limits = { windowBytes: 1_000, messageBytesMax: 10_000, assemblyBytesMax: 10_000 };
    const [left, right] = [end(limits), end(limits)];
    const first = ask(left.link);
    exchange(left, right);
    right.served[0]!.request.pause();
    first.request.send(Buffer.alloc(9_000, 1));
    exchange(left, right);
    const second = ask(left.link);
    second.request.send(Buffer.alloc(9_000, 2));
    exchange(left, right);
    assert.equal(right.served[1]!.messages.length, 0, "no room");
    first.request.cancel();
    exchange(left, right);
    assert.equal(right.served[1]!.messages.length, 1);
    assert.equal(right.served[0]!.isCanceled, true);
  });

  test("whoever sends beyond its credit breaks the link", () => {
    const right = end({ windowBytes: 1_000 });
    right.link.receive(encodeFrame({ kind: kinds.open, request: 1, head }));
    right.served[0]!.request.pause();
    for (const size of [600, 500, 400]) {
      const body = Buffer.alloc(size);
      right.link.receive(Buffer.concat([encodeFrame({ kind: kinds.input, request: 1, body }), body]));
    }
    assert.match(right.broken[0]!, /more than its credit/);
    assert.equal(right.served[0]!.isCanceled, true);
  });

  test("a message over the limit, a frame over the limit and pieces that do not fit break the link", () => {
    const one = (...frames: Parameters<typeof encodeFrame>[0][]) => {
      const right = end({ messageBytesMax: 1_000 });
      for (const frame of frames) right.link.receive(Buffer.concat([encodeFrame(frame), frame.body ?? none]));
      return right.broken[0] ?? "whole";
    };
    const body = Buffer.alloc(100);
    assert.match(one({ kind: kinds.oneWay, channel: 1, length: 1_001, body }), /more than 1000/);
    assert.match(
      one({ kind: kinds.oneWay, channel: 1, length: 150, body }, { kind: kinds.oneWay, channel: 1, body }),
      /more than the length/,
    );
    assert.match(
      one({ kind: kinds.oneWay, channel: 1, length: 150, body }, { kind: kinds.oneWay, channel: 1, length: 150, body }),
      /before the last one/,
    );
    assert.match(one({ kind: kinds.open, request: 1 }), /without a head/);
    assert.match(one({ kind: kinds.open, request: 2, head }, { kind: kinds.open, request: 1, head }), /old number/);
    assert.equal(
      one({ kind: kinds.input, request: 77, body }, { kind: 4_000, request: 5 }, { kind: kinds.ping }),
      "whole",
    );
    const right = end();
    right.link.receive(Uint8Array.of(0xff, 0xff, 0xff, 0x7f));
    assert.match(right.broken[0]!, /longer than/);
  });

  test("hostile bytes never do more than break the link", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const right = end();
        right.link.receive(bytes);
        const frame = new Uint8Array([bytes.length & 0x7f, ...bytes.subarray(0, bytes.length & 0x7f)]);
        end().link.receive(frame);
      }),
      { numRuns: 500 },
    );
  });

  test("a bound that is met is told by its name, at both ends", async () => {
    const [left, right] = [end({ requestsMax: 2 }), end({ requestsMax: 1, assemblyBytesMax: 1_500_000 })];
    const calls = [ask(left.link), ask(left.link), ask(left.link)];
    exchange(left, right);
    await Promise.resolve();
    assert.deepEqual([left.limited, right.limited], [["mesh.requests"], ["mesh.requests"]]);
    assert.deepEqual(
      calls.map(({ failure }) => failure?.code),
      [undefined, "exhausted", "exhausted"],
    );
  });

  test("a long message that waits for the room of another one is told", () => {
    const bounds = { windowBytes: 1_000, assemblyBytesMax: 6_000 };
    const [left, right] = [end(bounds), end(bounds)];
    for (const call of [ask(left.link), ask(left.link)]) call.request.send(Buffer.alloc(5_000));
    exchange(left, right);
    assert.deepEqual(right.limited, ["mesh.assembly"]);
    assert.deepEqual(
      right.served.map(({ messages }) => messages.length),
      [1, 1],
    );
  });

  test("acknowledgements do not wait behind a long message, and it does not wait for ever behind them", () => {
    const [left, right] = [end(), end()];
    const call = ask(left.link);
    call.request.send(Buffer.alloc(200_000));
    for (let number = 0; number < 5_000; number += 1) left.link.send(1, Buffer.alloc(100));
    right.link.receive(left.link.take(64 * 1024)!);
    assert.ok(right.frames.length > 200, "small frames first");
    assert.ok(left.link.take(64 * 1024)!.length > 64 * 1024 + 1_000, "and a piece of the long one in each batch");
  });

  test("the silent side of a link is noticed after as many ticks as configured, and any byte is a sign of life", () => {
    const [left, right] = [end({ silentTicksMax: 3 }), end({ silentTicksMax: 3 })];
    for (let tick = 0; tick < 10; tick += 1) {
      left.link.tick();
      right.link.tick();
      exchange(left, right);
    }
    assert.deepEqual(left.broken, []);
    for (let tick = 0; tick < 3; tick += 1) left.link.tick();
    assert.deepEqual(left.broken, []);
    left.link.tick();
    assert.deepEqual(left.broken, ["gives no sign of life"]);
  });

  test("everything open fails when the link closes", async () => {
    const [left, right] = [end(), end()];
    const calls = [ask(left.link), ask(left.link)];
    exchange(left, right);
    left.link.close("pulled");
    right.link.close("pulled");
    assert.ok(calls.every(({ failure }) => failure?.code === "unavailable" && failure.message.includes("pulled")));
    assert.ok(right.served.every(({ isCanceled }) => isCanceled));
    const late = ask(left.link);
    const heard = () => late.failure?.code;
    assert.equal(heard(), undefined, "never from within the call");
    await Promise.resolve();
    assert.equal(heard(), "unavailable");
  });

  test("frames survive encoding, with fields of a later version skipped", () => {
    const failure = new MassaError("failed", "no", { grpcStatus: 9 });
    const body = Buffer.from("body");
    const whole = {
      kind: kinds.fail,
      request: 2 ** 40,
      channel: 3,
      length: 70_000,
      credit: 5,
      head: { ...head, hops: 2, originNumber: 2 ** 45 },
      failure,
    };
    const bytes = Buffer.concat([encodeFrame({ ...whole, body }), body]);
    const frames: Uint8Array[] = [];
    new Deframer().push(bytes, (frame) => frames.push(frame));
    const unknown = Buffer.concat([frames[0]!, Uint8Array.of(0xa2, 0x06, 1, 9)]);
    const { failure: read, body: readBody, ...rest } = decodeFrame(unknown);
    assert.deepEqual(
      [read?.code, read?.grpcStatus, read?.message, Buffer.from(readBody).toString()],
      ["failed", 9, "no", "body"],
    );
    assert.deepEqual({ ...rest, failure }, whole);
  });
});

test("a failure is told as it was: code, status, text, and whether the function answered so itself", () => {
  const failures = [
    MassaError.fromGrpc(14, "not now"),
    new MassaError("unavailable", "there is no link"),
    new MassaError("failed", "sold out", { isReply: true }),
  ];
  for (const failure of failures) {
    const bytes = encodeFrame({ kind: 1, request: 1, failure });
    const { failure: told } = decodeFrame(bytes.subarray(1));
    assert.deepEqual(
      [told?.code, told?.grpcStatus, told?.message, told?.isAnswer, told?.isReply],
      [failure.code, failure.grpcStatus, failure.message, failure.isAnswer, failure.isReply],
    );
  }
});
