import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Client, credentials, status, type StatusObject } from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";
import { crdtEntity, pnCounter, serve } from "massa/sdk";
import { ArticleSchema, Stock } from "../examples/stock/gen/stock_pb.ts";
import { parseConfig } from "../lib/core/config.ts";
import { silentLogger } from "../lib/core/log.ts";
import { openProxy } from "../lib/proxy.ts";

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
  const { config } = parseConfig({
    env: {
      MASSA_PORT: "0",
      MASSA_ADMIN_PORT: "0",
      MASSA_MESH_PORT: "0",
      MASSA_MESH_LEAVE_TIMEOUT: "100ms",
      MASSA_DRAIN_TIMEOUT: "100ms",
      USER_FUNCTION_PORT: `${served.port}`,
    },
    args: [],
    machine: { hostName: "test", processId: process.pid },
  });
  const proxy = await openProxy({ config, log: silentLogger });
  while (proxy.reasons.length > 0) await new Promise((tick) => setTimeout(tick, 5));
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
