import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { suite, test } from "node:test";
import {
  compressionAlgorithms,
  Metadata,
  status,
  type CallOptions,
  type Client,
  type ServiceError,
} from "@grpc/grpc-js";
import { MassaError } from "../lib/core/errors.ts";
import { frameOf } from "../lib/wire/http2-frames.ts";
import { openHarness, tableOf, type Opened } from "./front-harness.ts";

const raw = (bytes: Buffer) => bytes;

/** A unary call of the independent client, settled as [reply, headers] or [error]. */
function unary(
  client: Client,
  path: string,
  body: string | Buffer,
  metadata = new Metadata(),
  options: CallOptions = {},
) {
  const { promise, resolve, reject } = Promise.withResolvers<{ reply: string; headers: Metadata }>();
  let headers = new Metadata();
  const call = client.makeUnaryRequest(path, raw, raw, Buffer.from(body), metadata, options, (error, reply) => {
    if (error) reject(error);
    else resolve({ reply: reply!.toString(), headers });
  });
  call.on("metadata", (received: Metadata) => {
    headers = received;
  });
  return promise;
}

const fails = (code: status, details: string | RegExp) => (error: ServiceError) => {
  assert.equal(error.code, code, error.message);
  if (typeof details === "string") assert.equal(error.details, details);
  else assert.match(error.details, details);
  return true;
};

const echo = (call: Opened) => {
  call.reply(Buffer.concat([Buffer.from("re:"), call.command.payload!.value]));
  call.caller.end();
};

suite("gRPC front: calls", () => {
  test("makes a command of a unary call, bytes untouched, and answers with the reply and its metadata", async () => {
    await using harness = await openHarness();
    const metadata = new Metadata();
    metadata.add("x-one", "a");
    metadata.add("x-one", "b");
    metadata.add("x-raw-bin", Buffer.from([0, 255]));
    const answered = unary(harness.client, "/t.S/Unary", Buffer.from([1, 2, 3]), metadata);
    const call = await harness.opened();
    assert.deepEqual(call.command.payload, { typeUrl: "type.googleapis.com/t.In", value: Buffer.from([1, 2, 3]) });
    assert.deepEqual([call.command.service, call.command.method, call.command.hops], ["t.S", "Unary", 0]);
    const entries = call.command.metadata.filter(({ key }) => key.startsWith("x-"));
    assert.deepEqual(entries, [
      { key: "x-one", value: "a" },
      { key: "x-one", value: "b" },
      { key: "x-raw-bin", value: Buffer.from([0, 255]) },
    ]);
    assert.ok(!call.command.metadata.some(({ key }) => key.startsWith(":") || key === "te" || key === "content-type"));
    call.reply("fine", [
      { key: "X-Back", value: "yes" },
      { key: "X-Back", value: "and more" },
      { key: "etag", value: "one" },
      { key: "ETag", value: "two" },
      { key: "x-bytes", value: Buffer.from("dropped") },
      { key: "x-sent-bin", value: "AQID" },
      { key: "x-sent-bin", value: "no base64" },
      { key: "x-sent-bin", value: "BA" },
      { key: "grpc-status", value: "13" },
      { key: "content-encoding", value: "gzip" },
      { key: "set-cookie", value: "a=1, 2" },
      { key: "set-cookie", value: "b=2" },
      { key: "bad name", value: "x" },
      { key: "x-newline", value: "a\nb" },
    ]);
    call.caller.end();
    const { reply, headers } = await answered;
    assert.equal(reply, "fine");
    // The client of this test joins them.
    assert.deepEqual(headers.get("x-back"), ["yes, and more"]);
    assert.deepEqual(headers.get("etag"), ["one, two"]);
    assert.deepEqual(headers.get("x-sent-bin"), [Buffer.from([1, 2, 3]), Buffer.from([4])]);
    assert.deepEqual(headers.get("set-cookie"), ["a=1, 2", "b=2"]);
    assert.deepEqual(
      ["x-bytes", "bad name", "x-newline", "content-encoding", "date"].flatMap((key) => headers.get(key)),
      [],
    );
    assert.deepEqual(call.events, ["halfClose"]);
  });

  test("sends values of one name one by one, or joined where HTTP/2 has one at most", async () => {
    await using harness = await openHarness();
    const session = http2.connect(`http://127.0.0.1:${harness.front.port}`);
    /** The header lines that come of reply metadata, as they are on the wire. */
    const linesOf = async (key: string, values: readonly string[]) => {
      const headers = { ":method": "POST", ":path": "/t.S/Unary", "content-type": "application/grpc", te: "trailers" };
      const stream = session.request(headers).on("error", () => undefined);
      stream.resume().end(frameOf(Buffer.alloc(0)));
      const call = await harness.opened();
      call.reply(
        "fine",
        values.map((value) => ({ key, value })),
      );
      call.caller.end();
      const [, , raw] = (await once(stream, "response")) as [unknown, unknown, string[]];
      await once(stream, "close");
      return raw.filter((_, at) => at % 2 === 1 && raw[at - 1] === key);
    };
    for (const key of ["x-back", "vary", "link", "set-cookie", "www-authenticate", "cache-control", "server"]) {
      assert.deepEqual(await linesOf(key, ["1", "2, 3", "4"]), ["1", "2, 3", "4"], key);
    }
    const single =
      "access-control-allow-credentials access-control-max-age access-control-request-method age authorization content-language content-location content-md5 content-range dnt etag expires from if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards proxy-authorization range referer retry-after tk upgrade-insecure-requests user-agent x-content-type-options";
    for (const key of single.split(" ")) assert.deepEqual(await linesOf(key, ["1", "2"]), ["1, 2"], key);
    for (const key of ["http2-settings", "keep-alive"]) assert.deepEqual(await linesOf(key, ["1"]), [], key);
    session.close();
  });

  test("serves a thousand calls over one connection", async () => {
    await using harness = await openHarness({ answer: echo });
    const replies = await Promise.all(
      Array.from({ length: 1000 }, (_, index) => unary(harness.client, "/t.S/Unary", String(index))),
    );
    assert.deepEqual(
      replies.map(({ reply }) => reply),
      Array.from({ length: 1000 }, (_, index) => `re:${index}`),
    );
  });

  test("carries a failure as status and text, odd characters included", async () => {
    await using harness = await openHarness({
      answer: (call) => call.caller.fail(new MassaError("failed", "50 % größer\n☂")),
    });
    await assert.rejects(unary(harness.client, "/t.S/Unary", ""), fails(status.UNKNOWN, "50 % größer\n☂"));
  });

  test("keeps the status number that the function gave", async () => {
    await using harness = await openHarness({ answer: (call) => call.caller.fail(MassaError.fromGrpc(15, "lost")) });
    await assert.rejects(unary(harness.client, "/t.S/Unary", ""), fails(status.DATA_LOSS, "lost"));
  });
});

