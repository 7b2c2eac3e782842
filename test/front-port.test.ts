import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { Client, credentials } from "@grpc/grpc-js";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import { realWorld } from "../lib/core/world.ts";
import { openFront } from "../lib/frontend/front.ts";
import { frameOf } from "../lib/wire/http2-frames.ts";
import { nodeHttp2 } from "../lib/wire/http2-node.ts";
import { frontOptions, openHarness, tableOf, type Opened } from "./front-harness.ts";

const echo = (call: Opened) => {
  call.reply(call.command.payload!.value);
  call.caller.end();
};

/** What the port answers to raw bytes, until it closes the connection. */
async function say(port: number, ...pieces: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined);
  const closed = once(socket, "close");
  await once(socket, "connect");
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await closed;
  return Buffer.concat(chunks).toString("latin1");
}

function get(port: number, headers: http.OutgoingHttpHeaders = {}): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const request = http.get({ port, host: "127.0.0.1", path: "/", headers }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => resolve({ status: response.statusCode!, body: Buffer.concat(chunks).toString() }));
  });
  request.on("error", reject);
  return promise;
}

function unary(client: Client, path: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const raw = (bytes: Buffer) => bytes;
  client.makeUnaryRequest(path, raw, raw, Buffer.from("ping"), (error, reply) =>
    error ? reject(error) : resolve(String(reply)),
  );
  return promise;
}

/** A bare HTTP/2 request, answered as [headers, body]. */
async function request(port: number, headers: http2.OutgoingHttpHeaders, body?: Buffer) {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request(headers, { endStream: body === undefined });
  stream.end(body);
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [response] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  await once(stream, "close");
  session.close();
  return { response, body: Buffer.concat(chunks).toString() };
}

suite("front port: HTTP/1.1", () => {
  test("answers 404 and the probe of Knative", async () => {
    await using harness = await openHarness();
    const { port } = harness.front;
    assert.equal((await get(port)).status, 404);
    assert.deepEqual(await get(port, { "k-network-probe": "queue" }), { status: 200, body: "queue" });
    assert.deepEqual(await get(port, { "K-Network-Probe": "other" }), {
      status: 400,
      body: "unexpected probe header value: other",
    });
  });

  test("takes the first bytes one by one", async () => {
    await using harness = await openHarness();
    const answer = await say(harness.front.port, "G", "E", "T / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 404 /);
  });

  test("takes an empty line before the first request, and methods of any letters", async () => {
    await using harness = await openHarness();
    const rest = "/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    const sent: readonly (readonly string[])[] = [
      [`\r\nGET ${rest}`],
      ["\r", "\nG", "E", `T ${rest}`],
      [`M-SEARCH ${rest}`],
      ["M-", `SEARCH ${rest}`],
    ];
    for (const pieces of sent) assert.match(await say(harness.front.port, ...pieces), /^HTTP\/1\.1 404 /);
    assert.match(await say(harness.front.port, `A ${rest}`), /^HTTP\/1\.1 501 [^]*method A is not known/);
    for (const garbage of ["\r\n\r\n\r\n", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "{}\r\n"]) {
      assert.match(
        await say(harness.front.port, garbage),
        /^HTTP\/1\.1 400 [^]*neither HTTP\/2 nor HTTP\/1\.1/,
        garbage,
      );
    }
  });

  test("refuses bad requests and large headers", async () => {
    await using harness = await openHarness();
    assert.match(await say(harness.front.port, "GET / HTTP/9.9\r\n\r\n"), /^HTTP\/1\.1 400 Bad Request/);
    const large = await say(harness.front.port, `GET / HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`);
    assert.match(large, /^HTTP\/1\.1 431 [^]*over limits\.headers of 16384 bytes/);
    assert.equal(harness.counted.filter((name) => name === "massa_front_refused_total http1").length, 2);
  });
});

