import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { gzipSync } from "node:zlib";
import { fromJsonString, toBinary } from "@bufbuild/protobuf";
import type { Random } from "../../lib/core/world.ts";
import { frameOf } from "../../lib/wire/http2-frames.ts";
import { documentOf } from "./document.ts";
import { mutated, pieces } from "./mutation.ts";
import { everything, registry } from "./services.ts";
import { chance, pick, several, type Shot, type Weapon } from "./weapon.ts";

const paths = [
  ...["Echo", "Echo", "Echo", "Echo", "Out", "In", "Both", "Both", "Upload", "None"].map(
    (name) => `/shop.Shop/${name}`,
  ),
  "/shop.stock.Stock/Get",
  "/shop.cart.Carts/Get",
  "/shop.cart.Customers/Get",
  "/grpc.health.v1.Health/Check",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/",
];
/** 64 MiB of nothing, and what a decompressor has to take for longer than it is. */
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
const bombInBomb = gzipSync(bomb);
const claims = [0, 1, 0xff, 0xffff, 1024 * 1024, 1024 * 1024 + 1, 0x7fff_ffff, 0xffff_ffff];
const timeouts = ["1S", "100m", "0n", "1n", "99999999H", "x", "", "123456789S", "-1S"];
/** A client that says nothing more is gone after so long. */
const goneAfterMs = 3_000;
const callsPerSession = 200;

interface Session {
  readonly session: http2.ClientHttp2Session;
  calls: number;
  open: number;
}

/** Bodies of gRPC and gRPC-Web calls: messages, frames that lie, all kinds of compression, and clients that go away in between. */
export class FramesWeapon implements Weapon, Disposable {
  readonly name = "frames";
  readonly parallel = 16;
  readonly #port: number;
  #current: Session | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  shot(random: Random): Shot {
    const encoding = pick(random, [
      "gzip",
      "gzip",
      "gzip",
      "identity",
      "identity",
      undefined,
      undefined,
      undefined,
      "deflate",
      "x",
    ]);
    const frames = several(random, chance(random, 60) ? 1 : 3, () => frame(random, encoding === "gzip"));
    const whole = Buffer.concat(frames);
    const input = chance(random, 35) ? mutated(random, whole) : whole;
    const headers = {
      ...(encoding !== undefined && { "grpc-encoding": encoding }),
      ...(chance(random, 10) && { "grpc-timeout": pick(random, timeouts) }),
      ...(chance(random, 5) && { "x-bin": pick(random, ["AAAA", "?", "AA,AA"]) }),
      ...(chance(random, 5) && { "some-bin": pick(random, ["AAAA", "?", "A"]) }),
    };
    return chance(random, 65) ? this.#grpc(random, input, headers) : this.#web(random, input, headers);
  }

  [Symbol.dispose](): void {
    this.#current?.session.destroy();
  }

  #grpc(random: Random, input: Buffer, more: http2.OutgoingHttpHeaders): Shot {
    const headers = {
      ":method": chance(random, 97) ? "POST" : "GET",
      ":path": pick(random, paths),
      "content-type": chance(random, 95)
        ? "application/grpc+proto"
        : pick(random, ["application/grpc+x", "application/grpcx", ""]),
      te: "trailers",
      ...more,
    };
    const parts = pieces(random, input);
    const goes = chance(random, 12) ? random.int(parts.length) : undefined;
    const stays = goes === undefined && chance(random, 5);
    return {
      input,
      how: `${JSON.stringify(headers)} in ${parts.length} pieces${goes === undefined ? "" : `, reset after ${goes}`}${stays ? ", the body does not end" : ""}`,
      fire: () => this.#called(headers, parts, goes, stays),
    };
  }

  async #called(
    headers: http2.OutgoingHttpHeaders,
    parts: readonly Buffer[],
    goes: number | undefined,
    stays: boolean,
  ) {
    const current = this.#opened();
    current.calls += 1;
    current.open += 1;
    const stream = current.session.request(headers, { endStream: false });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    let got: http2.IncomingHttpHeaders = {};
    let status: string | undefined;
    stream.on("response", (fields) => {
      got = fields;
      status = one(fields["grpc-status"]);
    });
    stream.on("trailers", (fields: http2.IncomingHttpHeaders) => {
      status ??= one(fields["grpc-status"]);
      got["grpc-message"] ??= fields["grpc-message"];
    });
    stream.on("data", () => undefined);
    // How it went wrong is told by the code that it closed with.
    stream.on("error", () => undefined);
    stream.on("close", () => resolve(undefined));
    for (const [index, part] of parts.entries()) {
      if (goes === index) stream.close(http2.constants.NGHTTP2_CANCEL);
      if (stream.destroyed || stream.writableEnded) break;
      stream.write(part);
      await new Promise((turn) => setImmediate(turn));
    }
    if (!stays && !stream.destroyed) stream.end();
    const timer = stays ? setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), goneAfterMs) : undefined;
    await promise;
    clearTimeout(timer);
    current.open -= 1;
    this.#closeIdle(current);
    if (goes !== undefined || stays) return "gRPC gone";
    if (status !== undefined) return judged("gRPC", status, got["grpc-message"]);
    const code = Number(got[":status"] ?? 0);
    if (code >= 400 && code < 500) return `gRPC HTTP ${code}`;
    throw new Error(`the call ended without a status: HTTP ${code}, code ${stream.rstCode}`);
  }

  /** A session with few calls behind it: one that was often reset on is sent away, with all its calls. */
  #opened(): Session {
    if (this.#current && this.#current.calls < callsPerSession && !this.#current.session.closed) return this.#current;
    if (this.#current) this.#closeIdle(this.#current);
    const session = http2.connect(`http://127.0.0.1:${this.#port}`);
    session.on("error", () => undefined);
    return (this.#current = { session, calls: 0, open: 0 });
  }

  #closeIdle({ session, open, calls }: Session): void {
    if (open === 0 && calls >= callsPerSession) session.destroy();
  }

  #web(random: Random, input: Buffer, more: http.OutgoingHttpHeaders): Shot {
    const isText = chance(random, 40);
    const inText = Buffer.from(input.toString("base64"));
    const body = isText ? (chance(random, 20) ? mutated(random, inText) : inText) : input;
    const headers = {
      "content-type": `application/grpc-web${isText ? "-text" : ""}${pick(random, ["", "+proto"])}`,
      ...more,
    };
    const path = pick(random, paths);
    return {
      input: body,
      how: `POST ${path} ${JSON.stringify(headers)} over HTTP/1.1`,
      fire: async () => {
        const request = http.request({
          port: this.#port,
          host: "127.0.0.1",
          method: "POST",
          path,
          headers,
          agent: false,
        });
        request.on("error", () => undefined);
        request.end(body);
        const [response] = (await once(request, "response")) as [http.IncomingMessage];
        const bytes = Buffer.concat((await response.toArray()) as Buffer[]);
        if (response.statusCode !== 200) return `web HTTP ${response.statusCode}`;
        const answer = isText ? unpadded(bytes.toString()) : bytes;
        const trailers = /grpc-status: ?(\d+)\r\n(?:grpc-message: ?([^\r]*))?/i.exec(answer.toString("latin1"));
        assert.ok(trailers, `the answer ends without trailers: ${answer.subarray(-200).toString("latin1")}`);
        return judged("web", trailers[1]!, trailers[2]);
      },
    };
  }
}