suite("gRPC front: refusals", () => {
  test("fails a call whose reply metadata does not fit into headers", async () => {
    await using harness = await openHarness({ front: { headerBytesMax: 5_000 } });
    const answered = unary(harness.client, "/t.S/Unary", "");
    const call = await harness.opened();
    call.reply("x", [{ key: "x-large", value: "y".repeat(5_000) }]);
    const text = "reply metadata of 5007 bytes is over limits.headers of 5000 bytes";
    await assert.rejects(answered, fails(status.RESOURCE_EXHAUSTED, text));
    assert.deepEqual(call.events, ["halfClose", "cancel"]);
  });

  test("answers UNIMPLEMENTED for what is not served, and says which part is unknown", async () => {
    await using harness = await openHarness();
    await assert.rejects(
      unary(harness.client, "/no.Such/Thing", ""),
      fails(status.UNIMPLEMENTED, "service no.Such is not served here"),
    );
    await assert.rejects(
      unary(harness.client, "/t.S/Nope", ""),
      fails(status.UNIMPLEMENTED, "service t.S has no method Nope"),
    );
  });

  test("swaps routes at once and ends the calls of services that went", async () => {
    await using harness = await openHarness();
    const cut = unary(harness.client, "/t.S/Unary", "");
    const call = await harness.opened();
    harness.front.setTable(tableOf({ "t.Other": ["New"] }));
    await assert.rejects(cut, fails(status.UNAVAILABLE, "service t.S is not served here any more"));
    assert.deepEqual(call.events, ["halfClose", "cancel"]);
    const answered = unary(harness.client, "/t.Other/New", "x");
    echo(await harness.opened());
    assert.equal((await answered).reply, "re:x");
    await assert.rejects(unary(harness.client, "/t.S/Unary", ""), fails(status.UNIMPLEMENTED, /t\.S/));
  });

  test("refuses a message over the limit with size and limit", async () => {
    await using harness = await openHarness({ front: { messageBytesMax: 1000 } });
    const text = "a message of 1001 bytes is over limits.message of 1000 bytes";
    await assert.rejects(
      unary(harness.client, "/t.S/Unary", Buffer.alloc(1001)),
      fails(status.RESOURCE_EXHAUSTED, text),
    );
    assert.ok(harness.counted.includes("massa_limit_reached_total limits.message"));
  });

  test("inflates gzip, answers gzip with gzip, and counts the inflated size", async () => {
    const client = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
    await using harness = await openHarness({ answer: echo, client, front: { messageBytesMax: 100_000 } });
    const { reply } = await unary(harness.client, "/t.S/Unary", "y".repeat(50_000));
    assert.equal(reply, `re:${"y".repeat(50_000)}`);
    const bomb = unary(harness.client, "/t.S/Unary", Buffer.alloc(50_000_000));
    await assert.rejects(
      bomb,
      fails(status.RESOURCE_EXHAUSTED, "a message is inflated over limits.message of 100000 bytes"),
    );
  });

  test("refuses two messages and none for a method that takes one", async () => {
    await using harness = await openHarness();
    const send = async (messages: number) => {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const call = harness.client.makeClientStreamRequest("/t.S/Unary", raw, raw, (error, reply) =>
        error ? reject(error) : resolve(reply),
      );
      for (let sent = 0; sent < messages; sent++) call.write(Buffer.from("m"));
      call.end();
      return promise;
    };
    await assert.rejects(send(0), fails(status.INTERNAL, "no request message for Unary, which takes one"));
    await assert.rejects(send(2), fails(status.INTERNAL, "more than one request message for Unary, which takes one"));
  });
});

