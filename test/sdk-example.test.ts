import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { after, before, suite, test } from "node:test";
import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { fromBinary, getExtension } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Stock } from "../examples/stock/gen/stock_pb.ts";
import { Crdt } from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import { eventing } from "../lib/wire/gen/cloudstate/eventing_pb.ts";
import { payload } from "./conformance/action-words.ts";
import { Caller } from "./conformance/call.ts";
import { initOf } from "./conformance/crdt-stream.ts";
import { change } from "./conformance/crdt-words.ts";
import { discovered } from "./conformance/discovered.ts";

suite("the stock example", () => {
  let child: ChildProcess;
  let caller: Caller;
  before(async () => {
    child = spawn(process.execPath, ["--conditions=massa-source", "examples/stock/function.ts"], {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      env: { ...process.env, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface(child.stdout!), "line")) as [string];
    caller = new Caller(line.split(" ").at(-1)!, () => ({ answerMs: 3_000, surplusMs: 10 }));
  });
  after(async () => {
    caller.close();
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await gone, [0, null]);
  });

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
