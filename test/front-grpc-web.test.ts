import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { headerName, origin } from "../lib/core/config-values.ts";
import { MassaError } from "../lib/core/errors.ts";
import { Base64Reader } from "../lib/frontend/base64.ts";
import { frameOf } from "../lib/wire/http2-frames.ts";
import { ask1, openHttp, RawClient, versions, type Answered } from "./front-http-harness.ts";
import type { Opened } from "./front-harness.ts";

const binary = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
const text = { "content-type": "application/grpc-web-text" };
const framed = (...messages: string[]) => Buffer.concat(messages.map((message) => frameOf(Buffer.from(message))));
const echo = (call: Opened) => {
  call.reply(Buffer.concat([Buffer.from("re:"), call.command.payload!.value]), [{ key: "x-back", value: "yes" }]);
  call.caller.end();
};

/** The frames of a body: messages, and the trailers at its end. */
function framesOf({ bytes, headers }: Answered): { readonly messages: string[]; readonly trailers: string } {
  const isText = headers["content-type"]!.includes("text");
  const decoded = isText ? Buffer.from(new Base64Reader().push(bytes)!) : bytes;
  const messages: string[] = [];
  for (let at = 0; at < decoded.length;) {
    const end = at + 5 + decoded.readUInt32BE(at + 1);
    const content = decoded.subarray(at + 5, end).toString();
    if (decoded[at] === 0x80) {
      assert.equal(end, decoded.length, "trailers come last");
      return { messages, trailers: content };
    }
    assert.equal(decoded[at], 0);
    messages.push(content);
    at = end;
  }
  return assert.fail(`no trailers in ${JSON.stringify(bytes.toString("latin1"))}`);
}