suite("gRPC front: streams, deadlines and cancellation", () => {
  test("opens a streamed command before its first message and half-closes after the last", async () => {
    await using harness = await openHarness();
    const stream = harness.client.makeBidiStreamRequest("/t.S/Both", raw, raw);
    const headers = once(stream, "metadata");
    const call = await harness.opened();
    assert.equal(call.command.payload, undefined);
    stream.write(Buffer.from("one"));
    await call.until(() => call.sent.length === 1);
    call.reply("1", [{ key: "x-first", value: "yes" }]);
    const [metadata] = (await headers) as [Metadata];
    assert.deepEqual(metadata.get("x-first"), ["yes"]);
    const [first] = (await once(stream, "data")) as [Buffer];
    stream.write(Buffer.from("two"));
    stream.end();
    await call.until(() => call.events.includes("halfClose"));
    assert.deepEqual([first.toString(), call.sent, call.events], ["1", ["one", "two"], ["send", "send", "halfClose"]]);
    const ended = once(stream, "status");
    stream.resume();
    call.caller.end();
    assert.equal(((await ended) as [{ code: number }])[0].code, status.OK);
  });

  test("takes no more input than the callee takes, and goes on when it drains", async () => {
    await using harness = await openHarness({ front: { messageBytesMax: 10_000 } });
    const stream = harness.client.makeBidiStreamRequest("/t.S/Both", raw, raw);
    stream.on("error", () => undefined);
    const call = await harness.opened();
    call.takes = false;
    for (let sent = 0; sent < 100; sent++) stream.write(Buffer.from(String(sent)));
    stream.end();
    await call.until(() => call.sent.length === 1);
    assert.deepEqual(call.sent, ["0"]);
    call.caller.drain();
    await call.until(() => call.sent.length === 2);
    assert.deepEqual(call.sent, ["0", "1"]);
    call.takes = true;
    call.caller.drain();
    await call.until(() => call.events.includes("halfClose"));
    assert.deepEqual(
      call.sent,
      Array.from({ length: 100 }, (_, sent) => String(sent)),
    );
    stream.cancel();
  });

  test("pauses the callee while the client does not read, and resumes it", async () => {
    await using harness = await openHarness();
    const stream = harness.client.makeServerStreamRequest("/t.S/Out", raw, raw, Buffer.alloc(0));
    const call = await harness.opened();
    while (!call.events.includes("pause")) call.reply(Buffer.alloc(50_000));
    assert.ok(!call.events.includes("resume"));
    stream.resume();
    await call.until(() => call.events.includes("resume"));
    const ended = once(stream, "status");
    call.caller.end();
    await ended;
  });

  test("cancels the callee when the client cancels", async () => {
    await using harness = await openHarness();
    const stream = harness.client.makeServerStreamRequest("/t.S/Out", raw, raw, Buffer.alloc(0));
    stream.on("error", () => undefined);
    const call = await harness.opened();
    stream.cancel();
    await call.until(() => call.events.includes("cancel"));
    assert.equal(harness.front.calls, 0);
  });

  test("cancels the callee when the connection goes", async () => {
    await using harness = await openHarness();
    const stream = harness.client.makeServerStreamRequest("/t.S/Out", raw, raw, Buffer.alloc(0));
    stream.on("error", () => undefined);
    const call = await harness.opened();
    harness.client.close();
    stream.cancel();
    await call.until(() => call.events.includes("cancel"));
  });

  test("passes the deadline on and ends the call when it comes", async () => {
    await using harness = await openHarness();
    const before = performance.now();
    const stream = harness.client.makeServerStreamRequest("/t.S/Out", raw, raw, Buffer.alloc(0), {
      deadline: Date.now() + 5_000,
    });
    stream.on("error", () => undefined);
    const { deadlineAtMs = 0 } = (await harness.opened()).command;
    assert.ok(
      deadlineAtMs > before + 3_000 && deadlineAtMs <= performance.now() + 5_000,
      String(deadlineAtMs - before),
    );
    stream.cancel();
    const metadata = new Metadata();
    metadata.set("grpc-timeout", "50m");
    const late = unary(harness.client, "/t.S/Unary", "", metadata);
    const call = await harness.opened();
    await assert.rejects(
      late,
      fails(status.DEADLINE_EXCEEDED, "the call did not end within 50 ms, the client's deadline"),
    );
    assert.deepEqual(call.events, ["halfClose", "cancel"]);
  });

  test("ends the sending side of a client whose call is over, after its error", async () => {
    await using harness = await openHarness();
    const stream = harness.client.makeBidiStreamRequest("/t.S/Both", raw, raw);
    const errored = Promise.withResolvers<ServiceError>();
    stream.on("error", (error: ServiceError) => errored.resolve(error));
    const call = await harness.opened();
    stream.write(Buffer.from("x"));
    await call.until(() => call.sent.length === 1);
    call.reply("first");
    stream.resume();
    call.caller.fail(new MassaError("failed", "expected failure"));
    fails(status.UNKNOWN, "expected failure")(await errored.promise);
    assert.deepEqual(call.events, ["send"]);
  });
});

