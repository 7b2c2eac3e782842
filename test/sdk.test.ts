import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fromBinary, getExtension } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  action,
  bool,
  bytes,
  crdtEntity,
  double,
  Failure,
  gCounter,
  int32,
  int64,
  message,
  reply,
  type RunningFunction,
  serve,
  text,
} from "../lib/sdk/index.ts";
import { ActionProtocol } from "../lib/wire/gen/cloudstate/action_pb.ts";
import { Crdt, type CrdtStreamOut } from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import { entity_key } from "../lib/wire/gen/cloudstate/entity_key_pb.ts";
import { EntityDiscovery } from "../lib/wire/gen/cloudstate/entity_pb.ts";
import { command, opening, payload, r } from "./conformance/action-words.ts";
import { Caller } from "./conformance/call.ts";
import { initOf } from "./conformance/crdt-stream.ts";
import { change } from "./conformance/crdt-words.ts";
import { discovered } from "./conformance/discovered.ts";
import { ActionTckModel, RequestSchema, ResponseSchema } from "./conformance/gen/tck/action_pb.ts";
import { CrdtConfigured, RequestSchema as EntityRequestSchema } from "./conformance/gen/tck/crdt_pb.ts";

const patience = () => ({ answerMs: 3_000, surplusMs: 10 });

/** Errors that the function told its developer about. */
const reported: unknown[] = [];

const greeter = action(ActionTckModel, {
  processUnary(request, { metadata }) {
    const step = request.groups[0]?.steps[0]?.step;
    if (step?.case === "fail") throw new Error("a defect");
    return reply({ message: metadata.get("CE-ID") ?? "nobody" }, { "ce-id": "7", raw: Uint8Array.of(1) });
  },
  async processStreamedIn(requests) {
    return { message: (await Array.fromAsync(requests)).length.toString() };
  },
  async *processStreamedOut(_, context) {
    yield { message: "one" };
    context.effect(ActionTckModel.method.processUnary, {}, { synchronous: true });
    throw new Failure("no more");
  },
  async *processStreamed(requests, { signal }) {
    for await (const { groups } of requests)
      yield { message: `${groups.length.toString()} ${signal.aborted.toString()}` };
  },
});

const counter = crdtEntity(CrdtConfigured, {
  persistenceId: "counted",
  passivationTimeoutMs: 250,
  state: gCounter,
  handlers: {
    async call(request, context) {
      const action = request.actions[0]?.action;
      if (action?.case === "fail") throw new Error("a defect");
      if (action?.case === "delete") context.delete();
      if (action?.case === "update") {
        context.state.increment(1);
        throw new Failure("too late");
      }
      if (action?.case === "forward") {
        // The next command must not see the state between these two.
        context.state.increment(1);
        await new Promise((turn) => setImmediate(turn));
        context.state.increment(1);
      }
      return {};
    },
  },
});