for (const { name, ask } of versions) {
  suite(`gRPC-Web over ${name}`, () => {
    test("serves a unary call, binary and text, metadata both ways", async () => {
      await using harness = await openHttp({ answer: echo });
      for (const headers of [binary, text]) {
        const body = headers === text ? framed("ping").toString("base64") : framed("ping");
        const answered = await ask(harness.port, { path: "/t.S/Unary", headers, body });
        assert.equal(answered.status, 200);
        assert.equal(answered.headers["content-type"], headers["content-type"]);
        assert.equal(answered.headers["x-back"], "yes");
        assert.deepEqual(framesOf(answered), { messages: ["re:ping"], trailers: "grpc-status: 0\r\n" });
      }
    });

    test("answers text to whoever accepts it", async () => {
      await using harness = await openHttp({ answer: echo });
      const headers = { ...binary, accept: "application/grpc-web-text+proto" };
      const answered = await ask(harness.port, { path: "/t.S/Unary", headers, body: framed("x") });
      assert.equal(answered.headers["content-type"], "application/grpc-web-text+proto");
      assert.deepEqual(framesOf(answered).messages, ["re:x"]);
    });

    test("takes its media types in any case, and no text where that is not acceptable", async () => {
      await using harness = await openHttp({ answer: echo });
      const headers = { "content-type": "Application/gRPC-Web+Proto", accept: "application/grpc-web-text;q=0" };
      const answered = await ask(harness.port, { path: "/t.S/Unary", headers, body: framed("x") });
      assert.equal(answered.headers["content-type"], "application/grpc-web+proto");
      const accept = "*/*, Application/Grpc-Web-Text";
      const asText = await ask(harness.port, { path: "/t.S/Unary", headers: { ...binary, accept }, body: framed("x") });
      assert.equal(asText.headers["content-type"], "application/grpc-web-text+proto");
    });

    test("hands on path, metadata and deadline as gRPC does", async () => {
      await using harness = await openHttp();
      const headers = { ...binary, "grpc-timeout": "30m", "x-one": "a", "x-raw-bin": "AP8=" };
      const asked = ask(harness.port, { path: "/t.S/Unary", headers, body: framed("x") });
      const call = await harness.opened();
      const own = call.command.metadata.filter(({ key }) => key.startsWith("x-") && key !== "x-grpc-web");
      assert.deepEqual(own, [
        { key: "x-one", value: "a" },
        { key: "x-raw-bin", value: Buffer.from([0, 255]) },
      ]);
      assert.ok(call.command.deadlineAtMs! > performance.now());
      const { trailers } = framesOf(await asked);
      assert.equal(
        trailers,
        "grpc-status: 4\r\ngrpc-message: the call did not end within 30 ms, the client's deadline\r\n",
      );
      assert.deepEqual(call.events, ["halfClose", "cancel"]);
    });

    test("serves streams in, out and both ways", async () => {
      await using harness = await openHttp();
      const into = ask(harness.port, { path: "/t.S/In", headers: binary, body: framed("1", "2") });
      const first = await harness.opened();
      await first.until(() => first.events.includes("halfClose"));
      assert.deepEqual(first.sent, ["1", "2"]);
      first.reply("sum");
      first.caller.end();
      assert.deepEqual(framesOf(await into).messages, ["sum"]);
      const out = ask(harness.port, { path: "/t.S/Out", headers: text, body: framed("go").toString("base64") });
      const second = await harness.opened();
      for (const part of ["a", "b", "ccc"]) second.reply(part);
      second.caller.end();
      assert.deepEqual(framesOf(await out).messages, ["a", "b", "ccc"]);
      const both = ask(harness.port, { path: "/t.S/Both", headers: binary, body: framed("1", "2") });
      const third = await harness.opened();
      third.reply("one");
      await third.until(() => third.events.includes("halfClose"));
      third.reply("two");
      third.caller.end();
      assert.deepEqual(framesOf(await both).messages, ["one", "two"]);
    });

    test("puts every failure into the trailers at the end of the body", async () => {
      await using harness = await openHttp({
        answer: (call) => {
          if (call.command.method === "Out") call.reply("part");
          call.caller.fail(new MassaError("failed", "50 % größer"));
        },
      });
      const { port } = harness;
      const failed = "grpc-status: 2\r\ngrpc-message: 50 %25 gr%C3%B6%C3%9Fer\r\n";
      const early = await ask(port, { path: "/t.S/Unary", headers: binary, body: framed("x") });
      assert.deepEqual([early.status, framesOf(early)], [200, { messages: [], trailers: failed }]);
      assert.equal(early.headers["grpc-status"], undefined);
      const late = await ask(port, { path: "/t.S/Out", headers: binary, body: framed("x") });
      assert.deepEqual(framesOf(late), { messages: ["part"], trailers: failed });
      const unknown = await ask(port, { path: "/t.S/Nix", headers: text, body: "" });
      assert.equal(framesOf(unknown).trailers, "grpc-status: 12\r\ngrpc-message: service t.S has no method Nix\r\n");
    });

    test("inflates gzip and refuses what is malformed", async () => {
      await using harness = await openHttp({ answer: echo });
      const { port } = harness;
      const zipped = Buffer.from(frameOf(gzipSync("zip"), true));
      const fine = await ask(port, {
        path: "/t.S/Unary",
        headers: { ...binary, "grpc-encoding": "gzip" },
        body: zipped,
      });
      assert.deepEqual(framesOf(fine).messages, ["re:zip"]);
      const cases = [
        [binary, zipped, /grpc-status: 13[^]*compressed/],
        [binary, framed("x").subarray(0, 4), /grpc-status: 13[^]*middle of a message/],
        [text, "AAA*", /grpc-status: 13[^]*no base64/],
        [text, "A===", /grpc-status: 13[^]*no base64/],
        [text, "AAAAAAA", /grpc-status: 13[^]*middle of a group/],
        [{ ...binary, "grpc-timeout": "soon" }, framed("x"), /malformed grpc-timeout/],
      ] as const;
      for (const [headers, body, expected] of cases) {
        assert.match(framesOf(await ask(port, { path: "/t.S/Unary", headers, body })).trailers, expected);
      }
      const other = { "content-type": "application/grpc-web+thrift" };
      assert.equal((await ask(port, { path: "/t.S/Unary", headers: other, body: "x" })).status, 415);
    });

    test("refuses a message over limits.message, and a body that does not come", async () => {
      await using harness = await openHttp({ front: { messageBytesMax: 100, bodyTimeoutMs: 30 } });
      const large = await ask(harness.port, { path: "/t.S/Unary", headers: binary, body: framed("x".repeat(200)) });
      assert.match(framesOf(large).trailers, /^grpc-status: 8\r\n.*over limits\.message of 100 bytes/);
    });
  });
}

suite("gRPC-Web over HTTP/1.1: what only raw bytes show", () => {
  const head = (headers: string) => `POST /t.S/Unary HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`;

  test("gives up a body that trickles", async () => {
    await using harness = await openHttp({ front: { bodyTimeoutMs: 30 } });
    const client = new RawClient(harness.port);
    client.send(head("content-type: application/grpc-web\r\ncontent-length: 100"));
    await client.until((received) => received.includes("grpc-status: 4"));
    assert.ok(harness.counted.includes("massa_limit_reached_total frontend.bodyTimeout"));
    await client.closed();
  });

  test("writes each piece of a text body as base64 of its own", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    const body = framed("x").toString("base64");
    client.send(head(`content-type: application/grpc-web-text\r\ncontent-length: ${body.length}`) + body);
    const call = await harness.opened();
    call.reply("a");
    await client.until((received) => received.includes(framed("a").toString("base64")));
    call.caller.end();
    await client.until((received) => received.endsWith("0\r\n\r\n"));
    client.socket.destroy();
  });

  test("cancels a call whose client goes", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.send(head("content-type: application/grpc-web\r\ncontent-length: 6"));
    client.send(framed("x"));
    const call = await harness.opened();
    client.socket.destroy();
    await call.until(() => call.events.includes("cancel"));
  });

  test("says that native gRPC needs HTTP/2", async () => {
    await using harness = await openHttp();
    const headers = { "content-type": "application/grpc" };
    const { status, body } = await ask1(harness.port, { path: "/t.S/Unary", headers, body: framed("x") });
    assert.deepEqual(
      [status, body],
      [415, "content-type application/grpc is not served here: gRPC needs HTTP/2, or application/grpc-web"],
    );
  });
});

