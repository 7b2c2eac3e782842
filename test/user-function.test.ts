import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { frameOf } from "../lib/wire/http2-frames.ts";
import { at, echo, headers, ok, openFunction, openLink, respond, Told } from "./user-function-harness.ts";

const never = new AbortController().signal;

suite("function link: calls", () => {
  test("makes a unary call over TCP and over a Unix socket", async () => {
    const path = join(tmpdir(), `massa-function-${process.pid}.sock`);
    await using tcp = await openFunction(echo);
    await using unix = await openFunction(echo, { path });
    await using left = openLink(at(tcp.port));
    await using right = openLink({ host: "", port: 0, socket: path });
    assert.equal(Buffer.from(await left.unary("/p.S/m", Buffer.from("x"), never)).toString(), "x");
    assert.equal(Buffer.from(await right.unary("/p.S/m", Buffer.from("y"), never)).toString(), "y");
    assert.deepEqual([left.address, right.address, unix.accepted], [`127.0.0.1:${tcp.port}`, path, 1]);
  });

  test("rejects a unary call when its signal aborts, and resets the stream", async () => {
    const reset = Promise.withResolvers<number>();
    await using fn = await openFunction((stream) => stream.on("close", () => reset.resolve(stream.rstCode)));
    await using link = openLink(at(fn.port));
    const aborter = new AbortController();
    const call = link.unary("/p.S/m", Buffer.alloc(1), aborter.signal);
    while (fn.sessions.size === 0) await new Promise(setImmediate);
    const told = new Told(link, "/p.S/m");
    told.stream.end();
    setTimeout(() => aborter.abort(), 20);
    await assert.rejects(call, { code: "canceled" });
    assert.equal(await reset.promise, 8);
  });

  test("carries messages both ways in order, half-closes and ends with the function's status", async () => {
    await using fn = await openFunction(echo);
    await using link = openLink(at(fn.port));
    const told = new Told(link, "/p.S/m");
    const sent = Array.from({ length: 500 }, (_, index) => `message ${index} ${"x".repeat(index * 7)}`);
    for (const text of sent) told.send(text);
    told.stream.end();
    await told.over();
    assert.deepEqual(told.messages, sent);
    assert.equal(told.events.at(-1), "end");
  });

  test("puts messages together however they are cut, and refuses one over the limit", async () => {
    const big = Buffer.alloc(900_000, "b");
    await using fn = await openFunction((stream, { ":path": path }) => {
      if (path === "/p.S/over") {
        respond(stream, [Buffer.alloc(1_000_001)]);
        return;
      }
      stream.respond(headers, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers(ok));
      for (const byte of frameOf(Buffer.from("cut"))) stream.write(Uint8Array.of(byte));
      stream.end(Buffer.concat([frameOf(big), frameOf(Buffer.alloc(0)), frameOf(Buffer.from("last"))]));
    });
    await using link = openLink(at(fn.port), { messageBytesMax: 1_000_000 });
    const told = await new Told(link, "/p.S/m").over();
    assert.deepEqual(told.messages, ["cut", big.toString(), "", "last"]);
    const over = await new Told(link, "/p.S/over").over();
    assert.equal(over.error?.code, "exhausted");
    assert.match(over.reason, /1000001 bytes is over limits.message of 1000000/);
  });

  test("inflates what the function compressed", async () => {
    await using fn = await openFunction((stream) => {
      stream.respond({ ...headers, "grpc-encoding": "gzip" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers(ok));
      stream.end(frameOf(gzipSync("inflated"), true));
    });
    await using link = openLink(at(fn.port));
    assert.deepEqual((await new Told(link, "/p.S/m").over()).messages, ["inflated"]);
  });
});

suite("function link: failures of a call", () => {
  const cases: readonly {
    name: string;
    answer: Parameters<typeof openFunction>[0];
    code: string;
    status?: number;
    text: RegExp;
  }[] = [
    {
      name: "a status in the trailers",
      answer: (stream) => respond(stream, [], { "grpc-status": "9", "grpc-message": "not %E2%98%82 now" }),
      code: "internal",
      status: 9,
      text: /^not ☂ now$/,
    },
    {
      name: "a response that is headers only",
      answer: (stream) =>
        stream.respond({ ...headers, "grpc-status": "12", "grpc-message": "no such" }, { endStream: true }),
      code: "unimplemented",
      text: /^no such$/,
    },
    {
      name: "HTTP 503",
      answer: (stream) => stream.respond({ ":status": 503 }, { endStream: true }),
      code: "unavailable",
      text: /HTTP status 503/,
    },
    {
      name: "HTTP 404",
      answer: (stream) => stream.respond({ ":status": 404 }, { endStream: true }),
      code: "unimplemented",
      text: /HTTP status 404/,
    },
    {
      name: "another content type",
      answer: (stream) => stream.respond({ ":status": 200, "content-type": "text/html" }, { endStream: true }),
      code: "failed",
      text: /content-type text\/html/,
    },
    {
      name: "no status",
      answer: (stream) => respond(stream, [Buffer.from("x")], { other: "1" }),
      code: "internal",
      text: /without a status/,
    },
    {
      name: "an end within a message",
      answer: (stream) => {
        stream.respond(headers, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers(ok));
        stream.end(Buffer.from([0, 0, 0, 0, 9, 1]));
      },
      code: "internal",
      text: /in the middle of a message/,
    },
    { name: "a reset", answer: (stream) => stream.close(8), code: "canceled", text: /HTTP\/2 error 8/ },
    {
      name: "a reset that blames us",
      answer: (stream) => stream.close(11),
      code: "exhausted",
      text: /HTTP\/2 error 11/,
    },
  ];
  for (const { name, answer, code, status, text } of cases) {
    test(`tells of ${name}`, async () => {
      await using fn = await openFunction(answer);
      await using link = openLink(at(fn.port));
      const told = await new Told(link, "/p.S/m").over();
      assert.deepEqual([told.events.at(-1), told.error?.code], ["fail", code]);
      assert.match(told.reason, text);
      if (status !== undefined) assert.equal(told.error?.grpcStatus, status);
    });
  }

  test("fails with deadline when the time is over, having told the function how long it has", async () => {
    let timeout: string | string[] | undefined;
    const reset = Promise.withResolvers<number>();
    await using fn = await openFunction((stream, request) => {
      timeout = request["grpc-timeout"];
      stream.on("close", () => reset.resolve(stream.rstCode));
    });
    await using link = openLink(at(fn.port));
    const told = await new Told(link, "/p.S/m", { deadlineAtMs: performance.now() + 200 }).over();
    assert.equal(told.error?.code, "deadline");
    assert.match(String(timeout), /^(1\d\d|200|\d\d)m$/);
    assert.equal(await reset.promise, 8);
  });
});

suite("function link: back-pressure", () => {
  test("delivers nothing while paused, then all in order and the end last", async () => {
    await using fn = await openFunction((stream) =>
      respond(
        stream,
        ["1", "2", "3"].map((text) => Buffer.from(text)),
      ),
    );
    await using link = openLink(at(fn.port));
    const told = new Told(link, "/p.S/m");
    told.onMessage = () => told.stream.pause();
    for (let count = 1; count <= 3; count++) {
      await told.until(() => told.messages.length === count);
      assert.deepEqual(
        told.events,
        Array.from({ length: count }, () => "message"),
      );
      told.stream.resume();
    }
    await told.over();
    assert.deepEqual([told.messages, told.events.at(-1)], [["1", "2", "3"], "end"]);
  });

  test("holds the function back by the window of a paused stream", async () => {
    let taken = 0;
    const stalled = Promise.withResolvers<undefined>();
    const reads = Promise.withResolvers<undefined>();
    await using fn = await openFunction((stream) => {
      stream.respond(headers, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers(ok));
      const more = () => {
        if (taken === 100) stream.end();
        else {
          taken += 1;
          stream.write(frameOf(Buffer.alloc(32 * 1024)), more);
        }
      };
      more();
      setTimeout(() => stalled.resolve(undefined), 200);
    });
    await using link = openLink(at(fn.port));
    const told = new Told(link, "/p.S/m");
    told.stream.pause();
    await stalled.promise;
    assert.ok(taken < 20, `${taken} messages of 32 KiB went to a reader that took none`);
    told.stream.resume();
    reads.resolve(undefined);
    await told.over();
    assert.equal(told.messages.length, 100);
  });

  test("says drain when a function that had stopped reading reads again", async () => {
    const streams: { resume(): unknown }[] = [];
    await using fn = await openFunction((stream) => void streams.push(stream));
    await using link = openLink(at(fn.port));
    const told = new Told(link, "/p.S/m");
    let writes = 0;
    while (told.send(Buffer.alloc(16 * 1024))) {
      writes += 1;
      await new Promise(setImmediate);
    }
    assert.ok(writes < 40, `${writes} writes of 16 KiB were taken by a function that reads nothing`);
    while (streams.length === 0) await new Promise(setImmediate);
    streams[0]!.resume();
    await told.until(() => told.events.includes("drain"));
    told.stream.cancel();
  });
});

suite("function link: coming and going", () => {
  test("waits for a function that is not up yet", async () => {
    const reserved = await openFunction(echo);
    const { port } = reserved;
    await reserved[Symbol.asyncDispose]();
    await using link = openLink(at(port));
    const answered = link.unary("/p.S/m", Buffer.from("patience"), never);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(link.isThere, false);
    await using fn = await openFunction(echo, { port });
    assert.equal(Buffer.from(await answered).toString(), "patience");
    assert.deepEqual([fn.accepted, link.isThere], [1, true]);
  });

  test("refuses after the wait with the reason, and at once when too many wait", async () => {
    const reserved = await openFunction(echo);
    await reserved[Symbol.asyncDispose]();
    await using link = openLink(at(reserved.port), { waitMs: 100, waitersMax: 2 });
    const [first, second, third] = [1, 2, 3].map(() => new Told(link, "/p.S/m"));
    await third!.over();
    assert.deepEqual([third!.error?.code, first!.error], ["exhausted", undefined]);
    await Promise.all([first!.over(), second!.over()]);
    assert.equal(first!.error?.code, "unavailable");
    assert.match(first!.reason, /the user function is away: cannot connect to 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  });

  test("fails what is in flight when the function dies, tells lost, and found when it is back", async () => {
    const fn = await openFunction((stream) => void stream.resume());
    await using link = openLink(at(fn.port));
    const events: string[] = [];
    const lost = Promise.withResolvers<undefined>();
    const found = Promise.withResolvers<undefined>();
    const unwatch = link.watch({
      lost: (reason) => {
        events.push(`lost ${reason.code}`);
        lost.resolve(undefined);
      },
      found: () => {
        events.push("found");
        if (events.length === 3) found.resolve(undefined);
      },
    });
    const told = new Told(link, "/p.S/m");
    while (fn.sessions.size === 0) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await fn[Symbol.asyncDispose]();
    await told.over();
    assert.equal(told.error?.code, "unavailable");
    assert.match(told.reason, /connection to the user function at .* was lost/);
    await lost.promise;
    await using back = await openFunction(echo, { port: fn.port });
    await found.promise;
    assert.deepEqual(events, ["found", "lost unavailable", "found"]);
    unwatch();
    assert.equal((await link.unary("/p.S/m", Buffer.from("z"), never)).byteLength, 1);
    assert.equal(back.accepted, 1);
  });

  test("ends waiting streams when it is closed", async () => {
    const reserved = await openFunction(echo);
    await reserved[Symbol.asyncDispose]();
    const link = openLink(at(reserved.port));
    const told = new Told(link, "/p.S/m");
    await link[Symbol.asyncDispose]();
    await told.over();
    assert.equal(told.reason, "the proxy is shutting down");
    assert.equal((await new Told(link, "/p.S/m").over()).error?.code, "unavailable");
  });
});
