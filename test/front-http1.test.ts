import assert from "node:assert/strict";
import http from "node:http";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { ask1, echo, jsonType, message, openHttp, RawClient, textOf } from "./front-http-harness.ts";

const head = (line: string, ...headers: string[]) => `${[line, "host: x", ...headers].join("\r\n")}\r\n\r\n`;
const post = (path: string, body: string, ...headers: string[]) =>
  head(`POST ${path} HTTP/1.1`, "content-type: application/json", `content-length: ${body.length}`, ...headers) + body;
const get = (text: string, ...headers: string[]) => head(`GET /things/${text} HTTP/1.1`, ...headers);
const statuses = (received: string) =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
const texts = (received: string) => [...received.matchAll(/"text":"([^"]*)"/g)].map(([, text]) => text);

/** What comes back for raw bytes after which the server must close. */
async function refused(port: number, text: string): Promise<string> {
  const client = new RawClient(port);
  client.send(text);
  return client.closed();
}

suite("HTTP/1.1: keep-alive and pipelining", () => {
  test("answers pipelined requests one by one in order, whichever is slow", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.send(
      post("/t.S/Unary", '{"text":"1"}') + get("2") + head("GET /no HTTP/1.1") + post("/t.S/Unary", '{"text":"4"}'),
    );
    const answer = async (text: string) => {
      const call = await harness.opened();
      assert.equal(textOf(call.command.payload!.value), text);
      call.reply(message(`re:${text}`));
      call.caller.end();
    };
    await answer("1");
    await client.until((received) => received.includes("re:1"));
    await answer("2");
    await answer("4");
    const received = await client.until((text) => text.includes("re:4"));
    assert.deepEqual(statuses(received), [200, 200, 404, 200]);
    assert.deepEqual(texts(received), ["re:1", "re:2", "re:4"]);
    client.socket.destroy();
  });

  test("closes a connection with more requests in hand than frontend.http1.pipeline", async () => {
    await using harness = await openHttp({ front: { pipelineMax: 3 } });
    const fine = new RawClient(harness.port);
    fine.send(get("a").repeat(4));
    for (let served = 0; served < 4; served += 1) {
      const call = await harness.opened();
      call.reply(message("x"));
      call.caller.end();
    }
    await fine.until((received) => texts(received).length === 4);
    fine.socket.destroy();
    const client = new RawClient(harness.port);
    client.send(get("a").repeat(5));
    const call = await harness.opened();
    assert.equal(await client.closed(), "");
    await call.until(() => call.events.includes("cancel"));
    assert.ok(harness.counted.includes("massa_limit_reached_total frontend.http1.pipeline"));
  });

  test("closes after an answer where the client wants it so, and for HTTP/1.0", async () => {
    await using harness = await openHttp({ answer: echo });
    assert.match(await refused(harness.port, get("a", "connection: close")), /connection: close[^]*re:a/i);
    const old = await refused(harness.port, "GET /things/b HTTP/1.0\r\n\r\n");
    assert.match(old, /^HTTP\/1\.1 200 [^]*re:b/);
    const stream = await refused(harness.port, "GET /watch/c HTTP/1.0\r\n\r\n");
    assert.ok(!/chunked/i.test(stream) && stream.endsWith('{"text":"re:c","number":"0"}\n'), stream);
  });

  test("serves nothing behind a request that wants the connection closed", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.send(get("a", "connection: close") + get("b"));
    const call = await harness.opened();
    call.reply(message("re:a"));
    call.caller.end();
    assert.deepEqual(texts(await client.closed()), ["re:a"]);
    assert.equal(harness.front.calls, 0);
    const next = ask1(harness.port, { method: "GET", path: "/things/c" });
    const other = await harness.opened();
    assert.equal(textOf(other.command.payload!.value), "c");
    echo(other);
    await next;
  });

  test("resets a stream of HTTP/1.0 that is not whole", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    const failed = Promise.withResolvers<NodeJS.ErrnoException>();
    client.socket.on("error", failed.resolve);
    client.send("GET /watch/c HTTP/1.0\r\n\r\n");
    const call = await harness.opened();
    call.reply(message("a"));
    await client.until((received) => received.includes('"a"'));
    call.caller.fail(new MassaError("failed", "no more"));
    assert.equal((await failed.promise).code, "ECONNRESET");
  });

  test("closes an idle connection, and one whose next headers trickle", async () => {
    await using harness = await openHttp({ answer: echo, front: { keepAliveMs: 40 } });
    const idle = new RawClient(harness.port);
    idle.send(get("a"));
    assert.deepEqual(statuses(await idle.closed()), [200]);
    const slow = new RawClient(harness.port);
    slow.send(get("a"));
    await slow.until((received) => received.includes("re:a"));
    const trickle = setInterval(() => slow.send("G"), 5);
    await slow.closed();
    clearInterval(trickle);
  });

  test("keeps a connection whose call takes longer than all of that", async () => {
    await using harness = await openHttp({ front: { keepAliveMs: 10, headersTimeoutMs: 10, bodyTimeoutMs: 10 } });
    const client = new RawClient(harness.port);
    client.send(get("a"));
    const call = await harness.opened();
    await new Promise((resolve) => setTimeout(resolve, 50));
    call.reply(message("late"));
    call.caller.end();
    assert.deepEqual(texts(await client.closed()), ["late"]);
  });

  test("closes connections when draining: idle ones at once, others after their answer", async () => {
    await using harness = await openHttp();
    const idle = new RawClient(harness.port);
    idle.send(head("GET /no HTTP/1.1"));
    await idle.until((received) => received.includes("404"));
    const busy = new RawClient(harness.port);
    busy.send(get("a") + get("b"));
    const call = await harness.opened();
    const drained = harness.front.drain(10_000);
    await idle.closed();
    call.reply(message("re:a"));
    call.caller.end();
    const received = await busy.closed();
    assert.match(received, /^HTTP\/1\.1 200 [^]*connection: close[^]*re:a/i);
    assert.deepEqual(statuses(received), [200]);
    await drained;
  });

  test("takes the absolute form, and OPTIONS of everything", async () => {
    await using harness = await openHttp({ answer: echo });
    const client = new RawClient(harness.port);
    client.send(head("GET http://somewhere:9001/things/a?number=1 HTTP/1.1") + head("OPTIONS * HTTP/1.1"));
    const received = await client.until((text) => statuses(text).length === 2);
    assert.deepEqual([texts(received), statuses(received)], [["re:a"], [200, 404]]);
    client.socket.destroy();
  });
});