suite("base64 as a stream", () => {
  test("is decoded the same, wherever the chunks are, padded groups in the middle too", () => {
    const whole = `${Buffer.from("one").toString("base64")}${Buffer.from("four").toString("base64")}QQ==QUI=QUJD`;
    for (let size = 1; size <= whole.length; size += 1) {
      const reader = new Base64Reader();
      const pieces: Buffer[] = [];
      for (let at = 0; at < whole.length; at += size) {
        pieces.push(Buffer.from(reader.push(Buffer.from(whole.slice(at, at + size)))!));
      }
      assert.equal(Buffer.concat(pieces).toString(), "onefourAABABC");
      assert.ok(!reader.isCut);
    }
  });

  test("refuses what is none and knows when it is cut", () => {
    for (const bad of ["A===", "====", "A=AA", "AA=A", "AA\nA", "Ä!!!", "AAAA=AAA"]) {
      assert.equal(new Base64Reader().push(Buffer.from(bad)), undefined, bad);
    }
    const reader = new Base64Reader();
    reader.push(Buffer.from("AAAAA"));
    assert.ok(reader.isCut);
  });
});

suite("CORS", () => {
  const cors = {
    origins: ["https://shop.example"],
    headers: ["authorization"],
    exposed: ["x-back"],
    maxAgeMs: 600_000,
  };
  const preflight = (origin: string) => ({
    method: "OPTIONS",
    path: "/t.S/Unary",
    headers: { origin, "access-control-request-method": "POST" },
  });

  for (const { name, ask } of versions) {
    test(`answers a preflight over ${name} and lets configured origins read`, async () => {
      await using harness = await openHttp({ answer: echo, front: { cors } });
      const asked = await ask(harness.port, preflight("https://shop.example"));
      assert.equal(asked.status, 204);
      const { headers } = asked;
      assert.equal(headers["access-control-allow-origin"], "https://shop.example");
      assert.equal(headers["access-control-allow-methods"], "POST");
      assert.equal(
        headers["access-control-allow-headers"],
        "content-type, x-grpc-web, x-user-agent, grpc-timeout, authorization",
      );
      assert.deepEqual([headers["access-control-max-age"], headers["vary"]], ["600", "origin"]);
      const real = await ask(harness.port, {
        path: "/t.S/Unary",
        headers: { ...binary, origin: "https://shop.example" },
        body: framed("x"),
      });
      assert.equal(real.headers["access-control-allow-origin"], "https://shop.example");
      assert.equal(
        real.headers["access-control-expose-headers"],
        "grpc-status, grpc-message, grpc-status-details-bin, x-back",
      );
      const other = await ask(harness.port, preflight("https://evil.example"));
      assert.equal(other.headers["access-control-allow-origin"], undefined);
      assert.equal(other.headers["access-control-allow-methods"], undefined);
      assert.equal(other.headers["vary"], "origin");
    });
  }

  test("lets everybody read with *, and says nothing when nobody is configured", async () => {
    await using open = await openHttp({ front: { cors: { ...cors, origins: ["*"] } } });
    const asked = await ask1(open.port, preflight("https://any.example"));
    assert.deepEqual([asked.headers["access-control-allow-origin"], asked.headers["vary"]], ["*", undefined]);
    assert.equal((await ask1(open.port, { ...preflight("https://any.example"), path: "/no" })).status, 404);
    await using silent = await openHttp();
    const { status, headers } = await ask1(silent.port, preflight("https://shop.example"));
    assert.equal(status, 204);
    assert.deepEqual(
      Object.keys(headers).filter((header) => header.startsWith("access-control") || header === "vary"),
      [],
    );
  });

  test("keeps what a reply says of vary", async () => {
    await using harness = await openHttp({ front: { cors } });
    const asked = ask1(harness.port, { method: "GET", path: "/things/a" });
    const call = await harness.opened();
    call.reply("", [{ key: "vary", value: "accept" }]);
    call.caller.end();
    assert.equal((await asked).headers["vary"], "accept, origin");
  });

  test("is configured with origins and names of headers, and nothing else", () => {
    for (const fine of ["*", "https://shop.example", "http://localhost:3000"]) assert.equal(origin(fine), undefined);
    for (const bad of ["shop.example", "https://shop.example/", "null", "https://a b"])
      assert.match(origin(bad)!, /is none$/);
    assert.equal(headerName("x-request-id"), undefined);
    for (const bad of ["x y", "a:b", "a\r\nb"]) assert.match(headerName(bad)!, /is none$/);
  });
});
