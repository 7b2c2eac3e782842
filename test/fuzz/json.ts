import assert from "node:assert/strict";
import http from "node:http";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { fromBinary, fromJsonString, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import type { Random } from "../../lib/core/world.ts";
import { documentOf } from "./document.ts";
import { mutated } from "./mutation.ts";
import { everything, registry } from "./services.ts";
import { chance, pick, several, type Shot, type Weapon } from "./weapon.ts";

/** What a call may end with whose function answers whatever it gets. */
const expected = [200, 400, 404, 408, 413, 415, 431, 501];
const deepest = 20_000;

/** Documents that are made from the descriptors of what they are sent to, and spoilt. */
export function jsonWeapon(port: number): Weapon {
  return {
    name: "json",
    parallel: 16,
    shot(random) {
      const document = chance(random, 5)
        ? Buffer.from(deep(random))
        : Buffer.from(documentOf(random, everything, pick(random, [0, 0, 2, 10])));
      const isWhole = chance(random, 65);
      const body = isWhole ? document : mutated(random, document);
      return chance(random, 12) ? queried(random, port) : posted(random, port, body);
    },
  };
}

function deep(random: Random): string {
  const [open, close] = pick(random, [
    ['{"inner":', "}"],
    ['{"aValue":[', "]}"],
    ["[", "]"],
    ['{"aAny":{"@type":"type.googleapis.com/google.protobuf.Any","value":', "}}"],
  ] as const);
  const levels = 1 + random.int(deepest);
  return `${open.repeat(levels)}{}${chance(random, 80) ? close.repeat(levels) : ""}`;
}

function posted(random: Random, port: number, body: Buffer): Shot {
  const path = pick(random, [
    "/echo",
    "/echo",
    "/echo",
    "/shop.Shop/Echo",
    "/out",
    "/in",
    "/both",
    "/upload/x",
    "/inner/5",
    "/carts/fuzz/items",
  ]);
  const isGzip = path === "/echo" && chance(random, 10);
  const headers = {
    "content-type": chance(random, 96)
      ? "application/json"
      : pick(random, ["text/plain", "", "application/x-ndjson", "application/json; charset=x"]),
    ...(isGzip && { "content-encoding": "gzip" }),
  };
  const input = isGzip && chance(random, 80) ? gzipSync(body) : body;
  return {
    input,
    how: `POST ${path} ${JSON.stringify(headers)}`,
    async fire() {
      const answer = await ask(port, "POST", path, headers, input);
      if (answer.status === 200 && path === "/echo") echoed(body.toString(), answer.body);
      return `${answer.status}`;
    },
  };
}

function queried(random: Random, port: number): Shot {
  const query = several(random, 5, () => {
    const field = pick(random, everything.fields);
    const name = pick(random, [
      field.jsonName,
      field.name,
      `inner.${field.name}`,
      "inner.inner.inner.the_bool",
      "none",
    ]);
    return `${name}=${pick(random, ["", "1", "-1", "x", "true", "%00", "%ff", "%", "1e400", "RED", "2024-02-29T00:00:00Z", "a%26b", "9".repeat(50)])}`;
  });
  const path = `/echo/${pick(random, ["x", "%2f", "%c3%a9", "%", "a%00"])}?${query.join("&")}`;
  return {
    input: Buffer.from(path),
    how: "GET",
    fire: async () => `GET ${(await ask(port, "GET", path, {})).status}`,
  };
}

async function ask(port: number, method: string, path: string, headers: http.OutgoingHttpHeaders, body?: Buffer) {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const request = http.request({ port, host: "127.0.0.1", method, path, headers, agent: false }, resolve);
  // An answer may come, and the connection end, before all is sent.
  request.on("error", reject);
  request.end(body);
  const response = await promise;
  const status = response.statusCode!;
  // A stream that goes wrong after it has begun is broken off.
  const answered = await text(response).catch(() => undefined);
  assert.ok(expected.includes(status), `the answer is ${status} ${answered ?? ""}`);
  return { status, body: answered };
}

/** What came back must be what protobuf-es reads of what was sent, if it can read it. */
function echoed(sent: string, body: string | undefined): void {
  assert.ok(body !== undefined, "an answer in one piece is broken off");
  const came = read(body);
  let wanted: JsonValue;
  try {
    wanted = read(sent);
  } catch {
    return; // The two differ in what they let pass; what both read they must read alike.
  }
  assert.deepEqual(came, wanted);
}

/** By way of its bytes, which round a float. */
function read(document: string): JsonValue {
  const bytes = toBinary(everything, fromJsonString(everything, document, { registry }));
  return toJson(everything, fromBinary(everything, bytes), { registry });
}
