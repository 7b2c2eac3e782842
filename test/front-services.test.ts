import assert from "node:assert/strict";
import { once } from "node:events";
import { suite, test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, type FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { status, type Client, type ServiceError } from "@grpc/grpc-js";
import { openHarness, tableOf, type Harness } from "./front-harness.ts";

const raw = (bytes: Buffer) => bytes;

const shop: FileDescriptorProto = create(FileDescriptorProtoSchema, {
  name: "shop.proto",
  package: "shop",
  dependency: ["google/protobuf/timestamp.proto"],
  messageType: [
    {
      name: "Cart",
      field: [{ name: "id", number: 1 }],
      nestedType: [{ name: "Line" }],
      enumType: [{ name: "State", value: [{ name: "OPEN", number: 0 }] }],
      extensionRange: [{ start: 100, end: 200 }],
    },
  ],
  extension: [
    { name: "note", number: 120, extendee: ".shop.Cart" },
    { name: "tag", number: 101, extendee: ".shop.Cart" },
  ],
  service: [{ name: "Carts", method: [{ name: "Add" }] }],
});

const table = tableOf({ "shop.Carts": ["Add"], "shop.Admin": ["Close"] }, [shop]);

/** Text at a field of a message, all of them in order. */
function textsAt(bytes: Uint8Array, field: number): Buffer[] {
  const found: Buffer[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === field && type === WireType.LengthDelimited) found.push(Buffer.from(reader.bytes()));
    else reader.skip(type);
  }
  return found;
}

/** Sends the requests on one reflection stream and completes it; the responses by then. */
async function reflect(client: Client, version: string, ...requests: readonly Uint8Array[]): Promise<Buffer[]> {
  const stream = client.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    raw,
    raw,
  );
  const responses: Buffer[] = [];
  stream.on("data", (bytes: Buffer) => responses.push(bytes));
  const ended = once(stream, "status");
  for (const request of requests) stream.write(Buffer.from(request));
  stream.end();
  const [{ code }] = (await ended) as [{ code: number }];
  assert.equal(code, status.OK);
  return responses;
}

const ask = (field: number, text: string) =>
  new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string("me")
    .tag(field, WireType.LengthDelimited)
    .string(text)
    .finish();
const list = (response: Buffer) =>
  textsAt(textsAt(response, 6)[0]!, 1).map((service) => textsAt(service, 1).map(String).join());
const files = (response: Buffer) =>
  textsAt(textsAt(response, 4)[0]!, 1).map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
const problem = (response: Buffer) => textsAt(textsAt(response, 7)[0]!, 2).map(String);

