import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Client, credentials, status, type StatusObject } from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";
import { crdtEntity, pnCounter, serve } from "massa/sdk";
import { ArticleSchema, Stock } from "../examples/stock/gen/stock_pb.ts";
import { until } from "./eventing-harness.ts";
import { openTestProxy } from "./proxy-stage.ts";

const stock = crdtEntity(Stock, {
  persistenceId: "stock",
  state: pnCounter,
  handlers: {
    receive: ({ sku }, { state }) => ({ sku, quantity: state.value }),
    order: ({ sku }, { state }) => ({ sku, quantity: state.value }),
    get: ({ sku }, { state }) => ({ sku, quantity: state.value }),
    watch({ sku }, { state, onChange }) {
      onChange((change) => ({ sku, quantity: change.state.value }));
      return { sku, quantity: state.value };
    },
  },
});

test("a client that watches an entity is told OK at the end of the proxy, once the time for what is in hand is over", async () => {
  await using served = await serve({ services: [stock], port: 0 });
  const proxy = await openTestProxy(served.port, { MASSA_DRAIN_TIMEOUT: "100ms" });
  await until(() => proxy.reasons.length === 0, "the proxy to be ready");
  const client = new Client(`127.0.0.1:${proxy.frontPort!}`, credentials.createInsecure());
  const identity = (bytes: Buffer): Buffer => bytes;
  const request = Buffer.from(toBinary(ArticleSchema, create(ArticleSchema, { sku: "tea" })));
  const watching = client.makeServerStreamRequest(`/${Stock.typeName}/Watch`, identity, identity, request);
  watching.on("error", () => undefined); // the status tells
  const ended = once(watching, "status") as Promise<[StatusObject]>;
  await once(watching, "data");
  await proxy[Symbol.asyncDispose]();
  const [{ code }] = await ended;
  client.close();
  assert.equal(code, status.OK);
});