suite("HTTP/1.1: what is malformed", () => {
  const chunked = "transfer-encoding: chunked";
  const cases: Readonly<Record<string, string>> = {
    "two different lengths": head("POST /t.S/Unary HTTP/1.1", "content-length: 2", "content-length: 3") + "{}",
    "the same length twice": head("POST /t.S/Unary HTTP/1.1", "content-length: 2", "content-length: 2") + "{}",
    "a list of lengths": head("POST /t.S/Unary HTTP/1.1", "content-length: 2, 2") + "{}",
    "a length and chunks": head("POST /t.S/Unary HTTP/1.1", "content-length: 2", chunked) + "0\r\n\r\n",
    "chunks and a length": head("POST /t.S/Unary HTTP/1.1", chunked, "content-length: 2") + "0\r\n\r\n",
    "a length with a sign": head("POST /t.S/Unary HTTP/1.1", "content-length: +2") + "{}",
    "a negative length": head("POST /t.S/Unary HTTP/1.1", "content-length: -2") + "{}",
    "a length in hexadecimal": head("POST /t.S/Unary HTTP/1.1", "content-length: 0x2") + "{}",
    "a length beyond all numbers": head("POST /t.S/Unary HTTP/1.1", `content-length: ${"9".repeat(30)}`) + "{}",
    "chunked not last": head("POST /t.S/Unary HTTP/1.1", "transfer-encoding: chunked, gzip") + "0\r\n\r\n",
    "chunked twice": head("POST /t.S/Unary HTTP/1.1", chunked, chunked) + "0\r\n\r\n",
    "a space before the colon": head("POST /t.S/Unary HTTP/1.1", "content-length : 2") + "{}",
    "a folded header": head("POST /t.S/Unary HTTP/1.1", "x-a: 1", " folded", "content-length: 2") + "{}",
    "a bare CR in a header": head("GET /things/a HTTP/1.1", "x-a: 1\rx-b: 2"),
    "a bare LF after a header": "GET /things/a HTTP/1.1\r\nhost: x\nx-a: 1\r\n\r\n",
    "a NUL in a header": head("GET /things/a HTTP/1.1", "x-a: \0"),
    "no host": "GET /things/a HTTP/1.1\r\n\r\n",
    "two hosts": head("GET /things/a HTTP/1.1", "host: y"),
    "a space in the target": head("GET /things/a b HTTP/1.1"),
    "another version": head("GET /things/a HTTP/3.0"),
    "chunks by HTTP/1.0": head("POST /t.S/Unary HTTP/1.0", "connection: keep-alive", chunked) + "2\r\n{}\r\n0\r\n\r\n",
    ...Object.fromEntries(
      ["a b", "a,b", "a/b", "a@b", "http://x", "\xe4", "[::1", "a:b", "a?b", "a#b"].map((host) => [
        `the host ${host}`,
        `GET /things/a HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
      ]),
    ),
  };
  for (const [title, text] of Object.entries(cases)) {
    test(`refuses ${title} with 400 and closes`, async () => {
      await using harness = await openHttp({ answer: () => assert.fail("it reached a method") });
      // A request behind it must not be taken for one either.
      const received = await refused(harness.port, text + get("smuggled"));
      assert.deepEqual(statuses(received), [400], received);
      assert.match(received, /connection: close/i);
    });
  }

  for (const host of ["", "a", "A.b-c_d:80", "127.0.0.1:", "[::1]:9001", "x%20y"]) {
    test(`takes the host ${JSON.stringify(host)}`, async () => {
      await using harness = await openHttp({ answer: echo });
      const client = new RawClient(harness.port);
      client.send(`GET /things/a HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
      await client.until((received) => received.includes("re:a"));
      client.socket.destroy();
    });
  }

  const unserved: Readonly<Record<string, readonly [status: number, text: string, said: RegExp]>> = {
    "an unknown coding": [501, head("POST /t.S/Unary HTTP/1.1", "transfer-encoding: xchunked"), /"xchunked"/],
    "a coding besides chunked": [
      501,
      `${head("POST /t.S/Unary HTTP/1.1", "transfer-encoding: gzip, Chunked")}2\r\n{}\r\n0\r\n\r\n`,
      /transfer-encoding "gzip, Chunked" is not supported/,
    ],
    CONNECT: [501, head("CONNECT x:80 HTTP/1.1"), /CONNECT is not served/],
    "an unknown method": [501, head("FOO /things/a HTTP/1.1"), /method FOO is not known/],
    "a method that only begins as one": [501, head("GETTER /things/a HTTP/1.1"), /method GETTER is not known/],
    "a method in lower case": [501, head("get /things/a HTTP/1.1"), /method get is not known/],
    "HTTP/2.0 in the form of HTTP/1.1": [505, head("GET /things/a HTTP/2.0"), /HTTP\/2\.0 is not served in this form/],
    "a request without version": [505, "GET /things/a\r\n\r\n", /HTTP\/0\.9 is not served/],
    "an unknown expectation": [417, head("GET /things/a HTTP/1.1", "expect: miracles"), /expect: miracles is not/],
    "an unknown expectation and no host": [400, "GET /things/a HTTP/1.1\r\nexpect: miracles\r\n\r\n", /host/],
  };
  for (const [title, [status, text, said]] of Object.entries(unserved)) {
    test(`refuses ${title} with ${status} and closes, after the answers before it`, async () => {
      await using harness = await openHttp();
      const alone = await refused(harness.port, text + get("smuggled"));
      assert.deepEqual(statuses(alone), [status], alone);
      assert.match(alone, /connection: close/i);
      assert.match(alone, said);
      const client = new RawClient(harness.port);
      client.send(get("a") + text + get("smuggled"));
      const call = await harness.opened();
      call.reply(message("re:a"));
      call.caller.end();
      const received = await client.closed();
      assert.deepEqual([statuses(received), texts(received)], [[200, status], ["re:a"]]);
      assert.match(received, said);
      assert.equal(harness.front.calls, 0);
    });
  }

  test("answers nothing to whoever speaks something else", async () => {
    await using harness = await openHttp();
    for (const text of ["SSH-2.0-OpenSSH_9.6\r\n", "USER anonymous\r\n", "FOO x y HTTP/1.1\r\n\r\n"]) {
      assert.equal(await refused(harness.port, text), "", text);
    }
  });

  test("keeps a streamed answer and its back-pressure alive before a CONNECT", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.socket.pause();
    client.send(head("GET /watch/a HTTP/1.1") + head("CONNECT x:80 HTTP/1.1"));
    const call = await harness.opened();
    const part = message("x".repeat(1024 * 1024));
    while (!call.events.includes("pause")) {
      call.reply(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.socket.resume();
    await call.until(() => call.events.includes("resume"));
    call.caller.end();
    assert.deepEqual(statuses(await client.closed()), [200, 501]);
    const gone = new RawClient(harness.port);
    gone.send(head("GET /watch/a HTTP/1.1") + head("CONNECT x:80 HTTP/1.1"));
    const other = await harness.opened();
    gone.socket.end("what nobody reads");
    await other.until(() => other.events.includes("cancel"));
  });

  test("serves nothing behind an offer of an upgrade, for the connection closes with its answer", async () => {
    await using harness = await openHttp({ answer: echo });
    const offer = ["connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__"];
    for (const text of [get("a", ...offer), post("/t.S/Unary", '{"text":"a"}', ...offer)]) {
      const received = await refused(harness.port, text + get("b"));
      assert.deepEqual([statuses(received), texts(received)], [[200], ["re:a"]]);
      assert.match(received, /connection: close/i);
    }
  });

  test("refuses a body whose chunks are malformed, and cancels a call that took some of it", async () => {
    await using harness = await openHttp();
    const whole = await refused(
      harness.port,
      `${head("POST /t.S/Unary HTTP/1.1", "content-type: application/json", chunked)}2\r\n{}XX\r\n`,
    );
    assert.deepEqual(statuses(whole), [400]);
    const client = new RawClient(harness.port);
    client.send(`${head("POST /t.S/In HTTP/1.1", "content-type: application/json", chunked)}3\r\n{}\n\r\n`);
    const call = await harness.opened();
    await call.until(() => call.sent.length === 1);
    client.send("zz\r\n");
    assert.deepEqual(statuses(await client.closed()), [400]);
    await call.until(() => call.events.includes("cancel"));
  });

  test("breaks a response off that has begun when its request turns out malformed", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.send(`${head("POST /t.S/Both HTTP/1.1", "content-type: application/json", chunked)}3\r\n{}\n\r\n`);
    const call = await harness.opened();
    call.reply(message("begun"));
    await client.until((received) => received.includes("begun"));
    client.send("zz\r\n");
    const received = await client.closed();
    assert.deepEqual(statuses(received), [200]);
    assert.ok(!received.endsWith("0\r\n\r\n"));
    await call.until(() => call.events.includes("cancel"));
  });

  test("answers what came before in order, then what is wrong, then nothing", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.send(get("a") + cases["a length and chunks"]! + get("smuggled"));
    const call = await harness.opened();
    call.reply(message("re:a"));
    call.caller.end();
    const received = await client.closed();
    assert.deepEqual([statuses(received), texts(received)], [[200, 400], ["re:a"]]);
  });

  test("refuses headers over limits.headers, many small ones too, and never drops one in silence", async () => {
    await using harness = await openHttp({ answer: echo, front: { headerBytesMax: 16 * 1024 } });
    const many = Array.from({ length: 2_500 }, (_, index) => `a:${index % 10}`);
    const metadata: number[] = [];
    await using counting = await openHttp({
      answer: (call) => {
        metadata.push(call.command.metadata.length);
        echo(call);
      },
    });
    assert.deepEqual(statuses(await refused(counting.port, get("a", ...many, "connection: close"))), [200]);
    assert.deepEqual(metadata, [2_500]);
    const over = await refused(harness.port, get("a", ...many.map((header) => `long-${header}-text`)));
    assert.match(over, /^HTTP\/1\.1 431 [^]*over limits\.headers of 16384 bytes/);
    assert.deepEqual(harness.counted, ["massa_front_refused_total http1", "massa_limit_reached_total limits.headers"]);
  });
});