suite("server reflection", () => {
  const extension = new BinaryWriter();
  extension
    .tag(5, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .string("shop.Cart")
    .tag(2, WireType.Varint)
    .int32(120)
    .join();

  test("v1alpha lists itself, then the entity services sorted, whatever the text; host and request are echoed", async () => {
    await using harness = await openHarness({ table });
    const requests = [ask(7, ""), ask(7, "nonsense"), ask(4, "nonsense.blabla.Void")];
    const responses = await reflect(harness.client, "v1alpha", ...requests);
    const expected = ["grpc.reflection.v1alpha.ServerReflection", "shop.Admin", "shop.Carts"];
    assert.deepEqual([list(responses[0]!), list(responses[1]!)], [expected, expected]);
    assert.deepEqual([files(responses[2]!), textsAt(responses[2]!, 7)], [[], []]);
    for (const [index, response] of responses.entries()) {
      assert.deepEqual(
        [textsAt(response, 1).map(String), textsAt(response, 2)],
        [["me"], [Buffer.from(requests[index]!)]],
      );
    }
  });

  test("v1 also lists health and itself, and says what is unknown", async () => {
    await using harness = await openHarness({ table });
    const [listed, unknown] = await reflect(harness.client, "v1", ask(7, ""), ask(4, "no.Such"));
    assert.deepEqual(list(listed!), [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "shop.Admin",
      "shop.Carts",
    ]);
    assert.deepEqual([problem(unknown!), textsAt(unknown!, 4)], [["symbol no.Such is not known here"], []]);
  });

  test("finds files by name and by every kind of symbol", async () => {
    await using harness = await openHarness({ table });
    const symbols = [
      ...["shop.Cart", "shop.Cart.id", "shop.Cart.Line", "shop.Cart.State", "shop.Cart.OPEN"],
      ...["shop.note", "shop.Carts", "shop.Carts.Add"],
    ];
    for (const version of ["v1", "v1alpha"]) {
      const responses = await reflect(harness.client, version, ...symbols.map((symbol) => ask(4, symbol)));
      assert.deepEqual(
        responses.map(files),
        symbols.map(() => ["shop.proto"]),
      );
      const [byName, wellKnown] = await reflect(
        harness.client,
        version,
        ask(3, "shop.proto"),
        ask(4, "google.protobuf.Timestamp"),
      );
      assert.deepEqual([files(byName!), files(wellKnown!)], [["shop.proto"], ["google/protobuf/timestamp.proto"]]);
    }
  });

  test("finds extensions by number and lists their numbers", async () => {
    await using harness = await openHarness({ table });
    const [byNumber, numbers, none] = await reflect(
      harness.client,
      "v1",
      extension.finish(),
      ask(6, "shop.Cart"),
      ask(6, "no.Such"),
    );
    assert.deepEqual(files(byNumber!), ["shop.proto"]);
    assert.deepEqual(
      textsAt(numbers!, 5)[0],
      Buffer.from(
        new BinaryWriter()
          .tag(1, WireType.LengthDelimited)
          .string("shop.Cart")
          .tag(2, WireType.Varint)
          .int32(101)
          .tag(2, WireType.Varint)
          .int32(120)
          .finish(),
      ),
    );
    assert.deepEqual(problem(none!), ["message no.Such is not known here"]);
    const [empty] = await reflect(harness.client, "v1alpha", ask(6, "no.Such"));
    assert.deepEqual([textsAt(empty!, 5).length, textsAt(empty!, 7).length], [1, 0]);
  });

  test("refuses what is no request", async () => {
    await using harness = await openHarness({ table });
    const stream = harness.client.makeBidiStreamRequest(
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      raw,
      raw,
    );
    stream.write(Buffer.from([0x0a, 0xff]));
    const [error] = (await once(stream.resume(), "error")) as [ServiceError];
    assert.equal(error.code, status.INVALID_ARGUMENT);
  });
});

suite("health", () => {
  const request = (service: string) =>
    Buffer.from(new BinaryWriter().tag(1, WireType.LengthDelimited).string(service).finish());

  function check({ client }: Harness, service: string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    client.makeUnaryRequest("/grpc.health.v1.Health/Check", raw, raw, request(service), (error, reply) =>
      error ? reject(error) : resolve(reply![1]!),
    );
    return promise;
  }

  test("answers for the proxy, for each service, and NOT_FOUND for others", async () => {
    await using harness = await openHarness({ table });
    assert.deepEqual([await check(harness, ""), await check(harness, "shop.Carts")], [1, 1]);
    await assert.rejects(check(harness, "no.Such"), { code: status.NOT_FOUND });
    harness.front.setServing(false);
    assert.deepEqual([await check(harness, ""), await check(harness, "shop.Admin")], [2, 2]);
  });

  test("watches a service through its coming, its troubles and its going, to the end of the proxy", async () => {
    await using harness = await openHarness({ table });
    const stream = harness.client.makeServerStreamRequest(
      "/grpc.health.v1.Health/Watch",
      raw,
      raw,
      request("shop.Later"),
    );
    const next = async () => ((await once(stream, "data")) as [Buffer])[0][1];
    assert.equal(await next(), 3);
    harness.front.setTable(tableOf({ "shop.Later": ["Do"] }));
    assert.equal(await next(), 1);
    harness.front.setServing(false);
    assert.equal(await next(), 2);
    harness.front.setServing(true);
    assert.equal(await next(), 1);
    const [last, ended] = [next(), once(stream, "end")];
    await harness.front.drain(5_000);
    assert.equal(await last, 2);
    await ended;
  });
});