suite("a user function", () => {
  let running: RunningFunction;
  let caller: Caller;
  before(async () => {
    running = await serve({
      services: [greeter, counter],
      port: 0,
      name: "test",
      version: "3",
      onError: (error) => reported.push(error),
    });
    caller = new Caller(`127.0.0.1:${running.port.toString()}`, patience);
  });
  after(async () => {
    caller.close();
    await running.stop(0);
  });

  test("describes itself: services, files in order, options kept, version 0.2", async () => {
    const spec = await discovered(caller);
    assert.deepEqual(
      spec.entities.map(({ serviceName, entityType, persistenceId }) => [serviceName, entityType, persistenceId]),
      [
        [ActionTckModel.typeName, "cloudstate.action.ActionProtocol", ""],
        [CrdtConfigured.typeName, "cloudstate.crdt.Crdt", "counted"],
      ],
    );
    assert.equal(spec.entities[1]?.passivationStrategy?.strategy.value?.timeout, 250n);
    const info = spec.serviceInfo!;
    assert.deepEqual(
      [info.serviceName, info.serviceVersion, info.protocolMajorVersion, info.protocolMinorVersion],
      ["test", "3", 0, 2],
    );
    const { file } = fromBinary(FileDescriptorSetSchema, spec.proto);
    const seen = new Set<string>();
    for (const { name, dependency } of file) {
      for (const needed of dependency) assert.ok(seen.has(needed), `${needed} comes before ${name}`);
      assert.ok(!seen.has(name), `${name} comes once`);
      seen.add(name);
    }
    const request = file
      .find(({ name }) => name === CrdtConfigured.file.proto.name)!
      .messageType.find(({ name }) => name === "Request")!;
    assert.equal(getExtension(request.field[0]!.options!, entity_key), true);
  });

  test("tells its developer what the proxy complains about", async () => {
    await caller.unary(EntityDiscovery.method.reportError, { message: "no such thing" });
    assert.match(String(reported.pop()), /the proxy reports: no such thing/);
  });

  test("reads metadata in any case, and answers with metadata of its own", async () => {
    const metadata = { entries: [{ key: "Ce-Id", value: { case: "stringValue" as const, value: "42" } }] };
    const call = caller.start(ActionProtocol.method.handleUnary, {
      serviceName: ActionTckModel.typeName,
      name: "ProcessUnary",
      payload: payload(RequestSchema, {}),
      metadata,
    });
    await call.expect({
      response: {
        case: "reply",
        value: {
          payload: payload(ResponseSchema, { message: "42" }),
          metadata: {
            entries: [
              { key: "ce-id", value: { case: "stringValue", value: "7" } },
              { key: "raw", value: { case: "bytesValue", value: Uint8Array.of(1) } },
            ],
          },
        },
      },
    });
    await call.completed();
  });

  test("takes a payload in the opening command of a streamed input for the first message", async () => {
    const call = caller.start(ActionProtocol.method.handleStreamedIn, {
      ...opening("ProcessStreamedIn"),
      payload: payload(RequestSchema, {}),
    });
    await call.expect({
      response: { case: "reply", value: { payload: payload(ResponseSchema, { message: "1" }) } },
    });
    await call.completed();
  });

  test("makes a thrown failure the last element of a stream, with its effects", async () => {
    const call = caller.start(ActionProtocol.method.handleStreamedOut, command("ProcessStreamedOut", []));
    assert.equal((await call.message()).response.case, "reply");
    const last = await call.message();
    assert.deepEqual([last.response.case, last.sideEffects.length], ["failure", 1]);
    await call.completed();
  });

  test("says nothing of its defects to the caller of an action, but all to the developer", async () => {
    const failing = command("ProcessUnary", [[{ step: { case: "fail", value: { message: "" } } }]]);
    const call = caller.start(ActionProtocol.method.handleUnary, failing);
    assert.equal(await call.failure(), "the action ended by an error of its own");
    assert.match(String(reported.pop()), /a defect/);
  });

  test("names an action that it does not have", async () => {
    const call = caller.start(ActionProtocol.method.handleUnary, command("Nothing", [[r("")]]));
    assert.match(await call.failure(), /there is no action .*ActionTckModel\.Nothing/);
  });

  test("handles the commands of one entity one after the other", async () => {
    const call = caller.open(Crdt.method.handle);
    call.send(initOf(CrdtConfigured.typeName, "serial"));
    for (const id of [1n, 2n, 3n]) call.send(entityCommand("serial", id, "forward"));
    for (const id of [1n, 2n, 3n]) assert.deepEqual(incrementOf(await call.message()), [id, 2n]);
    call.end();
    await call.completed();
  });

  test("undoes what a command that fails has changed", async () => {
    const call = caller.open(Crdt.method.handle);
    call.send(initOf(CrdtConfigured.typeName, "undone"));
    call.send(entityCommand("undone", 1n, "update"));
    const { message } = await call.message();
    assert.equal(message.case, "reply");
    assert.deepEqual([message.value.clientAction?.action.case, message.value.stateAction], ["failure", undefined]);
    call.send(entityCommand("undone", 2n, "forward"));
    assert.deepEqual(incrementOf(await call.message()), [2n, 2n]);
    call.end();
    await call.completed();
  });

  test("answers commands that come after a delete with a failure, until the half-close", async () => {
    const call = caller.open(Crdt.method.handle);
    call.send(initOf(CrdtConfigured.typeName, "gone"));
    call.send(entityCommand("gone", 1n, "delete"));
    call.send(entityCommand("gone", 2n, "forward"));
    const first = await call.message();
    assert.equal(first.message.case === "reply" && first.message.value.stateAction?.action.case, "delete");
    const { message: second } = await call.message();
    assert.equal(second.case, "reply");
    assert.deepEqual([second.value.clientAction?.action.case, second.value.stateAction], ["failure", undefined]);
    call.end();
    await call.completed();
  });

  test("ends an entity's stream with a failure when a handler has a defect", async () => {
    const call = caller.open(Crdt.method.handle);
    call.send(initOf(CrdtConfigured.typeName, "broken"));
    call.send(entityCommand("broken", 1n, "fail"));
    const { message } = await call.message();
    assert.equal(message.case, "failure");
    assert.equal(message.value.commandId, 1n);
    await call.completed();
    assert.match(String(reported.pop()), /a defect/);
  });

  test("ends an entity's stream when it breaks the protocol", async () => {
    for (const [messages, cause] of [
      [[entityCommand("early", 1n, "forward")], /before init/],
      [[initOf("nobody", "x")], /no CRDT entity nobody/],
      [[initOf(CrdtConfigured.typeName, "x", change.flag(true))], /a flag came for a gcounter/],
      [[{}], /without content/],
    ] as const) {
      const call = caller.open(Crdt.method.handle);
      for (const message of messages) call.send(message);
      assert.equal((await call.message()).message.case, "failure");
      await call.completed();
      assert.match(String(reported.pop()), cause);
    }
  });

  test("lets go of calls that are cancelled, and goes on", async () => {
    const entity = caller.open(Crdt.method.handle);
    entity.send(initOf(CrdtConfigured.typeName, "left"));
    entity.send(entityCommand("left", 1n, "forward"));
    await entity.message();
    const both = caller.open(ActionProtocol.method.handleStreamed);
    both.send(opening("ProcessStreamed"));
    both.send({ payload: payload(RequestSchema, {}) });
    await both.message();
    const inward = caller.open(ActionProtocol.method.handleStreamedIn);
    inward.send(opening("ProcessStreamedIn"));
    inward.send({ payload: payload(RequestSchema, {}) });
    for (const call of [entity, both, inward]) {
      call.cancel();
      assert.match(await call.failure(), /Cancelled/);
    }
    assert.equal((await discovered(caller)).entities.length, 2);
    assert.deepEqual(reported, []);
  });

  test("listens on a Unix socket, and stops when its streams have ended", async () => {
    const directory = await mkdtemp(join(tmpdir(), "massa-sdk-"));
    const socket = join(directory, "function.sock");
    const other = await serve({ services: [counter], socket });
    const there = new Caller(`unix:${socket}`, patience);
    const call = there.open(Crdt.method.handle);
    call.send(initOf(CrdtConfigured.typeName, "open"));
    call.send(entityCommand("open", 1n, "forward"));
    await call.message();
    let stopped = false;
    const stopping = other.stop().then(() => (stopped = true));
    call.send(entityCommand("open", 2n, "forward"));
    await call.message();
    assert.equal(stopped, false);
    call.end();
    await call.completed();
    there.close();
    await stopping;
    await rm(directory, { recursive: true });
  });

  test("says which address it cannot take", async () => {
    await assert.rejects(serve({ services: [counter], port: running.port }), /cannot listen on 127\.0\.0\.1:\d+/);
  });

  test("refuses a declaration that leaves a method out", () => {
    assert.throws(
      () => crdtEntity(CrdtConfigured, { state: gCounter, handlers: {} as never }),
      /no handler named call/,
    );
  });
});