/** INTERNAL is for bodies that cannot be taken apart, and says why. */
function judged(kind: string, status: string, message: string | string[] | undefined): string {
  const why = decodeURIComponent(String(message));
  assert.ok(/^\d{1,2}$/.test(status) && Number(status) <= 16, `the status is ${status}`);
  assert.ok(
    !/TypeError|RangeError|undefined|not a function|Unexpected|terminat/.test(why) || message === undefined,
    `${status}: ${why}`,
  );
  return `${kind} ${status}`;
}

/** What base64 says whose pieces are padded each for itself. */
function unpadded(text: string): Buffer {
  return Buffer.concat((text.match(/.{4}/g) ?? []).map((four) => Buffer.from(four, "base64")));
}

function frame(random: Random, isGzip: boolean): Buffer {
  const bytes = chance(random, 75) ? message(random) : Buffer.from(random.bytes(random.int(300)));
  const flagged = isGzip ? chance(random, 70) : chance(random, 5);
  const load = flagged && chance(random, 80) ? compressed(random, bytes) : bytes;
  const whole = Buffer.from(frameOf(load, flagged));
  if (chance(random, 8)) whole[0] = pick(random, [2, 3, 0x80, 0x81, 0xff]);
  if (chance(random, 8)) whole.writeUInt32BE(pick(random, claims), 1);
  return whole;
}

function compressed(random: Random, bytes: Buffer): Buffer {
  if (chance(random, 4)) return chance(random, 80) ? bomb : bombInBomb;
  const zipped = gzipSync(bytes);
  return chance(random, 20) ? mutated(random, zipped) : zipped;
}

function message(random: Random): Buffer {
  try {
    return Buffer.from(
      toBinary(everything, fromJsonString(everything, documentOf(random, everything, 0), { registry })),
    );
  } catch {
    return Buffer.from([0x0a, 0x01, 0x78]); // The document holds a wrong sample.
  }
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join() : value;
}
