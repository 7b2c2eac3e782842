import { connect, type Socket } from "node:net";
import type { Random } from "../../lib/core/world.ts";
import { mutated, pieces } from "./mutation.ts";
import { chance, pick, several, type Shot, type Weapon } from "./weapon.ts";

const lines = [
  "GET /echo/x?the_int32=5 HTTP/1.1",
  "POST /echo HTTP/1.1",
  "POST /shop.Shop/Echo HTTP/1.1",
  "HEAD /echo/x HTTP/1.1",
  "OPTIONS /echo HTTP/1.1",
  "OPTIONS * HTTP/1.1",
  "POST /both HTTP/1.1",
  "POST /upload/a%2fb HTTP/1.1",
  "GET /out/a/b/c%20%:watch HTTP/1.1",
  "GET http://shop.example/echo/%c3%28 HTTP/1.1",
  "GET /echo/x HTTP/1.0",
  "GET /echo/x HTTP/2.0",
  "CONNECT shop.example:443 HTTP/1.1",
  "DELETE /carts/fuzz/items/tea HTTP/1.1",
  "GET  /echo/x  HTTP/1.1",
  "GET /../../echo/%2e%2e HTTP/1.1",
  "PRI * HTTP/2.0",
  "BREW /pot HTTP/1.1",
  "",
];
const fields = [
  "Host: shop.example",
  "Host: shop.example",
  "Host: a, b",
  "Content-Type: application/json",
  "Content-Type: application/json",
  "Content-Type: application/grpc-web+proto",
  "Content-Type: application/grpc",
  "Content-Length: 2",
  "Content-Length: 2",
  "Content-Length: 3",
  "Content-Length: -1",
  "Content-Length: 2, 2",
  "Content-Length: 0x2",
  "Content-Length: 99999999999999999999",
  "Content-Length: 1048577",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked, gzip",
  "Transfer-Encoding: identity",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding:\tchunked",
  "Content-Encoding: gzip",
  "Connection: close",
  "Connection: keep-alive, Host",
  "Connection: Upgrade, HTTP2-Settings",
  "Upgrade: h2c",
  "Upgrade: websocket",
  "HTTP2-Settings: AAMAAABkAAQAAP__",
  "Expect: 100-continue",
  "Expect: something",
  "grpc-timeout: 1n",
  "grpc-timeout: 99999999H",
  "Origin: https://shop.example",
  "Access-Control-Request-Method: POST",
  "Accept: text/event-stream",
  "K-Network-Probe: queue",
  "X-Folded: a\r\n b",
  "X-Bare: a\rb",
  "X-Nul: a\0b",
  "X-Latin: \xff\xfe",
  "No colon at all",
  ": no name",
  `X-Long: ${"x".repeat(20_000)}`,
  "Trailer: X-Late",
];
const bodies = [
  "",
  "{}",
  '{"the_string":"x"}',
  "2\r\n{}\r\n0\r\n\r\n",
  "2;ext=1\r\n{}\r\n0\r\nX-Late: 1\r\n\r\n",
  "2\n{}\n0\n\n",
  "ffffffffffffffff\r\n{}",
  "-2\r\n{}\r\n",
  "2\r\n{}0\r\n\r\n",
  "0000000000000000000000000000000002\r\n{}\r\n0\r\n\r\n",
  "0\r\n\r\nGET /echo/smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
  "\0\0\0\0\0",
];
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const silentMs = 400;

/** Raw bytes at the front port: HTTP/1.1 from its grammar and beside it, and frames of HTTP/2. */
export function httpWeapon(port: number): Weapon {
  return {
    name: "http",
    parallel: 24,
    shot: (random) => (chance(random, 70) ? http1(random, port) : http2(random, port)),
  };
}

function http1(random: Random, port: number): Shot {
  const plain = Buffer.from(several(random, 4, () => request(random)).join(""), "latin1");
  const input = chance(random, 40) ? mutated(random, plain) : plain;
  return sent(random, port, input, "HTTP/1.1");
}

function request(random: Random): string {
  const line = chance(random, 90) ? pick(random, lines.slice(0, 9)) : pick(random, lines);
  const end = chance(random, 95) ? "\r\n" : pick(random, ["\n", "\r", "\r\r\n", ""]);
  const own = several(random, chance(random, 95) ? 6 : 300, () => pick(random, fields));
  return [line, ...(chance(random, 90) ? ["Host: shop.example"] : []), ...own, "", pick(random, bodies)].join(end);
}

function http2(random: Random, port: number): Shot {
  const frames = several(random, 12, (index) => frame(random, index));
  const input = Buffer.concat([Buffer.from(preface), settings(random), ...frames]);
  return sent(random, port, chance(random, 30) ? mutated(random, input) : input, "HTTP/2");
}

