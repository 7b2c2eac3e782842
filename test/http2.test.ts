import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { Budget } from "../lib/wire/http2-budget.ts";
import { FrameReader, frameOf } from "../lib/wire/http2-frames.ts";
import { nodeHttp2 } from "../lib/wire/http2-node.ts";
import {
  errorCode,
  type ClientSession,
  type ClientStream,
  type HeaderList,
  type ServerSession,
  type ServerStream,
} from "../lib/wire/http2.ts";

suite("frames", () => {
  test("what is left of a chunk is held by itself, not with all that was read at once", () => {
    const reader = new FrameReader(1_000);
    const frame = Buffer.from(frameOf(Buffer.alloc(100, 1)));
    const read = Buffer.alloc(64 * 1024);
    frame.copy(read);
    reader.push(read.subarray(0, 40));
    assert.equal(reader.next(), undefined);
    read.fill(9);
    reader.push(frame.subarray(40));
    const message = reader.next()!;
    assert.deepEqual(message, Buffer.alloc(100, 1));
    assert.ok(message.buffer.byteLength <= 105, `${message.buffer.byteLength} bytes are held`);
  });

  test("come out as they went in, however the body is cut", () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
    fc.assert(
      fc.property(messages, fc.array(fc.nat({ max: 50 }), { minLength: 1 }), (sent, cuts) => {
        const body = Buffer.concat(sent.map((message) => frameOf(message)));
        const reader = new FrameReader(300);
        const got: number[][] = [];
        let at = 0;
        for (let turn = 0; at < body.length; turn++) {
          const end = at + 1 + cuts[turn % cuts.length]!;
          reader.push(body.subarray(at, end));
          at = end;
          for (let frame = reader.next(); frame; frame = reader.next()) got.push([...frame]);
        }
        assert.deepEqual(
          got,
          sent.map((message) => [...message]),
        );
        assert.equal(reader.bufferedBytes, 0);
      }),
    );
  });

  test("are refused over the limit as soon as the prefix has come", () => {
    const reader = new FrameReader(10);
    reader.push(Buffer.from([0, 0, 0, 0]));
    assert.equal(reader.next(), undefined);
    reader.push(Buffer.from([11]));
    assert.throws(() => reader.next(), {
      code: "exhausted",
      message: "a message of 11 bytes is over limits.message of 10 bytes",
    });
  });

  test("of 12 MiB in chunks of 16 KiB are put together without a copy for each chunk", (t) => {
    const reader = new FrameReader(12 * 1024 * 1024);
    const body = frameOf(Buffer.alloc(12 * 1024 * 1024));
    const { mock: rooms } = t.mock.method(Buffer, "allocUnsafeSlow");
    for (let at = 0; at < body.length; at += 16 * 1024) {
      assert.equal(reader.next(), undefined);
      reader.push(body.subarray(at, at + 16 * 1024));
    }
    assert.equal(reader.next()?.byteLength, 12 * 1024 * 1024);
    assert.ok(rooms.callCount() > 0 && rooms.callCount() <= 12, `moved ${rooms.callCount()} times`);
  });

  test("are inflated up to the limit, and garbage is no gzip", () => {
    const read = (message: Uint8Array, encoding: string, messageBytesMax: number) => {
      const reader = new FrameReader(messageBytesMax);
      reader.encoding = encoding;
      reader.push(frameOf(message, true));
      return reader.next();
    };
    const bytes = gzipSync(Buffer.alloc(1000));
    assert.equal(read(bytes, "gzip", 1000)?.byteLength, 1000);
    assert.throws(() => read(bytes, "gzip", 999), {
      code: "exhausted",
      message: /inflated over limits\.message of 999/,
    });
    assert.throws(() => read(Buffer.from("garbage"), "gzip", 999), { code: "internal" });
    assert.throws(() => read(bytes, "br", 1000), { code: "unimplemented" });
    assert.throws(() => read(bytes, "identity", 1000), { code: "internal" });
  });
});

suite("budget", () => {
  test("asks the streams only when the estimate reaches the limit, and refuses when they hold too much", () => {
    let held = 0;
    let asked = 0;
    const budget = new Budget(1000, () => {
      asked += 1;
      return held;
    });
    assert.ok(budget.spend(600) && budget.spend(400));
    assert.equal(asked, 0);
    held = 100;
    assert.ok(budget.spend(500));
    assert.equal(asked, 1);
    assert.ok(budget.spend(400));
    held = 990;
    assert.ok(!budget.spend(1));
    held = 0;
    assert.ok(budget.spend(900));
  });
});

/** What one side of a stream heard, in order. */
class Heard {
  readonly events: string[] = [];
  #changed = Promise.withResolvers<undefined>();
  headers = (headers: HeaderList) => this.note(`status ${headers[headers.indexOf(":status") + 1]}`);
  data = (bytes: Uint8Array) => this.note(`data ${Buffer.from(bytes).toString()}`);
  trailers = (headers: HeaderList) => this.note(`trailers ${headers.join("=")}`);
  ended = () => this.note("ended");
  drained = () => this.note("drained");
  closed = (code: number) => this.note(`closed ${code}`);

  note(event: string): void {
    this.events.push(event);
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }

  async until(event: string): Promise<void> {
    while (!this.events.includes(event)) await this.#changed.promise;
  }
}

interface Pair extends AsyncDisposable {
  readonly client: ClientSession;
  readonly server: ServerSession;
  readonly session: Heard;
  /** Opens a stream from the client; both ends of it. */
  open(): Promise<{ left: ClientStream; heard: Heard; right: ServerStream; peer: Heard; headers: HeaderList }>;
}

