import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { after, before, suite, test } from "node:test";
import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { fromBinary, getExtension } from "@bufbuild/protobuf";
import { type Any, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  Carts,
  CartSchema,
  CustomerIdSchema,
  Customers,
  CustomerSchema,
  ItemAddedSchema,
  OrderMadeSchema,
  OrderSchema,
} from "../examples/cart/gen/cart_pb.ts";
import { Stock } from "../examples/stock/gen/stock_pb.ts";
import { Crdt } from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import { EventSourced } from "../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { eventing } from "../lib/wire/gen/cloudstate/eventing_pb.ts";
import { ValueEntity } from "../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { payload } from "./conformance/action-words.ts";
import { Caller } from "./conformance/call.ts";
import { initOf } from "./conformance/crdt-stream.ts";
import { change } from "./conformance/crdt-words.ts";
import { discovered } from "./conformance/discovered.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** A function of the examples, as a process. */
interface Example {
  readonly caller: Caller;
  stop(): Promise<void>;
}

async function startExample(file: string): Promise<Example> {
  const child = spawn(process.execPath, ["--conditions=massa-source", file], {
    cwd: root,
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const caller = new Caller(line.split(" ").at(-1)!, () => ({ answerMs: 3_000, surplusMs: 10 }));
  return {
    caller,
    async stop() {
      caller.close();
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      assert.deepEqual(await gone, [0, null]);
    },
  };
}

suite("the stock example", () => {
  let example: Example;
  let caller: Caller;
  before(async () => {
    example = await startExample("examples/stock/function.ts");
    ({ caller } = example);
  });
  after(() => example.stop());

  test("takes orders from the topic of that name", async () => {
    const { entities, proto } = await discovered(caller);
    assert.deepEqual(
      entities.map(({ serviceName, persistenceId }) => [serviceName, persistenceId]),
      [["shop.stock.Stock", "stock"]],
    );
    const { file } = fromBinary(FileDescriptorSetSchema, proto);
    const methods = file.flatMap(({ service }) => service.flatMap(({ method }) => method));
    const order = methods.find(({ name }) => name === "Order")!;
    assert.deepEqual(getExtension(order.options!, eventing).in?.source, { case: "topic", value: "orders" });
  });

  test("counts deliveries and orders, and tells those who watch", async () => {
    const entity = caller.open(Crdt.method.handle);
    let id = 0n;
    const send = <M extends DescMethod>(method: M, input: MessageInitShape<M["input"]>) => {
      id += 1n;
      const sent = payload(method.input, input);
      const streamed = method.methodKind === "server_streaming";
      entity.send({
        message: { case: "command", value: { entityId: "tea", id, name: method.name, payload: sent, streamed } },
      });
    };
    const level = (quantity: bigint) => ({
      clientAction: {
        action: {
          case: "reply" as const,
          value: { payload: payload(Stock.method.get.output, { sku: "tea", quantity }) },
        },
      },
    });
    const changed = (by: bigint) => ({
      stateAction: { action: { case: "update" as const, value: change.pncounter(by) } },
    });

    entity.send(initOf(Stock.typeName, "tea"));
    send(Stock.method.watch, { sku: "tea" });
    await entity.expect({ message: { case: "reply", value: { commandId: 1n, ...level(0n), streamed: true } } });
    send(Stock.method.receive, { sku: "tea", quantity: 10 });
    await entity.expect({ message: { case: "reply", value: { commandId: 2n, ...level(10n), ...changed(10n) } } });
    await entity.expect({ message: { case: "streamedMessage", value: { commandId: 1n, ...level(10n) } } });
    send(Stock.method.order, { sku: "tea", quantity: 3 });
    await entity.expect({ message: { case: "reply", value: { commandId: 3n, ...level(7n), ...changed(-3n) } } });
    await entity.expect({ message: { case: "streamedMessage", value: { commandId: 1n, ...level(7n) } } });
    entity.send({ message: { case: "delta", value: change.pncounter(5n) } });
    await entity.expect({ message: { case: "streamedMessage", value: { commandId: 1n, ...level(12n) } } });
    send(Stock.method.receive, { sku: "tea", quantity: 0 });
    const { message } = await entity.message();
    assert.equal(message.case === "reply" && message.value.clientAction?.action.case, "failure");
    entity.end();
    await entity.completed();
  });
});

suite("the cart example", () => {
  let example: Example;
  before(async () => {
    example = await startExample("examples/cart/function.ts");
  });
  after(() => example.stop());

  test("makes carts of their events, and orders of carts", async () => {
    const entity = example.caller.open(EventSourced.method.handle);
    const added = (number: bigint, quantity: number) => payload(ItemAddedSchema, { number, sku: "tea", quantity });
    const command = <M extends DescMethod>(id: bigint, method: M, input: MessageInitShape<M["input"]>) =>
      entity.send({
        message: {
          case: "command",
          value: { entityId: "ann", id, name: method.name, payload: payload(method.input, input) },
        },
      });
    const replies = (commandId: bigint, answer: Any, ...events: Any[]) => {
      const clientAction = { action: { case: "reply" as const, value: { payload: answer } } };
      return entity.expect({ message: { case: "reply", value: { commandId, clientAction, events } } });
    };
    const cart = (quantity: number) => payload(CartSchema, { items: [{ sku: "tea", quantity }] });

    entity.send({ message: { case: "init", value: { serviceName: Carts.typeName, entityId: "ann" } } });
    entity.send({ message: { case: "event", value: { sequence: 1n, payload: added(1n, 2) } } });
    command(1n, Carts.method.add, { userId: "ann", sku: "tea", quantity: 3 });
    await replies(1n, cart(5), added(2n, 3));
    command(2n, Carts.method.remove, { userId: "ann", sku: "milk" });
    const { message } = await entity.message();
    const refused = message.case === "reply" ? message.value.clientAction?.action : undefined;
    assert.deepEqual(refused?.case === "failure" && [refused.value.description, refused.value.restart], [
      "there is no milk in the cart",
      false,
    ]);
    command(3n, Carts.method.checkout, { userId: "ann", address: "home" });
    const order = { number: 1, address: "home", items: [{ sku: "tea", quantity: 5 }] };
    await replies(3n, payload(OrderSchema, order), payload(OrderMadeSchema, { number: 3n, order }));
    command(4n, Carts.method.get, { userId: "ann" });
    await replies(4n, payload(CartSchema, { orders: 1 }));
    entity.end();
    await entity.completed();
  });

  test("keeps customers as values, and forwards their checkout to the cart", async () => {
    const entity = example.caller.open(ValueEntity.method.handle);
    const customer = payload(CustomerSchema, { userId: "ann", name: "Ann", address: "home" });
    const command = (id: bigint, name: string, sent: Any) =>
      entity.send({ message: { case: "command", value: { entityId: "ann", id, name, payload: sent } } });
    const asked = payload(CustomerIdSchema, { userId: "ann" });

    entity.send({ message: { case: "init", value: { serviceName: Customers.typeName, entityId: "ann", state: {} } } });
    command(1n, "Get", asked);
    const nobody = {
      action: { case: "reply" as const, value: { payload: payload(CustomerSchema, { userId: "ann" }) } },
    };
    await entity.expect({ message: { case: "reply", value: { commandId: 1n, clientAction: nobody } } });
    command(2n, "Save", customer);
    const clientAction = { action: { case: "reply" as const, value: { payload: customer } } };
    const stateAction = { action: { case: "update" as const, value: { value: customer } } };
    await entity.expect({ message: { case: "reply", value: { commandId: 2n, clientAction, stateAction } } });
    command(3n, "Checkout", asked);
    const sent = payload(Carts.method.checkout.input, { userId: "ann", address: "home" });
    const target = { serviceName: Carts.typeName, commandName: "Checkout", payload: sent };
    const forwarding = { action: { case: "forward" as const, value: target } };
    await entity.expect({ message: { case: "reply", value: { commandId: 3n, clientAction: forwarding } } });
    entity.end();
    await entity.completed();
  });
});

test("the code in docs/sdk.md is that of the examples", async () => {
  const page = await readFile(`${root}docs/sdk.md`, "utf8");
  const files = ["stock", "cart"].map((name) => readFile(`${root}examples/${name}/function.ts`, "utf8"));
  const lines = new Set((await Promise.all(files)).join("\n").split("\n"));
  const blocks = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code!);
  const shown = blocks.filter((code) => !code.startsWith("const running"));
  assert.equal(shown.length, 3);
  for (const line of shown.join("").split("\n")) {
    if (!/^(\s*\/\/ …)?$/.test(line)) assert.ok(lines.has(line), `no example has the line: ${line}`);
  }
});