test("elements travel by the convention of all SDKs", () => {
  const hex = (any: { value: Uint8Array }) => Buffer.from(any.value).toString("hex");
  assert.deepEqual(
    ["", "ab"].map((value) => hex(text.toAny(value))),
    ["", "0a026162"],
  );
  assert.deepEqual(
    [Uint8Array.of(), Uint8Array.of(7)].map((value) => hex(bytes.toAny(value))),
    ["", "0a0107"],
  );
  assert.deepEqual(
    [false, true].map((value) => hex(bool.toAny(value))),
    ["", "0801"],
  );
  assert.deepEqual(
    [0, 5].map((value) => hex(int32.toAny(value))),
    ["", "0805"],
  );
  assert.deepEqual(
    [0n, -1n].map((value) => hex(int64.toAny(value))),
    ["", "08ffffffffffffffffff01"],
  );
  assert.deepEqual(
    [0, 1].map((value) => hex(double.toAny(value))),
    ["", "09000000000000f03f"],
  );
  assert.equal(text.toAny("x").typeUrl, "p.cloudstate.io/string");
  assert.equal(text.fromAny({ ...text.toAny("x"), value: Uint8Array.of(0x12, 1, 65, 0x0a, 1, 66) }), "B");
  assert.throws(() => text.fromAny(int64.toAny(1n)), /expected p\.cloudstate\.io\/string/);
  const requests = message(EntityRequestSchema);
  assert.equal(
    requests.fromAny(requests.toAny({ ...requests.fromAny(payload(EntityRequestSchema, { id: "x" })) })).id,
    "x",
  );
});

function entityCommand(entityId: string, id: bigint, what: "forward" | "delete" | "fail" | "update") {
  const request = payload(EntityRequestSchema, { id: entityId, actions: [{ action: { case: what, value: {} } }] });
  return { message: { case: "command" as const, value: { entityId, id, name: "Call", payload: request } } };
}

function incrementOf({ message }: CrdtStreamOut): unknown {
  assert.equal(message.case, "reply");
  const action = message.value.stateAction?.action;
  assert.equal(action?.case, "update");
  assert.equal(action.value.delta.case, "gcounter");
  return [message.value.commandId, action.value.delta.value.increment];
}