suite("front port: bad input", () => {
  test("turns garbage away with an answer, a metric and nothing else", async () => {
    await using harness = await openHarness({ answer: echo });
    assert.match(
      await say(harness.front.port, Buffer.from([0x16, 0x03, 0x01, 0x00])),
      /^HTTP\/1\.1 400 [^]*neither HTTP\/2 nor HTTP\/1\.1/,
    );
    assert.ok(harness.counted.includes("massa_front_refused_total garbage"));
    assert.equal(await unary(harness.client, "/t.S/Unary"), "ping");
  });

  test("ends a connection whose preface goes wrong after PRI", async () => {
    await using harness = await openHarness({ answer: echo });
    await say(harness.front.port, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert.ok(harness.counted.includes("massa_front_refused_total http2"));
    assert.equal(await unary(harness.client, "/t.S/Unary"), "ping");
  });

  test("closes a connection that says nothing, or too little", async () => {
    await using harness = await openHarness({ front: { greetingTimeoutMs: 30 } });
    assert.match(await say(harness.front.port), /^HTTP\/1\.1 408 /);
    assert.match(await say(harness.front.port, "PR"), /^HTTP\/1\.1 408 /);
    assert.ok(harness.counted.includes("massa_front_refused_total silence"));
  });

  test("says nothing to a peer that only looks whether the port is open, and counts it as nothing", async () => {
    await using harness = await openHarness({ front: { greetingTimeoutMs: 60_000 } });
    const probe = connect({ port: harness.front.port, host: "127.0.0.1", allowHalfOpen: true });
    const heard: Buffer[] = [];
    probe.on("data", (chunk: Buffer) => heard.push(chunk)).end();
    await once(probe, "close");
    assert.deepEqual([heard, harness.counted.filter((name) => name.includes("refused"))], [[], []]);
  });

  test("closes connections over the limit", async () => {
    await using harness = await openHarness({ front: { connectionsMax: 1 } });
    const first = connect({ port: harness.front.port, host: "127.0.0.1" });
    await once(first, "connect");
    assert.equal(await say(harness.front.port), "");
    assert.ok(harness.counted.includes("massa_limit_reached_total frontend.connections"));
    first.destroy();
  });

  test("survives connections that are reset at any moment", async () => {
    await using harness = await openHarness({ answer: echo });
    const preface = Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    ]);
    for (let cut = 0; cut <= preface.length; cut += 3) {
      const socket = connect({ port: harness.front.port, host: "127.0.0.1" });
      socket.on("error", () => undefined);
      await once(socket, "connect");
      socket.write(preface.subarray(0, cut));
      socket.resetAndDestroy();
    }
    assert.equal(await unary(harness.client, "/t.S/Unary"), "ping");
  });
});

suite("front port: HTTP/2 clients that go", () => {
  const frame = (type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.byteLength, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(id, 5);
    return Buffer.concat([head, payload]);
  };
  const literal = (name: string, value: string) =>
    Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);

  for (const contentType of ["application/grpc", "application/grpc-web"]) {
    test(`lets go of a call of ${contentType} that is reset with NO_ERROR while nobody reads`, async () => {
      await using harness = await openHarness();
      const client = connect({ port: harness.front.port, host: "127.0.0.1" });
      client.on("error", () => undefined);
      const full = Promise.withResolvers<undefined>();
      client.on("data", () => client.bytesRead > 65_535 && full.resolve(undefined));
      const headers = [
        [":method", "POST"],
        [":scheme", "http"],
        [":authority", "x"],
        [":path", "/t.S/Both"],
        ["content-type", contentType],
      ];
      const block = Buffer.concat(headers.map(([name, value]) => literal(name!, value!)));
      client.write(
        Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0), frame(1, 4, 1, block)]),
      );
      const call = await harness.opened();
      // More than the 64 KiB that the window of a stream has at first.
      call.reply("x".repeat(200_000));
      call.caller.end();
      await full.promise;
      client.write(frame(3, 0, 1, Buffer.alloc(4)));
      await harness.front.drain(30_000);
      assert.equal(harness.front.calls, 0);
      client.destroy();
    });
  }

  test("lets go of calls that are reset as they begin", async () => {
    await using harness = await openHarness({ answer: echo });
    const session = http2.connect(`http://127.0.0.1:${harness.front.port}`);
    const closed = Array.from({ length: 200 }, async () => {
      const stream = session.request({ ":method": "POST", ":path": "/t.S/Unary", "content-type": "application/grpc" });
      stream.on("error", () => undefined);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await once(stream, "close");
    });
    await Promise.all(closed);
    session.destroy();
    await harness.front.drain(30_000);
    assert.equal(harness.front.calls, 0);
  });
});