async function openPair(streamsMax = 100): Promise<Pair> {
  const limits = { windowBytes: 65_535, sessionMemoryMib: 64, headerBytesMax: 16_384 };
  const arrivals: ((arrival: { right: ServerStream; peer: Heard; headers: HeaderList }) => void)[] = [];
  const accepted = Promise.withResolvers<ServerSession>();
  const listener = createServer((socket) => {
    accepted.resolve(
      nodeHttp2.accept(
        socket,
        { ...limits, streamsMax, idleTimeoutMs: 60_000 },
        {
          stream(right, headers) {
            const peer = new Heard();
            arrivals.shift()?.({ right, peer, headers });
            return peer;
          },
          closed: () => undefined,
        },
      ),
    );
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const socket = connect({ port: (listener.address() as AddressInfo).port, host: "127.0.0.1" });
  await once(socket, "connect");
  const session = new Heard();
  const client = nodeHttp2.connect(socket, limits, {
    settings: () => session.note("settings"),
    freed: () => session.note("freed"),
    goaway: (code) => session.note(`goaway ${code}`),
    closed: (error) => session.note(`closed ${error ? "badly" : "well"}`),
  });
  await session.until("settings");
  return {
    client,
    session,
    server: await accepted.promise,
    async open() {
      const { promise, resolve } = Promise.withResolvers<{ right: ServerStream; peer: Heard; headers: HeaderList }>();
      arrivals.push(resolve);
      const heard = new Heard();
      const left = client.open(
        [":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/p", "x-y", "z"],
        heard,
      );
      return { left, heard, ...(await promise) };
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
      await session.until("closed well");
      listener.close();
    },
  };
}

suite("HTTP/2 engine on node:http2", () => {
  test("carries headers, data, half-close and trailers, and closes both ends regularly", async () => {
    await using pair = await openPair(7);
    const { left, heard, right, peer, headers } = await pair.open();
    assert.deepEqual(headers.slice(-2), ["x-y", "z"]);
    left.write(Buffer.from("ping"));
    left.end();
    await peer.until("ended");
    right.respond({ ":status": "200" });
    right.write(Buffer.from("pong"));
    right.finish({ "grpc-status": "0" });
    await Promise.all([heard.until("closed 0"), peer.until("closed 0")]);
    assert.deepEqual(heard.events, ["status 200", "data pong", "trailers grpc-status=0", "ended", "closed 0"]);
    assert.deepEqual(peer.events, ["data ping", "ended", "closed 0"]);
    assert.deepEqual([pair.client.streamsMax, pair.client.streams, pair.server.streams], [7, 0, 0]);
  });

  test("tells a peer that still sends to stop, after the trailers", async () => {
    await using pair = await openPair();
    const { left, heard, right } = await pair.open();
    right.respond({ ":status": "200" });
    right.finish({ "grpc-status": "2" });
    await heard.until("closed 0");
    assert.deepEqual(heard.events, ["status 200", "trailers grpc-status=2", "ended", "closed 0"]);
    assert.equal(left.write(Buffer.from("too late")), true);
  });

  test("tells of a reset with its code, on either side, and the one who resets hears no more", async () => {
    await using pair = await openPair();
    const first = await pair.open();
    first.right.reset(errorCode.enhanceYourCalm);
    await first.heard.until("closed 11");
    const second = await pair.open();
    second.left.write(Buffer.from("x"));
    await second.peer.until("data x");
    second.left.reset(errorCode.cancel);
    await second.peer.until("closed 8");
    assert.deepEqual([first.heard.events, second.peer.events], [["closed 11"], ["data x", "closed 8"]]);
    assert.deepEqual([first.peer.events, second.heard.events], [[], []]);
  });

  test("delivers nothing while paused, and the end only after the data", async () => {
    await using pair = await openPair();
    const { left, right, peer } = await pair.open();
    right.pause();
    for (const text of ["a", "b", "c"]) {
      left.write(Buffer.from(text));
      await new Promise(setImmediate);
    }
    left.end();
    const marker = await pair.open();
    marker.left.write(Buffer.from("later"));
    await marker.peer.until("data later");
    assert.deepEqual(peer.events, []);
    right.resume();
    await peer.until("ended");
    assert.equal(peer.events.join("").replaceAll("data ", ""), "abcended");
  });

  test("says when to wait and when to go on", async () => {
    await using pair = await openPair();
    const { left, heard, right } = await pair.open();
    right.pause();
    while (left.write(Buffer.alloc(10_000))) await new Promise(setImmediate);
    assert.ok(left.bufferedBytes > 0);
    assert.ok(!heard.events.includes("drained"));
    right.resume();
    await heard.until("drained");
  });

  test("tells streams of a lost connection apart from streams that were reset", async () => {
    await using pair = await openPair();
    const { heard } = await pair.open();
    pair.server.destroy();
    await heard.until("closed -1");
    await pair.session.until("closed well");
    assert.deepEqual([heard.events, pair.client.usable], [["closed -1"], false]);
  });

  test("takes no new streams after a GOAWAY, finishes those it has, and then closes", async () => {
    await using pair = await openPair();
    const { left, right, heard } = await pair.open();
    pair.server.close();
    await pair.session.until("goaway 0");
    assert.equal(pair.client.usable, false);
    left.end();
    right.respondOnly({ ":status": "200", "grpc-status": "0" });
    await heard.until("closed 0");
    await pair.session.until("closed well");
    assert.deepEqual(heard.events, ["status 200", "ended", "closed 0"]);
  });
});
