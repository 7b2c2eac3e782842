import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import { create, setExtension } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { buildServiceTable } from "../lib/discovery/build-table.ts";
import type { ServiceTable } from "../lib/discovery/service-table.ts";
import type { FrontOptions } from "../lib/frontend/front.ts";
import { http as httpOption } from "../lib/wire/gen/google/api/annotations_pb.ts";
import { HttpRuleSchema } from "../lib/wire/gen/google/api/http_pb.ts";
import { allSupported, specOf } from "./discovery-harness.ts";
import { openHarness, type Harness, type Opened } from "./front-harness.ts";

const methods = ["Unary", "In<", "Out>", "Both<>", "Raw=", "RawOut>=", "RawIn<="] as const;

const rules = {
  Unary: {
    pattern: { case: "get", value: "/things/{text}" },
    additionalBindings: [
      { pattern: { case: "post", value: "/t.S/Unary" }, body: "*" },
      { pattern: { case: "put", value: "/numbers/{number}" }, body: "*" },
    ],
  },
  Out: {
    pattern: { case: "get", value: "/watch/{text}" },
    additionalBindings: [{ pattern: { case: "post", value: "/t.S/Out" }, body: "*" }],
  },
} as const;

/** `service t.S` of messages `t.M { string text = 1; int64 number = 2; }`; `<` streams in, `>` streams out, `=` speaks google.api.HttpBody. */
function httpTable(): ServiceTable {
  const file = create(FileDescriptorProtoSchema, {
    name: "t.proto",
    package: "t",
    syntax: "proto3",
    dependency: ["google/api/annotations.proto", "google/api/httpbody.proto"],
    messageType: [
      {
        name: "M",
        field: [
          { name: "text", number: 1, type: Type.STRING, label: Label.OPTIONAL },
          { name: "number", number: 2, type: Type.INT64, label: Label.OPTIONAL },
        ],
      },
    ],
    service: [
      {
        name: "S",
        method: methods.map((spec) => {
          const name = spec.replace(/[<>=]/g, "");
          const raw = spec.includes("=");
          const options = create(MethodOptionsSchema);
          const rule = name === "Unary" || name === "Out" ? rules[name] : undefined;
          if (rule) {
            setExtension(
              options,
              httpOption,
              create(HttpRuleSchema, { ...rule, additionalBindings: [...rule.additionalBindings] }),
            );
          }
          return {
            name,
            inputType: name === "RawIn" ? ".google.api.HttpBody" : ".t.M",
            outputType: raw && name !== "RawIn" ? ".google.api.HttpBody" : ".t.M",
            clientStreaming: spec.includes("<"),
            serverStreaming: spec.includes(">"),
            options,
          };
        }),
      },
    ],
  });
  const outcome = buildServiceTable(specOf([file], [["action", "t.S"]]), allSupported);
  assert(outcome.type === "table", "message" in outcome ? outcome.message : outcome.type);
  return outcome.table;
}

/** The bytes of a `t.M`. */
export function message(text: string): Uint8Array {
  return new BinaryWriter().tag(1, WireType.LengthDelimited).string(text).finish();
}

/** The text of a `t.M`. */
export function textOf(bytes: Uint8Array): string {
  const reader = new BinaryReader(bytes);
  let text = "";
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) text = reader.string();
    else reader.skip(type);
  }
  return text;
}

/** The bytes of a `google.api.HttpBody`. */
export function rawBody(contentType: string, data: string): Uint8Array {
  const writer = new BinaryWriter();
  if (contentType !== "") writer.tag(1, WireType.LengthDelimited).string(contentType);
  return writer.tag(2, WireType.LengthDelimited).string(data).finish();
}

/** Answers a call with its own message after `re:`. */
export const echo = (call: Opened) => {
  call.reply(message(`re:${textOf(call.command.payload!.value)}`));
  call.caller.end();
};

export interface HttpHarness extends Harness {
  readonly port: number;
  readonly url: string;
}

/** A front over `httpTable`, whose calls the test answers by hand, or `answer` does at once. */
export async function openHttp(
  options: { readonly front?: Partial<FrontOptions>; readonly answer?: (call: Opened) => void } = {},
): Promise<HttpHarness> {
  const harness = await openHarness({ ...options, table: httpTable() });
  const { port } = harness.front;
  return {
    ...harness,
    front: harness.front,
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
}

/** A raw connection: what it got so far, and waiting for more. */
export class RawClient {
  readonly socket: Socket;
  received = "";
  isClosed = false;
  #changed = Promise.withResolvers<undefined>();

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1" });
    this.socket.on("error", () => undefined);
    this.socket.on("data", (chunk: Buffer) => {
      this.received += chunk.toString("latin1");
      this.#note();
    });
    this.socket.on("close", () => {
      this.isClosed = true;
      this.#note();
    });
  }

  send(text: string | Buffer): void {
    this.socket.write(text);
  }

  async until(holds: (received: string) => boolean): Promise<string> {
    while (!holds(this.received)) {
      if (this.isClosed) assert.fail(`the connection closed after ${JSON.stringify(this.received)}`);
      await this.#changed.promise;
    }
    return this.received;
  }

  /** All that came, once the other side has closed. */
  async closed(): Promise<string> {
    while (!this.isClosed) await this.#changed.promise;
    return this.received;
  }

  #note(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<undefined>();
    resolve(undefined);
  }
}

export interface Answered {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly body: string;
}

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Buffer;
}

/** One request over HTTP/1.1 by `node:http`. */
export async function ask1(port: number, { body, ...asked }: Asked): Promise<Answered> {
  const request = http.request({ port, host: "127.0.0.1", agent: false, method: "POST", ...asked });
  request.end(body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  // The answer is here; that the server stops reading the rest is no failure.
  request.on("error", () => undefined);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  return { status: response.statusCode!, headers: response.headers, bytes, body: bytes.toString() };
}

/** One request over HTTP/2 by `node:http2`. */
async function ask2(port: number, { body, method = "POST", path, headers = {} }: Asked): Promise<Answered> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request(
      { ":method": method, ":path": path, ...headers },
      {
        endStream: body === undefined,
      },
    );
    if (body !== undefined) stream.end(body);
    const [response] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const { ":status": status, ...rest } = response;
    const bytes = Buffer.concat(chunks);
    return { status: Number(status), headers: rest, bytes, body: bytes.toString() };
  } finally {
    session.destroy();
  }
}

/** Both versions of HTTP, for tests that hold for either. */
export const versions = [
  { name: "HTTP/1.1", ask: ask1 },
  { name: "HTTP/2", ask: ask2 },
] as const;

export const jsonType = { "content-type": "application/json" };