suite("gRPC front: drain", () => {
  test("finishes what is open, refuses what is new, and ends what takes too long", async () => {
    await using harness = await openHarness();
    const finishing = unary(harness.client, "/t.S/Unary", "a");
    const call = await harness.opened();
    const drained = harness.front.drain(10_000);
    echo(call);
    assert.equal((await finishing).reply, "re:a");
    await drained;
    await assert.rejects(unary(harness.client, "/t.S/Unary", ""), { code: status.UNAVAILABLE });
  });

  test("lets services end their streams in good order before it ends what is left", async () => {
    await using harness = await openHarness();
    const [ended, cut] = [unary(harness.client, "/t.S/Unary", "a"), unary(harness.client, "/t.S/Unary", "b")];
    const calls = [await harness.opened(), await harness.opened()];
    const drained = harness.front.drain(20, () => echo(calls[0]!));
    assert.equal((await ended).reply, "re:a");
    await assert.rejects(cut, fails(status.UNAVAILABLE, "the proxy is shutting down"));
    await drained;
  });

  test("ends calls that outlive the drain", async () => {
    await using harness = await openHarness();
    const cut = unary(harness.client, "/t.S/Unary", "a");
    const call = await harness.opened();
    const drained = harness.front.drain(20);
    await assert.rejects(cut, fails(status.UNAVAILABLE, "the proxy is shutting down"));
    await drained;
    assert.deepEqual(call.events, ["halfClose", "cancel"]);
  });
});