suite("front port: HTTP/2 that is no gRPC", () => {
  test("answers 415 to another kind of gRPC and 404 to what no route takes", async () => {
    await using harness = await openHarness();
    const { port } = harness.front;
    const post = { ":method": "POST", ":path": "/t.S/Unary" };
    const other = await request(port, { ...post, "content-type": "application/grpc+json" }, Buffer.from("{}"));
    assert.equal(other.response[":status"], 415);
    assert.match(other.body, /application\/grpc\+json is not served here: use application\/grpc, or/);
    const json = await request(port, { ...post, "content-type": "application/json" }, Buffer.from("{}"));
    assert.deepEqual([json.response[":status"], json.body], [404, ""]);
    assert.equal((await request(port, { ":path": "/" })).response[":status"], 404);
    assert.equal((await request(port, { ":path": "/", "k-network-probe": "queue" })).body, "queue");
  });

  test("takes application/grpc+proto, and refuses a malformed deadline and an unknown encoding", async () => {
    await using harness = await openHarness({ answer: echo });
    const { port } = harness.front;
    const base = { ":method": "POST", ":path": "/t.S/Unary", "content-type": "application/grpc+proto", te: "trailers" };
    const fine = await request(port, base, Buffer.from([0, 0, 0, 0, 1, 65]));
    assert.deepEqual([fine.response[":status"], fine.body], [200, "\0\0\0\0\u0001A"]);
    const shouted = await request(port, { ...base, "content-type": "Application/GRPC" }, Buffer.from([0, 0, 0, 0, 0]));
    assert.deepEqual([shouted.response[":status"], shouted.response["grpc-status"]], [200, undefined]);
    const late = await request(port, { ...base, "grpc-timeout": "soon" }, Buffer.from([0, 0, 0, 0, 0]));
    assert.deepEqual(
      [late.response["grpc-status"], late.response["grpc-message"]],
      ["13", "malformed grpc-timeout: soon"],
    );
    const odd = await request(port, { ...base, "grpc-encoding": "br" }, Buffer.from([0, 0, 0, 0, 0]));
    assert.equal(odd.response["grpc-status"], "12");
    const flagged = await request(port, base, Buffer.from([1, 0, 0, 0, 0]));
    assert.deepEqual(
      [flagged.response["grpc-status"], /compressed/.test(String(flagged.response["grpc-message"]))],
      ["13", true],
    );
    const cut = await request(port, base, Buffer.from([0, 0, 0, 0, 9, 1]));
    assert.equal(cut.response["grpc-message"], "the request ended in the middle of a message");
  });
});

suite("front port: messages that come together", () => {
  test("are handed on one by one, as the callee takes them", async () => {
    await using harness = await openHarness();
    const session = http2.connect(`http://127.0.0.1:${harness.front.port}`);
    const stream = session.request({ ":method": "POST", ":path": "/t.S/Both", "content-type": "application/grpc" });
    const call = await harness.opened();
    call.takes = false;
    stream.end(Buffer.concat(["1", "2", "3"].map((text) => frameOf(Buffer.from(text)))));
    await call.until(() => call.sent.length === 1);
    assert.deepEqual(call.events, ["send"]);
    call.caller.drain();
    assert.deepEqual(call.events, ["send", "send"]);
    call.takes = true;
    call.caller.drain();
    await call.until(() => call.events.includes("halfClose"));
    assert.deepEqual(
      [call.sent, call.events],
      [
        ["1", "2", "3"],
        ["send", "send", "send", "halfClose"],
      ],
    );
    session.destroy();
    await call.until(() => call.events.includes("cancel"));
  });
});

suite("front port: binding", () => {
  const open = (options: Partial<typeof frontOptions>) =>
    openFront({
      router: { open: () => assert.fail("no call was made") },
      table: tableOf({}),
      engine: nodeHttp2,
      world: realWorld,
      log: silentLogger,
      telemetry: silentTelemetry,
      options: { ...frontOptions, ...options },
    });

  test("names a taken port and the variable that chooses another", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    await assert.rejects(open({ port }), {
      code: "unavailable",
      message: `cannot listen on 127.0.0.1:${port}: it is taken; MASSA_PORT (or HTTP_PORT) chooses another`,
    });
    taken.close();
  });

  test("serves a Unix socket as well, replaces one that nobody listens on and refuses one in use", async () => {
    const socket = join(tmpdir(), `massa-front-${process.pid}.sock`);
    await using harness = await openHarness({ answer: echo, front: { socket } });
    assert.ok(harness.front.port > 0);
    const client = new Client(`unix:${socket}`, credentials.createInsecure());
    assert.equal(await unary(client, "/t.S/Unary"), "ping");
    client.close();
    await assert.rejects(open({ socket }), {
      message: `cannot listen on ${socket}: it is taken; MASSA_FRONTEND_SOCKET chooses another`,
    });
  });
});