suite("HTTP/1.1: slow and absent clients", () => {
  test("gives up headers that trickle", async () => {
    await using harness = await openHttp({ front: { headersTimeoutMs: 40 } });
    const client = new RawClient(harness.port);
    client.send("GET / HTTP/1.1\r\n");
    const trickle = setInterval(() => client.send("x: y\r\n"), 5);
    assert.deepEqual(statuses(await client.closed()), [408]);
    clearInterval(trickle);
    assert.ok(harness.counted.includes("massa_limit_reached_total frontend.http1.headersTimeout"));
  });

  test("closes after an answer whose request never ends", async () => {
    await using harness = await openHttp({ front: { bodyTimeoutMs: 30 } });
    for (const connection of ["close", "keep-alive"]) {
      const client = new RawClient(harness.port);
      client.send(head("POST /no HTTP/1.1", "content-length: 100", `connection: ${connection}`));
      assert.deepEqual(statuses(await client.closed()), [404]);
    }
    assert.equal(harness.counted.filter((name) => name === "massa_limit_reached_total frontend.bodyTimeout").length, 2);
  });

  test("lets a client that sends a large body read why it is refused, and goes on when it has ended", async () => {
    await using harness = await openHttp({ answer: echo, front: { messageBytesMax: 10_000 } });
    const large = "x".repeat(4 * 1024 * 1024);
    const closing = await ask1(harness.port, { path: "/t.S/Unary", headers: jsonType, body: large });
    assert.equal(closing.status, 413);
    const client = new RawClient(harness.port);
    client.send(post("/t.S/Unary", large) + get("next"));
    const received = await client.until((text) => text.includes("re:next"));
    assert.deepEqual(statuses(received), [413, 200]);
    client.socket.destroy();
  });

  test("asks a client that waits to send its body, and tells it at once when there is no use", async () => {
    await using harness = await openHttp({ answer: echo, front: { messageBytesMax: 1_000 } });
    const expecting = (path: string, length: number) =>
      head(
        `POST ${path} HTTP/1.1`,
        ...["content-type: application/json", `content-length: ${length}`, "expect: 100-continue"],
      );
    const client = new RawClient(harness.port);
    client.send(expecting("/t.S/Unary", 14));
    await client.until((received) => received.includes("100 Continue\r\n\r\n"));
    client.send('{"text":"now"}');
    assert.deepEqual(statuses(await client.until((received) => received.includes("re:now"))), [100, 200]);
    client.socket.destroy();
    assert.deepEqual(statuses(await refused(harness.port, expecting("/t.S/Unary", 2_000))), [413]);
    assert.deepEqual(statuses(await refused(harness.port, expecting("/no", 10))), [404]);
  });

  test("does not ask for a body that cannot be of use", async () => {
    await using harness = await openHttp({ answer: (call) => (call.command.payload ? echo(call) : undefined) });
    const expecting = (line: string, ...headers: string[]) =>
      head(`${line} HTTP/1.1`, "content-length: 14", "expect: 100-continue", ...headers);
    const wrongType = await refused(harness.port, expecting("POST /t.S/Unary", "content-type: text/plain"));
    assert.deepEqual(statuses(wrongType), [400]);
    assert.match(wrongType, /Bad Request: the content type must be application\/json/);
    const noType = await refused(harness.port, expecting("POST /t.S/In"));
    assert.deepEqual(statuses(noType), [400]);
    const wrongPath = await refused(harness.port, expecting("PUT /numbers/x", "content-type: application/json"));
    assert.deepEqual(statuses(wrongPath), [400]);
    assert.match(wrongPath, /Bad Request: number: /);
    const noBody = await refused(harness.port, expecting("GET /things/a"));
    assert.deepEqual([statuses(noBody), texts(noBody)], [[200], ["re:a"]]);
    for (const [path, type] of [
      ["/t.S/In", "application/x-ndjson"],
      ["/t.S/RawIn", "text/csv"],
    ] as const) {
      const client = new RawClient(harness.port);
      client.send(expecting(`POST ${path}`, `content-type: ${type}`));
      await client.until((received) => received.includes("100 Continue"));
      client.socket.destroy();
    }
  });

  test("tells a client of an unknown expectation at once, and waits for the body that it sends nonetheless", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.send(head("POST /t.S/Unary HTTP/1.1", "content-length: 2", "expect: miracles"));
    await client.until((received) => received.includes("expect: miracles is not supported"));
    client.send("{}");
    assert.deepEqual(statuses(await client.closed()), [417]);
  });

  test("holds only so much for a client that never reads, and ends its call with it", async () => {
    await using harness = await openHttp();
    const client = new RawClient(harness.port);
    client.socket.pause();
    client.send(head("GET /watch/a HTTP/1.1"));
    const call = await harness.opened();
    const part = message("x".repeat(64 * 1024));
    const isHeld = () => call.events.findLast((event) => event !== "halfClose") === "pause";
    let sent = 0;
    for (let turns = 0; turns < 300; turns += 1) {
      if (!isHeld()) {
        turns = 0;
        call.reply(part);
        sent += 1;
        assert.ok(sent < 2_000, "never held back for good");
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.socket.resetAndDestroy();
    await call.until(() => call.events.includes("cancel"));
  });

  test("counts its connections with all others", async () => {
    await using harness = await openHttp({ answer: echo, front: { connectionsMax: 1 } });
    const client = new RawClient(harness.port);
    client.send(get("a"));
    await client.until((received) => received.includes("re:a"));
    assert.equal(await refused(harness.port, get("b")), "");
    client.socket.destroy();
  });

  test("serves many clients at once, with connections that are used again", async () => {
    await using harness = await openHttp({ answer: echo });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const bodies = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const response = await fetchText(harness.port, `/things/${index}`, agent);
        return response;
      }),
    );
    assert.deepEqual(
      bodies,
      Array.from({ length: 200 }, (_, index) => `{"text":"re:${index}","number":"0"}`),
    );
    agent.destroy();
  });

  test("serves fetch", async () => {
    await using harness = await openHttp({ answer: echo });
    const response = await fetch(`${harness.url}/t.S/Unary`, {
      method: "POST",
      headers: jsonType,
      body: '{"text":"f"}',
    });
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.deepEqual(await response.json(), { text: "re:f", number: "0" });
  });
});

async function fetchText(port: number, path: string, agent: http.Agent): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const request = http.get({ port, host: "127.0.0.1", path, agent }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => resolve(Buffer.concat(chunks).toString()));
  });
  request.on("error", reject);
  return promise;
}