function settings(random: Random): Buffer {
  const bytes = Buffer.alloc(chance(random, 90) ? 6 * random.int(4) : random.int(40));
  for (let at = 0; at + 6 <= bytes.length; at += 6) {
    bytes.writeUInt16BE(random.int(8), at);
    bytes.writeUInt32BE(pick(random, [0, 1, 100, 16_384, 65_535, 0x7fff_ffff, 0xffff_ffff]), at + 2);
  }
  return framed(4, 0, 0, bytes);
}

function frame(random: Random, index: number): Buffer {
  const stream = chance(random, 80) ? 1 + 2 * (index % 3) : pick(random, [0, 2, 5, 0x7fff_ffff, 0xffff_ffff]);
  switch (random.int(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return framed(1, pick(random, [4, 5, 5, 0, 1, 0x2c, 0xff]), stream, block(random));
    case 4:
      return framed(0, pick(random, [0, 1, 8, 9]), stream, Buffer.from(pick(random, bodies)));
    case 5:
      return framed(
        8,
        0,
        stream,
        Buffer.from(pick(random, [[0, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff], [0, 0, 0, 1], []])),
      );
    case 6:
      return framed(3, 0, stream, Buffer.alloc(4, random.int(14)));
    case 7:
      return framed(6, random.int(2), 0, Buffer.alloc(8));
    case 8:
      return framed(9, random.int(5), stream, block(random));
    default:
      return framed(random.int(256), random.int(256), stream, Buffer.from(random.bytes(random.int(64))));
  }
}

/** Header fields, each spelled out. */
function block(random: Random): Buffer {
  const all = [
    [":method", pick(random, ["POST", "GET", "OPTIONS", "get", ""])],
    [":scheme", pick(random, ["http", "http", "https", ""])],
    [":path", pick(random, ["/shop.Shop/Echo", "/echo", "/echo/x", "/out/a/b:watch", "*", "", "/\0"])],
    [":authority", "shop.example"],
    ["content-type", pick(random, ["application/grpc", "application/json", "application/grpc-web"])],
    ["te", "trailers"],
    ["grpc-timeout", pick(random, ["1S", "0n", "x", "999999999S"])],
    ["Upper", "x"],
    ["connection", "close"],
    ["content-length", pick(random, ["0", "2", "9", "x"])],
  ];
  const kept = all.filter((_, index) => chance(random, index < 6 ? 96 : 15));
  const bytes = kept.flatMap(([name = "", value = ""]) => [
    0,
    name.length,
    ...Buffer.from(name),
    value.length,
    ...Buffer.from(value),
  ]);
  return Buffer.from(chance(random, 90) ? bytes : [...bytes, ...random.bytes(8)]);
}

function framed(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** How the client behaves once it has sent all: stays until it is turned away, closes its half, goes when nothing comes, or at once. */
const manners = ["stays", "half-closes", "goes when all is quiet", "goes at once"] as const;

function sent(random: Random, port: number, input: Buffer, version: string): Shot {
  const parts = pieces(random, input);
  // An HTTP/2 connection may stay open for as long as it likes.
  const manner = version === "HTTP/2" ? pick(random, manners.slice(1)) : pick(random, manners);
  return {
    input,
    how: `${version} in ${parts.length} pieces, the client ${manner}`,
    async fire() {
      const socket = connect(port, "127.0.0.1");
      const answer = await converse(socket, parts, manner);
      if (answer.length === 0) return `${version} silence`;
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer.toString("latin1", 0, 20))?.[1];
      if (status !== undefined) return `${version} ${status}`;
      if (answer[3] === 4 && answer.readUIntBE(0, 3) % 6 === 0) return "HTTP/2 frames";
      throw new Error(`the answer is no HTTP: ${answer.subarray(0, 200).toString("latin1")}`);
    },
  };
}

async function converse(socket: Socket, parts: readonly Buffer[], manner: (typeof manners)[number]): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const got: Buffer[] = [];
  let quiet: NodeJS.Timeout | undefined;
  const listen = () => {
    clearTimeout(quiet);
    if (manner === "goes when all is quiet" || manner === "half-closes")
      quiet = setTimeout(() => socket.destroy(), silentMs);
  };
  socket.setNoDelay(true);
  socket.on("data", (chunk: Buffer) => {
    if (got.length < 64) got.push(chunk);
    listen();
  });
  // A reset is an end, too.
  socket.on("error", () => undefined);
  socket.on("close", () => resolve(undefined));
  for (const part of parts) {
    socket.write(part);
    await new Promise((turn) => setImmediate(turn));
  }
  if (manner === "half-closes") socket.end();
  if (manner === "goes at once") socket.destroy();
  listen();
  await promise;
  clearTimeout(quiet);
  return Buffer.concat(got);
}
