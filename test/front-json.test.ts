import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { MassaError, type Code } from "../lib/core/errors.ts";
import { JsonDocuments } from "../lib/frontend/json-documents.ts";
import type { Opened } from "./front-harness.ts";
import {
  ask1,
  echo,
  jsonType,
  message,
  openHttp,
  RawClient,
  rawBody,
  textOf,
  versions,
  type HttpHarness,
} from "./front-http-harness.ts";

const unary = { path: "/t.S/Unary", headers: jsonType };
const textPlain = "text/plain; charset=utf-8";

for (const { name, ask } of versions) {
  suite(`JSON over ${name}: unary calls`, () => {
    test("makes a command of a body and a document of the reply", async () => {
      await using harness = await openHttp();
      const asked = ask(harness.port, {
        ...unary,
        headers: { ...jsonType, "x-one": "a", "x-raw-bin": "AP8=", "user-agent": "me" },
        body: '{"text":"hi","number":"7"}',
      });
      const call = await harness.opened();
      assert.equal(call.command.payload?.typeUrl, "type.googleapis.com/t.M");
      assert.equal(textOf(call.command.payload.value), "hi");
      assert.deepEqual([call.command.service, call.command.method, call.command.hops], ["t.S", "Unary", 0]);
      const metadata = call.command.metadata.filter(({ key }) => key !== "date");
      assert.deepEqual(metadata, [
        { key: "x-one", value: "a" },
        { key: "x-raw-bin", value: Buffer.from([0, 255]) },
        { key: "user-agent", value: "me" },
      ]);
      assert.deepEqual(call.events, ["halfClose"]);
      call.reply(message("fine"), [
        { key: "X-Back", value: "yes" },
        { key: "content-type", value: "image/png" },
        { key: "x-newline", value: "a\nb" },
      ]);
      call.caller.end();
      const { status, headers, body } = await asked;
      assert.deepEqual([status, body], [200, '{"text":"fine","number":"0"}']);
      assert.equal(headers["content-type"], "application/json");
      assert.equal(headers["content-length"], String(body.length));
      assert.deepEqual([headers["x-back"], headers["x-newline"]], ["yes", undefined]);
    });

    test("makes an entry of each binary value, one of all cookies, and none of what is transport", async () => {
      await using harness = await openHttp();
      const asked = ask(harness.port, {
        ...unary,
        // Over HTTP/2 Node sends a list of cookies as headers of their own.
        headers: { ...jsonType, "x-q-bin": "AQID,BAUG", cookie: ["a=1", "b=2", "c=3"], "content-encoding": "gzip" },
        body: gzipSync("{}"),
      });
      const call = await harness.opened();
      assert.deepEqual(
        call.command.metadata.filter(({ key }) => key !== "date"),
        [
          { key: "x-q-bin", value: Buffer.from([1, 2, 3]) },
          { key: "x-q-bin", value: Buffer.from([4, 5, 6]) },
          { key: "cookie", value: "a=1; b=2; c=3" },
        ],
      );
      call.reply(message(""), [
        { key: "set-cookie", value: "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT" },
        { key: "Set-Cookie", value: "b=2" },
        { key: "set-cookie", value: "c=3" },
        { key: "x-list", value: "1" },
        { key: "x-list", value: "2" },
        { key: "content-encoding", value: "gzip" },
      ]);
      call.caller.end();
      const { headers } = await asked;
      assert.deepEqual(headers["set-cookie"], ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2", "c=3"]);
      assert.deepEqual([headers["x-list"], headers["content-encoding"]], ["1, 2", undefined]);
    });

    test("says when it answered", async () => {
      await using harness = await openHttp({ answer: echo });
      const before = Math.floor(Date.now() / 1_000) * 1_000;
      for (const path of ["/things/a", "/watch/a", "/no"]) {
        const { headers } = await ask(harness.port, { method: "GET", path });
        const said = Date.parse(headers["date"]!);
        assert.ok(said >= before && said <= Date.now(), `${path}: ${headers["date"]}`);
      }
    });

    test("takes fields from path and query, and no body where the rule has none", async () => {
      await using harness = await openHttp({ answer: echo });
      const get = { method: "GET", path: "/things/a%20b?number=5" };
      assert.equal((await ask(harness.port, get)).body, '{"text":"re:a b","number":"0"}');
    });

    test("answers HEAD as GET without the body, OPTIONS with what there is, and 404 without a route", async () => {
      await using harness = await openHttp({ answer: echo });
      const { port } = harness;
      const got = await ask(port, { method: "GET", path: "/things/a" });
      const head = await ask(port, { method: "HEAD", path: "/things/a" });
      assert.deepEqual([head.status, head.body], [200, ""]);
      assert.equal(head.headers["content-length"], got.headers["content-length"]);
      const options = await ask(port, { method: "OPTIONS", path: "/things/a" });
      assert.deepEqual([options.status, options.headers["allow"]], [204, "GET, HEAD, OPTIONS"]);
      for (const [method, path] of [
        ["HEAD", "/no"],
        ["GET", "/no"],
        ["OPTIONS", "/no"],
        ["DELETE", "/things/a"],
        ["POST", "/t.S/None"],
      ] as const) {
        const { status, body, headers } = await ask(port, { method, path, headers: jsonType });
        assert.deepEqual([status, body, headers["content-type"]], [404, "", undefined], `${method} ${path}`);
      }
    });

    test("says what is wrong with a request", async () => {
      await using harness = await openHttp({ answer: echo });
      const { port } = harness;
      const cases = [
        [{ ...unary, body: '{"text":' }, /^Bad Request: not JSON/],
        [{ ...unary, body: '{"number":"x"}' }, /^Bad Request: number: /],
        [{ ...unary, body: '{"nix":1}' }, /^Bad Request: nix: /],
        [{ ...unary, headers: { "content-type": "text/plain" }, body: "{}" }, /^Bad Request: .*application\/json/],
        [{ ...unary, headers: {}, body: "{}" }, /^Bad Request: .*application\/json/],
        [{ method: "GET", path: "/things/a?number=x" }, /^Bad Request: number: /],
        [{ ...unary, headers: { ...jsonType, "grpc-timeout": "soon" }, body: "{}" }, /^Bad Request: grpc-timeout: /],
      ] as const;
      for (const [asked, text] of cases) {
        const { status, body, headers } = await ask(port, asked);
        assert.equal(status, 400);
        assert.match(body, text);
        assert.equal(headers["content-type"], textPlain);
      }
    });

    test("answers failures with the status of their code and their text", async () => {
      const failures: [Code, number][] = [
        ["failed", 500],
        ["internal", 500],
        ["not-found", 404],
        ["unavailable", 503],
        ["exhausted", 429],
        ["deadline", 504],
      ];
      for (const [code, expected] of failures) {
        await using harness = await openHttp({
          answer: (call) => call.caller.fail(new MassaError(code, "nicht größer ☂")),
        });
        const { status, body, headers } = await ask(harness.port, { ...unary, body: "{}" });
        assert.deepEqual([status, body, headers["content-type"]], [expected, "nicht größer ☂", textPlain]);
      }
    });

    test("answers 500 without a reply, for a failure after one, and for bytes that cannot be printed", async () => {
      await using harness = await openHttp();
      const none = ask(harness.port, { ...unary, body: "{}" });
      (await harness.opened()).caller.end();
      assert.deepEqual([(await none).status, (await none).body], [500, "no reply from t.S/Unary"]);
      const late = ask(harness.port, { ...unary, body: "{}" });
      const call = await harness.opened();
      call.reply(message("never seen"));
      call.caller.fail(new MassaError("failed", "after all"));
      assert.deepEqual([(await late).status, (await late).body], [500, "after all"]);
      const odd = ask(harness.port, { ...unary, body: "{}" });
      const other = await harness.opened();
      other.reply(Buffer.from([0x0a, 0x7f]));
      other.caller.end();
      assert.equal((await odd).status, 500);
    });

    test("sends a HttpBody as it is", async () => {
      await using harness = await openHttp();
      const types = [
        ["image/svg+xml", "image/svg+xml"],
        ["", undefined],
        ["text/html\r\nset-cookie: a=b", "application/octet-stream"],
      ] as const;
      for (const [type, expected] of types) {
        const asked = ask(harness.port, { path: "/t.S/Raw", headers: jsonType, body: "{}" });
        const call = await harness.opened();
        call.reply(rawBody(type, "<svg/>"));
        call.caller.end();
        const { status, headers, body } = await asked;
        assert.deepEqual([status, body, headers["content-type"]], [200, "<svg/>", expected]);
      }
      const zipped = ask(harness.port, { path: "/t.S/Raw", headers: jsonType, body: "{}" });
      const call = await harness.opened();
      call.reply(rawBody("text/plain", "as if zipped"), [{ key: "content-encoding", value: "gzip" }]);
      call.caller.end();
      const { headers, body } = await zipped;
      assert.deepEqual([headers["content-encoding"], body], ["gzip", "as if zipped"]);
    });

    test("refuses a body over limits.message before, while and after it is read", async () => {
      await using harness = await openHttp({ front: { messageBytesMax: 2_000 } });
      const { port, counted } = harness;
      const body = JSON.stringify({ text: "x".repeat(3_000) });
      const told = await ask(port, { ...unary, headers: { ...jsonType, "content-length": body.length }, body });
      assert.equal(told.status, 413);
      assert.match(told.body, /^a body of \d+ bytes is over limits\.message of 2000 bytes$/);
      const untold = name === "HTTP/2" ? {} : { "transfer-encoding": "chunked" };
      const read = await ask(port, { ...unary, headers: { ...jsonType, ...untold }, body });
      assert.deepEqual([read.status, read.body], [413, "a body is over limits.message of 2000 bytes"]);
      const zipped = gzipSync(body);
      const headers = { ...jsonType, "content-encoding": "gzip" };
      const bomb = await ask(port, { ...unary, headers, body: zipped });
      assert.deepEqual([bomb.status, bomb.body], [413, "a body is inflated over limits.message of 2000 bytes"]);
      assert.equal(counted.filter((line) => line === "massa_limit_reached_total limits.message").length, 3);
    });

    test("takes 10 MiB that are too much without holding them, and serves the next", async () => {
      await using harness = await openHttp({ answer: echo });
      const body = Buffer.alloc(10 * 1024 * 1024, 0x20);
      const { status } = await ask(harness.port, { ...unary, body });
      assert.equal(status, 413);
      assert.equal((await ask(harness.port, { ...unary, body: '{"text":"on"}' })).status, 200);
    });

    test("inflates gzip and refuses other encodings", async () => {
      await using harness = await openHttp({ answer: echo });
      const zipped = { ...jsonType, "content-encoding": "gzip" };
      const fine = await ask(harness.port, { ...unary, headers: zipped, body: gzipSync('{"text":"z"}') });
      assert.equal(fine.body, '{"text":"re:z","number":"0"}');
      const broken = await ask(harness.port, { ...unary, headers: zipped, body: "no gzip" });
      assert.deepEqual([broken.status, broken.body], [400, "Bad Request: the body is no gzip stream"]);
      const other = await ask(harness.port, {
        ...unary,
        headers: { ...jsonType, "content-encoding": "br" },
        body: "x",
      });
      assert.equal(other.status, 415);
      assert.match(other.body, /content-encoding br is not supported/);
    });

    test("passes the deadline on and answers 504 when it comes", async () => {
      await using harness = await openHttp();
      const asked = ask(harness.port, { ...unary, headers: { ...jsonType, "grpc-timeout": "20m" }, body: "{}" });
      const call = await harness.opened();
      assert.ok(call.command.deadlineAtMs! > performance.now());
      const { status, body } = await asked;
      assert.deepEqual([status, body], [504, "the call did not end within 20 ms, the client's deadline"]);
      assert.deepEqual(call.events, ["halfClose", "cancel"]);
    });

    test("gives up a body that trickles", async () => {
      await using harness = await openHttp({ front: { bodyTimeoutMs: 30 } });
      const stream = await begun(name, harness, "/t.S/Unary");
      stream.write("{");
      const { status, body } = await stream.answered;
      assert.deepEqual([status, body], [408, "the body did not come within frontend.bodyTimeout of 30 ms"]);
      assert.ok(harness.counted.includes("massa_limit_reached_total frontend.bodyTimeout"));
      stream.destroy();
    });

    test("fails what is over frontend.buffer", async () => {
      await using harness = await openHttp({ front: { bufferBytes: 1_000, messageBytesMax: 100_000 } });
      const asked = await ask(harness.port, { ...unary, body: JSON.stringify({ text: "x".repeat(5_000) }) });
      assert.equal(asked.status, 429);
      assert.ok(harness.counted.includes("massa_limit_reached_total frontend.buffer"));
    });

    test("cancels a call whose client goes", async () => {
      await using harness = await openHttp();
      const stream = await begun(name, harness, "/t.S/Unary");
      stream.answered.catch(() => undefined);
      stream.end("{}");
      const call = await harness.opened();
      stream.destroy();
      await call.until(() => call.events.includes("cancel"));
    });
  });

  suite(`JSON over ${name}: streams`, () => {
    test("answers with one document a line, or events for those who ask for them", async () => {
      await using harness = await openHttp({
        answer: (call) => {
          call.reply(message("a"), [{ key: "x-first", value: "yes" }]);
          call.reply(message("b"), [{ key: "x-second", value: "no" }]);
          call.caller.end();
        },
      });
      const lines = await ask(harness.port, { method: "GET", path: "/watch/x" });
      assert.equal(lines.headers["content-type"], "application/json");
      assert.equal(lines.body, '{"text":"a","number":"0"}\n{"text":"b","number":"0"}\n');
      assert.deepEqual([lines.headers["x-first"], lines.headers["x-second"]], ["yes", undefined]);
      const accept = "text/html, text/event-stream;q=0.5";
      const events = await ask(harness.port, { method: "GET", path: "/watch/x", headers: { accept } });
      assert.equal(events.headers["content-type"], "text/event-stream");
      assert.equal(events.body, 'data: {"text":"a","number":"0"}\n\ndata: {"text":"b","number":"0"}\n\n');
      for (const refusing of ["text/event-stream;q=0", "*/*, Text/Event-Stream ; q=0.000"]) {
        const refused = await ask(harness.port, { method: "GET", path: "/watch/x", headers: { accept: refusing } });
        assert.equal(refused.headers["content-type"], "application/json", refusing);
      }
    });

    test("answers with nothing where there is nothing, and HEAD with the headers alone", async () => {
      await using harness = await openHttp();
      const asked = ask(harness.port, { method: "GET", path: "/watch/x" });
      (await harness.opened()).caller.end();
      const { status, body, headers } = await asked;
      assert.deepEqual([status, body, headers["content-type"]], [200, "", "application/json"]);
      const head = ask(harness.port, { method: "HEAD", path: "/watch/x" });
      const call = await harness.opened();
      call.reply(message("a"), [{ key: "x-first", value: "yes" }]);
      assert.deepEqual([(await head).status, (await head).headers["x-first"], (await head).body], [200, "yes", ""]);
      await call.until(() => call.events.includes("cancel"));
    });

    test("takes no more of a stream than HEAD asks for, however early it comes", async () => {
      const calls: Opened[] = [];
      await using harness = await openHttp({
        answer: (call) => {
          calls.push(call);
          call.reply(message("a"));
        },
      });
      assert.equal((await ask(harness.port, { method: "HEAD", path: "/watch/x" })).status, 200);
      await calls[0]!.until(() => calls[0]!.events.includes("cancel"));
    });

    test("sends pieces of a HttpBody as they are", async () => {
      await using harness = await openHttp();
      const ways = [
        [[{ key: "Content-Type", value: "text/csv" }], "image/png", "text/csv"],
        [[], "image/png", "image/png"],
        [[], "", "application/octet-stream"],
      ] as const;
      for (const [metadata, type, expected] of ways) {
        const headers = { ...jsonType, accept: "text/event-stream" };
        const asked = ask(harness.port, { path: "/t.S/RawOut", headers, body: "{}" });
        const call = await harness.opened();
        call.reply(rawBody(type, "1,"), metadata);
        call.reply(rawBody(type, "2\n"));
        call.caller.end();
        const { headers: received, body } = await asked;
        assert.deepEqual([received["content-type"], body], [expected, "1,2\n"]);
      }
    });

    test("answers a failure before the first part by its status, and breaks off after it", async () => {
      await using harness = await openHttp();
      const early = ask(harness.port, { method: "GET", path: "/watch/x" });
      (await harness.opened()).caller.fail(new MassaError("failed", "no"));
      assert.deepEqual([(await early).status, (await early).body], [500, "no"]);
      const late = ask(harness.port, { method: "GET", path: "/watch/x" });
      const rejected = assert.rejects(late);
      const call = await harness.opened();
      call.reply(message("a"));
      call.caller.fail(new MassaError("failed", "no more"));
      await rejected;
    });

    test("says in a stream of events why it breaks off", async () => {
      await using harness = await openHttp();
      const stream = await begun(name, harness, "/t.S/Out", { accept: "text/event-stream" });
      stream.end("{}");
      const call = await harness.opened();
      call.reply(message("a"));
      call.caller.fail(new MassaError("failed", "no more"));
      const { body, isWhole } = await stream.answered;
      const event = 'event: error\ndata: {"status":2,"description":"no more"}\n\n';
      assert.deepEqual([body, isWhole], [`data: {"text":"a","number":"0"}\n\n${event}`, false]);
    });

    test("takes one message of each line, from however many chunks, as the callee takes them", async () => {
      await using harness = await openHttp();
      const stream = await begun(name, harness, "/t.S/In");
      const call = await harness.opened();
      assert.equal(call.command.payload, undefined);
      call.takes = false;
      stream.write('{"text":"one"}\n{"te');
      stream.write('xt":"two"}\n\n  {\n"text": "th}ree"\n}{"text":"four"}');
      await call.until(() => call.sent.length === 1);
      call.caller.drain();
      await call.until(() => call.sent.length === 2);
      call.takes = true;
      call.caller.drain();
      stream.end();
      await call.until(() => call.events.includes("halfClose"));
      assert.deepEqual(
        call.sent.map((sent) => textOf(Buffer.from(sent))),
        ["one", "two", "th}ree", "four"],
      );
      call.reply(message("sum"));
      call.caller.end();
      assert.equal((await stream.answered).body, '{"text":"sum","number":"0"}');
    });

    test("refuses a line that is wrong, and one that is too long", async () => {
      await using harness = await openHttp({ front: { messageBytesMax: 100 } });
      const wrong = await begun(name, harness, "/t.S/In");
      const call = await harness.opened();
      wrong.write('{"text":"fine"}\n{"number":"x"}\n');
      const { status, body } = await wrong.answered;
      assert.equal(status, 400);
      assert.match(body, /^Bad Request: number: /);
      assert.deepEqual(call.events, ["send", "cancel"]);
      wrong.destroy();
      const long = await begun(name, harness, "/t.S/In");
      long.write(`{"text":"${"x".repeat(200)}`);
      const answered = await long.answered;
      assert.deepEqual([answered.status, answered.body], [413, "a message is over limits.message of 100 bytes"]);
      long.destroy();
    });

    test("answers a call that is refused as it is opened, whatever is still to come of its request", async () => {
      await using harness = await openHttp({
        answer: (call) => call.caller.fail(new MassaError("unavailable", "not now")),
      });
      for (const path of ["/t.S/Unary", "/t.S/In", "/t.S/Out", "/t.S/Both"]) {
        const answered = await ask(harness.port, { path, headers: jsonType, body: '{"text":"a"}\n{"text":"b"}' });
        assert.equal(answered.status, path === "/t.S/Unary" || path === "/t.S/Out" ? 400 : 503, path);
        const one = await ask(harness.port, { path, headers: jsonType, body: "{}" });
        assert.deepEqual([one.status, one.body], [503, "not now"], path);
      }
    });

    test("takes a raw body piece by piece", async () => {
      await using harness = await openHttp();
      const stream = await begun(name, harness, "/t.S/RawIn", { "content-type": "text/csv" });
      const call = await harness.opened();
      stream.write("1,2");
      await call.until(() => call.sent.length === 1);
      assert.equal(call.sent[0], Buffer.from(rawBody("text/csv", "1,2")).toString());
      stream.end();
      await call.until(() => call.events.includes("halfClose"));
      call.reply(message("ok"));
      call.caller.end();
      assert.equal((await stream.answered).status, 200);
    });

    test("answers while the request still comes", async () => {
      await using harness = await openHttp();
      const stream = await begun(name, harness, "/t.S/Both", { "content-type": "application/x-ndjson" });
      const call = await harness.opened();
      stream.write('{"text":"1"}\n');
      await call.until(() => call.sent.length === 1);
      call.reply(message("re:1"));
      await stream.until((body) => body.includes("re:1"));
      stream.write('{"text":"2"}\n');
      await call.until(() => call.sent.length === 2);
      stream.end();
      await call.until(() => call.events.includes("halfClose"));
      call.caller.end();
      assert.equal((await stream.answered).body, '{"text":"re:1","number":"0"}\n');
    });

    test("holds the callee back while the client does not read", async () => {
      await using harness = await openHttp();
      const stream = await begun(name, harness, "/t.S/Out");
      stream.end("{}");
      const call = await harness.opened();
      stream.pause();
      const part = message("x".repeat(64 * 1024));
      const isHeld = () => call.events.findLast((event) => event !== "send") === "pause";
      let count = 0;
      // The network takes some of it; what is held is what stays held.
      for (let turns = 0; turns < 300; turns += 1) {
        if (!isHeld()) {
          turns = 0;
          call.reply(part);
          count += 1;
          assert.ok(count < 2_000, "never held back for good");
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      const resumed = call.events.filter((event) => event === "resume").length;
      stream.resume();
      await call.until(() => call.events.filter((event) => event === "resume").length > resumed);
      call.caller.end();
      assert.equal((await stream.answered).body.split("\n").length, count + 1);
    });

    test("holds the client back while the callee does not take", async () => {
      await using harness = await openHttp();
      const stream = await begun(name, harness, "/t.S/In");
      const call = await harness.opened();
      call.takes = false;
      const line = `${JSON.stringify({ text: "x".repeat(50_000) })}\n`;
      let written = 0;
      for (; written < 1_000 && stream.write(line); written += 1) await new Promise((resolve) => setImmediate(resolve));
      assert.ok(written < 1_000, "the client could write without end");
      await call.until(() => call.sent.length === 1);
      stream.answered.catch(() => undefined);
      stream.destroy();
      // Over HTTP/1.1 a connection from which nothing is read does not tell that it ended.
      call.takes = true;
      call.caller.drain();
      await call.until(() => call.events.includes("cancel"));
    });
  });
}

/** A request under way. */
interface Begun {
  write(text: string): boolean;
  end(text?: string): void;
  pause(): void;
  resume(): void;
  destroy(): void;
  until(holds: (body: string) => boolean): Promise<void>;
  readonly answered: Promise<{ readonly status: number; readonly body: string; readonly isWhole: boolean }>;
}

/** Begins a POST; its headers are out when this resolves. */
async function begun(
  version: string,
  { port }: HttpHarness,
  path: string,
  headers: http.OutgoingHttpHeaders = {},
): Promise<Begun> {
  let body = "";
  let changed = Promise.withResolvers<undefined>();
  const note = () => {
    const { resolve } = changed;
    changed = Promise.withResolvers<undefined>();
    resolve(undefined);
  };
  const take = (chunk: Buffer) => {
    body += chunk.toString("latin1");
    note();
  };
  const until = async (holds: (text: string) => boolean) => {
    while (!holds(body)) await changed.promise;
  };
  if (version === "HTTP/2") {
    const session = http2.connect(`http://127.0.0.1:${port}`).on("error", () => undefined);
    const stream = session.request({ ":method": "POST", ":path": path, ...jsonType, ...headers });
    stream.on("error", () => undefined);
    stream.on("data", take);
    const answered = (async () => {
      const [response] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
      if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
      return { status: Number(response[":status"]), body, isWhole: stream.rstCode === 0 };
    })();
    return {
      write: (text) => stream.write(text),
      end: (text) => void stream.end(text),
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
      destroy: () => session.destroy(),
      until,
      answered,
    };
  }
  const request = http.request({ port, host: "127.0.0.1", agent: false, method: "POST", path });
  for (const [name, value] of Object.entries({ ...jsonType, ...headers })) request.setHeader(name, value!);
  request.flushHeaders();
  request.on("error", () => undefined);
  const state: { paused: boolean; response?: http.IncomingMessage } = { paused: false };
  const answered = (async () => {
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    state.response = response;
    response.on("error", () => undefined);
    response.on("data", take);
    if (state.paused) response.pause();
    await new Promise((resolve) => response.once("close", resolve));
    return { status: response.statusCode!, body, isWhole: response.complete };
  })();
  return {
    write: (text) => request.write(text),
    end: (text) => void request.end(text),
    pause: () => {
      state.paused = true;
    },
    resume: () => {
      state.paused = false;
      state.response?.resume();
    },
    destroy: () => request.destroy(),
    until,
    answered,
  };
}

suite("JSON: draining and swapping", () => {
  test("finishes what is open, refuses what is new", async () => {
    await using harness = await openHttp();
    const open = ask1(harness.port, { ...unary, body: "{}" });
    const call = await harness.opened();
    const late = new RawClient(harness.port);
    await once(late.socket, "connect");
    await ask1(harness.port, { method: "GET", path: "/no" }); // The connection before it is accepted by then.
    const drained = harness.front.drain(10_000);
    late.send("GET /things/a HTTP/1.1\r\nhost: x\r\n\r\n");
    assert.match(await late.closed(), /^HTTP\/1\.1 503 [^]*connection: close[^]*the proxy is shutting down$/);
    call.reply(message("last"));
    call.caller.end();
    const { status, headers } = await open;
    assert.deepEqual([status, headers["connection"]], [200, "close"]);
    await drained;
  });

  test("ends calls that outlive the drain with 503", async () => {
    await using harness = await openHttp();
    const open = ask1(harness.port, { ...unary, body: "{}" });
    const call = await harness.opened();
    await harness.front.drain(20);
    assert.deepEqual([(await open).status, (await open).body], [503, "the proxy is shutting down"]);
    assert.deepEqual(call.events, ["halfClose", "cancel"]);
  });
});

suite("JSON documents of a body", () => {
  const cut = (bytesMax: number, ...chunks: string[]): string[] => {
    const documents = new JsonDocuments(bytesMax);
    const found: string[] = [];
    const take = () => {
      for (let next = documents.next(); next !== undefined; next = documents.next()) {
        found.push(Buffer.from(next).toString().trim());
      }
    };
    for (const chunk of chunks) {
      documents.push(Buffer.from(chunk));
      take();
    }
    documents.end();
    take();
    assert.equal(documents.bufferedBytes, 0);
    return found;
  };

  test("are cut the same, wherever the chunks are", () => {
    const body = '{"a":"\\"}{\\\\"}\r\n[1,[2]] 12\ttrue\n"x\\"y" null{}\n\n{"b":{"c":"]"}}\n  {\n "d": 1\n}\n7';
    const expected = [
      '{"a":"\\"}{\\\\"}',
      "[1,[2]]",
      "12",
      "true",
      '"x\\"y"',
      "null{}",
      '{"b":{"c":"]"}}',
      '{\n "d": 1\n}',
      "7",
    ];
    for (let size = 1; size <= body.length; size += 1) {
      const chunks = Array.from({ length: Math.ceil(body.length / size) }, (_, at) =>
        body.slice(at * size, (at + 1) * size),
      );
      assert.deepEqual(cut(100, ...chunks), expected, `chunks of ${size}`);
    }
  });

  test("end with their line when they are none, and with the body", () => {
    assert.deepEqual(cut(100, '{"open\n{"a":1}\n}}\n{"cut":'), ['{"open', '{"a":1}', "}}", '{"cut":']);
    assert.deepEqual(cut(100, " \n\n "), []);
  });

  test("are refused over the limit, however they come", () => {
    const long = `"${"x".repeat(98)}"`;
    assert.deepEqual(cut(100, long), [long]);
    for (const size of [1, 7, 1_000]) {
      const text = `"${"x".repeat(99)}"`;
      const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
        text.slice(at * size, (at + 1) * size),
      );
      assert.throws(() => cut(100, ...chunks), { code: "exhausted" });
    }
  });
});
