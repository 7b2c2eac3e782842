import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, EmptySchema } from "@bufbuild/protobuf/wkt";
import {
  action,
  bool,
  double,
  eventSourcedEntity,
  Failure,
  float,
  int64,
  json,
  reply,
  type RunningFunction,
  serve,
  text,
  valueEntity,
} from "../lib/sdk/index.ts";
import { ActionProtocol } from "../lib/wire/gen/cloudstate/action_pb.ts";
import {
  EventSourced,
  type EventSourcedReply,
  type EventSourcedStreamOut,
  type EventSourcedStreamInSchema,
} from "../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import {
  ValueEntity,
  type ValueEntityReply,
  type ValueEntityStreamOut,
  type ValueEntityStreamInSchema,
} from "../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { payload } from "./conformance/action-words.ts";
import { Caller } from "./conformance/call.ts";
import { discovered } from "./conformance/discovered.ts";
import { EventLogSubscriberModel } from "./conformance/gen/tck/event_log_eventing_pb.ts";
import {
  EventSourcedTckModel,
  EventSourcedTwo,
  PersistedSchema,
  RequestSchema as EventSourcedRequestSchema,
} from "./conformance/gen/tck/event_sourced_pb.ts";
import { RequestSchema, ResponseSchema, ValueEntityTckModel } from "./conformance/gen/tck/value_entity_pb.ts";

const reported: unknown[] = [];

interface Cart {
  readonly items: readonly string[];
  readonly owner?: string;
}

const cart = json<Cart>("Cart");

/** Puts what it is told into a JSON document, and lets a command be slow or broken. */
const carts = valueEntity(ValueEntityTckModel, {
  state: cart,
  initial: (entityId) => ({ items: [], owner: entityId }),
  handlers: {
    async process({ actions }, context) {
      for (const { action } of actions) {
        if (action.case === "update") {
          const { items } = context.state;
          await new Promise((turn) => setImmediate(turn));
          context.update({ owner: "somebody", items: [...items, action.value.value] });
        }
        if (action.case === "delete") context.delete();
        if (action.case === "fail") throw action.value.message === "defect" ? new Error("a defect") : new Failure("no");
      }
      return { message: `${String(context.exists)} ${context.state.items.join()} ${context.state.owner ?? ""}` };
    },
  },
});

interface Noted {
  readonly note: string;
}

/** Events that are no messages: numbers are added, texts replace. */
const mixed = eventSourcedEntity(EventSourcedTckModel, {
  persistenceId: "mixed",
  passivationTimeoutMs: 70,
  state: text,
  initial: (entityId) => `${entityId}:`,
  events: [int64, text, bool, PersistedSchema, json<Noted>("Noted")],
  snapshotEvery: 3,
  apply(state, event) {
    if (typeof event === "bigint") return `${state}+${event}`;
    if (typeof event === "string") return event;
    if (typeof event === "boolean") return `${state}?${String(event)}`;
    if ("note" in event) return `${state}!${event.note}`;
    return `${state}.${event.value}`;
  },
  handlers: {
    process({ actions }, { emit, state, sequence }) {
      for (const { action } of actions) {
        if (action.case === "emit" && action.value.value === "wrong") emit(EmptySchema as never, {} as never);
        else if (action.case === "emit" && action.value.value === "note") emit(json<Noted>("Noted"), { note: "n" });
        else if (action.case === "emit") emit(PersistedSchema, { value: action.value.value });
        if (action.case === "forward") emit(int64, 5n);
        if (action.case === "effect") emit(text, action.value.id);
        if (action.case === "fail") throw new Error("a defect");
      }
      return { message: `${state} ${sequence}` };
    },
  },
});

const never = eventSourcedEntity(EventSourcedTwo, {
  state: PersistedSchema,
  initial: () => ({ value: "" }),
  events: [PersistedSchema],
  snapshotEvery: 0,
  apply: (state, event) => ({ value: state.value + event.value }),
  handlers: {
    call({ actions }, context) {
      for (const { action } of actions) {
        if (action.case === "emit") context.emit(PersistedSchema, { value: "x" });
        if (action.case === "fail") throw new Failure("no");
      }
      return reply({ message: `${context.state.value} ${context.sequence}` }, { kind: "reply" });
    },
  },
});

/** Takes events whatever they are. */
const anything = action(EventLogSubscriberModel, {
  processEventOne: () => undefined,
  async *processEventTwo() {
    // Answers nothing.
  },
  effect: () => undefined,
  processAnyEvent: (event, { metadata }) => ({ id: metadata.get("CE-Subject") ?? "", message: event.typeUrl }),
});

suite("entities with a store, by the SDK", () => {
  let running: RunningFunction;
  let caller: Caller;
  before(async () => {
    const services = [carts, mixed, never, anything];
    running = await serve({ services, port: 0, onError: (error) => reported.push(error) });
    caller = new Caller(`127.0.0.1:${running.port.toString()}`, () => ({ answerMs: 3_000, surplusMs: 10 }));
  });
  after(async () => {
    caller.close();
    await running.stop(0);
    assert.deepEqual(reported, []);
  });

  test("are declared with their kind, persistence id and timeout", async () => {
    const { entities } = await discovered(caller);
    assert.deepEqual(
      entities.map(({ entityType, persistenceId, passivationStrategy }) => [
        entityType,
        persistenceId,
        passivationStrategy?.strategy.value?.timeout,
      ]),
      [
        ["cloudstate.valueentity.ValueEntity", "ValueEntityTckModel", undefined],
        ["cloudstate.eventsourced.EventSourced", "mixed", 70n],
        ["cloudstate.eventsourced.EventSourced", "EventSourcedTwo", undefined],
        ["cloudstate.action.ActionProtocol", "", undefined],
      ],
    );
  });

  suite("a value entity", () => {
    test("keeps JSON with sorted keys, and works on while commands wait", async () => {
      const entity = openValue("tea");
      entity.send(valueCommand("tea", 1n, "update", { value: "a" }));
      entity.send(valueCommand("tea", 2n, "update", { value: "b" }));
      entity.send(valueCommand("tea", 3n, "effect", {}));
      const first = valueReply(await entity.message());
      assert.deepEqual(stored(first), ["json.cloudstate.io/Cart", '\n"{"items":["a"],"owner":"somebody"}']);
      const second = valueReply(await entity.message());
      assert.equal(messageOf(second), "true a,b somebody");
      assert.equal(messageOf(valueReply(await entity.message())), "true a,b somebody");
      entity.end();
      await entity.completed();
    });

    test("begins with what was stored, and after a delete with its initial value", async () => {
      const entity = openValue("tea", cart.toAny({ items: ["kept"] }));
      entity.send(valueCommand("tea", 1n, "effect", {}));
      assert.equal(messageOf(valueReply(await entity.message())), "true kept ");
      entity.send(valueCommand("tea", 2n, "delete", {}));
      const deleted = valueReply(await entity.message());
      assert.equal(deleted.stateAction?.action.case, "delete");
      assert.equal(messageOf(deleted), "false  tea");
      entity.end();
      await entity.completed();
    });

    test("undoes what a command that fails has changed", async () => {
      const entity = openValue("tea", cart.toAny({ items: ["kept"] }));
      const request = payload(RequestSchema, {
        actions: [{ action: { case: "update", value: { value: "lost" } } }, { action: { case: "fail", value: {} } }],
      });
      entity.send({
        message: { case: "command", value: { entityId: "tea", id: 1n, name: "Process", payload: request } },
      });
      const refused = valueReply(await entity.message());
      assert.deepEqual([refused.clientAction?.action.case, refused.stateAction], ["failure", undefined]);
      entity.send(valueCommand("tea", 2n, "effect", {}));
      assert.equal(messageOf(valueReply(await entity.message())), "true kept ");
      entity.end();
      await entity.completed();
    });

    test("takes an init without a state for one without a value", async () => {
      const entity = caller.open(ValueEntity.method.handle);
      entity.send({
        message: { case: "init", value: { serviceName: ValueEntityTckModel.typeName, entityId: "bare" } },
      });
      entity.send(valueCommand("bare", 1n, "effect", {}));
      assert.equal(messageOf(valueReply(await entity.message())), "false  bare");
      entity.end();
      await entity.completed();
    });

    test("ends its stream with a failure when its handler has a defect, or the proxy breaks the protocol", async () => {
      const init = { message: { case: "init" as const, value: { serviceName: ValueEntityTckModel.typeName } } };
      for (const [messages, commandId, cause] of [
        [[init, valueCommand("", 4n, "fail", { message: "defect" })], 4n, /a defect/],
        [[valueCommand("", 1n, "effect", {})], 1n, /before init/],
        [[init, init], 0n, /initialised twice/],
        [[{ message: { case: "init", value: { serviceName: "nobody" } } }], 0n, /no value entity nobody/],
        [[{}], 0n, /without content/],
        [[init, { message: { case: "command", value: { id: 2n, name: "Nothing" } } }], 2n, /no command Nothing/],
        [[openedWith(text.toAny("x")), valueCommand("", 1n, "effect", {})], 1n, /expected json\.cloudstate\.io\/Cart/],
      ] as const) {
        const entity = caller.open(ValueEntity.method.handle);
        for (const message of messages) entity.send(message);
        const { message } = await entity.message();
        assert.equal(message.case, "failure");
        assert.equal(message.value.commandId, commandId);
        assert.equal(message.value.description, "the entity ended by an error of its own");
        await entity.completed();
        assert.match(String(reported.pop()), cause);
      }
    });
  });

  suite("an event-sourced entity", () => {
    test("keeps events of several types, and replays them", async () => {
      const entity = openEvents("e");
      entity.send(eventCommand("e", 1n, "forward", "emit"));
      const both = eventReply(await entity.message());
      assert.deepEqual(
        both.events.map(({ typeUrl }) => typeUrl),
        ["p.cloudstate.io/int64", "type.googleapis.com/cloudstate.tck.model.Persisted"],
      );
      assert.equal(both.snapshot, undefined);
      entity.end();
      await entity.completed();

      const again = openEvents("e", undefined, [...both.events, bool.toAny(true)]);
      again.send(eventCommand("e", 1n));
      assert.equal(messageOf(eventReply(await again.message())), "e:+5.x?true 3");
      // The sixth event is not the last: the snapshot is of the state after all of the command.
      again.send(eventCommand("e", 2n, "effect", "forward", "forward", "forward"));
      const replaced = eventReply(await again.message());
      // After the sixth event, which is in the middle of nothing: the snapshot is of the state after the whole command.
      assert.equal(text.fromAny(replaced.snapshot!), "id+5+5+5");
      again.end();
      await again.completed();
    });

    test("emits by a serializer that equals a declared one", async () => {
      const entity = openEvents("e");
      entity.send(eventCommand("e", 1n, "note"));
      const { events } = eventReply(await entity.message());
      assert.deepEqual(
        events.map(({ typeUrl }) => typeUrl),
        ["json.cloudstate.io/Noted"],
      );
      entity.send(eventCommand("e", 2n));
      assert.equal(messageOf(eventReply(await entity.message())), "e:!n 1");
      entity.end();
      await entity.completed();
    });

    test("begins with a snapshot, and counts from there", async () => {
      const entity = openEvents("e", { sequence: 7n, state: text.toAny("so far") }, [int64.toAny(1n)]);
      entity.send(eventCommand("e", 1n));
      assert.equal(messageOf(eventReply(await entity.message())), "so far+1 8");
      entity.send(eventCommand("e", 2n, "forward"));
      assert.equal(text.fromAny(eventReply(await entity.message()).snapshot!), "so far+1+5");
      entity.end();
      await entity.completed();
    });

    test("makes no snapshots when it is told so", async () => {
      const entity = caller.open(EventSourced.method.handle);
      entity.send({ message: { case: "init", value: { serviceName: EventSourcedTwo.typeName, entityId: "n" } } });
      const emits = Array.from({ length: 200 }, () => "emit" as const);
      entity.send(eventCommand("n", 1n, ...emits));
      const { snapshot, events, clientAction } = eventReply(await entity.message());
      assert.deepEqual([snapshot, events.length], [undefined, 200]);
      assert.equal(
        clientAction?.action.case === "reply" && clientAction.action.value.metadata?.entries[0]?.key,
        "kind",
      );
      entity.end();
      await entity.completed();
    });

    test("asks to begin anew when it refuses after it has emitted, and takes no more commands", async () => {
      const entity = caller.open(EventSourced.method.handle);
      entity.send({ message: { case: "init", value: { serviceName: EventSourcedTwo.typeName, entityId: "n" } } });
      const refusal = async (...what: ("emit" | "fail")[]) => {
        entity.send(eventCommand("n", 1n, ...what));
        const { clientAction, events, snapshot } = eventReply(await entity.message());
        assert.deepEqual([events.length, snapshot], [0, undefined]);
        assert.equal(clientAction?.action.case, "failure");
        return clientAction.action.value.restart;
      };
      assert.equal(await refusal("fail", "emit"), false);
      assert.equal(await refusal("emit", "fail"), true);
      entity.send(eventCommand("n", 3n));
      assert.equal((await entity.message()).message.case, "failure");
      await entity.completed();
      assert.match(String(reported.pop()), /a command came to a stream that was to be ended/);
    });

    test("ends its stream with a failure when its handler has a defect, or the proxy breaks the protocol", async () => {
      const init = { message: { case: "init", value: { serviceName: EventSourcedTckModel.typeName } } };
      const event = (sequence: bigint, any = int64.toAny(1n)) => ({
        message: { case: "event", value: { sequence, payload: any } },
      });
      for (const [messages, commandId, cause] of [
        [[init, eventCommand("", 3n, "emit", "fail")], 3n, /a defect/],
        [[init, eventCommand("", 3n, "wrong")], 3n, /did not declare the event/],
        [[event(1n)], 0n, /before init/],
        [[init, init], 0n, /initialised twice/],
        [[init, event(2n)], 0n, /event 2 came after event 0/],
        [[init, event(1n), event(1n)], 0n, /event 1 came after event 1/],
        [[init, event(1n, double.toAny(1))], 0n, /no event type for p\.cloudstate\.io\/double/],
        [[init, { message: { case: "event", value: { sequence: 1n } } }], 0n, /no payload/],
        [[{ message: { case: "init", value: { serviceName: "nobody" } } }], 0n, /no event-sourced entity nobody/],
        [[{}], 0n, /without content/],
      ] as const) {
        const entity = caller.open(EventSourced.method.handle);
        for (const message of messages) entity.send(message as MessageInitShape<typeof EventSourcedStreamInSchema>);
        const { message } = await entity.message();
        assert.equal(message.case, "failure");
        assert.equal(message.value.commandId, commandId);
        await entity.completed();
        assert.match(String(reported.pop()), cause);
      }
    });

    test("takes no event after a command", async () => {
      const entity = openEvents("late");
      entity.send(eventCommand("late", 1n));
      await entity.message();
      entity.send({ message: { case: "event", value: { sequence: 1n, payload: int64.toAny(1n) } } });
      assert.equal((await entity.message()).message.case, "failure");
      await entity.completed();
      assert.match(String(reported.pop()), /event 1 came after a command/);
    });
  });

  test("an action gets events as they are, and calls of clients without their wrapping", async () => {
    const event = json<object>("Event").toAny({});
    const metadata = { entries: [{ key: "ce-subject", value: { case: "stringValue" as const, value: "id" } }] };
    const to = { serviceName: EventLogSubscriberModel.typeName, name: "ProcessAnyEvent" };
    const call = caller.start(ActionProtocol.method.handleUnary, { ...to, payload: event, metadata });
    const { response } = await call.message();
    assert.equal(response.case, "reply");
    assert.match(Buffer.from(response.value.payload!.value).toString(), /id[^]*json\.cloudstate\.io\/Event$/);
  });

  function openValue(entityId: string, value?: Any) {
    const entity = caller.open(ValueEntity.method.handle);
    entity.send(openedWith(value, entityId));
    return entity;
  }

  function openEvents(entityId: string, kept?: { sequence: bigint; state: Any }, events: readonly Any[] = []) {
    const entity = caller.open(EventSourced.method.handle);
    const serviceName = EventSourcedTckModel.typeName;
    const snapshot = kept && { snapshotSequence: kept.sequence, snapshot: kept.state };
    entity.send({ message: { case: "init", value: { serviceName, entityId, ...(snapshot && { snapshot }) } } });
    let sequence = kept?.sequence ?? 0n;
    for (const event of events) {
      sequence += 1n;
      entity.send({ message: { case: "event", value: { sequence, payload: event } } });
    }
    return entity;
  }
});

test("a declaration that cannot be served is refused", () => {
  const options = { state: text, initial: () => "", events: [text], apply: (state: string) => state } as const;
  assert.throws(
    () => eventSourcedEntity(EventSourcedTwo, { ...options, handlers: {} as never }),
    /no handler named call/,
  );
  assert.throws(
    () => eventSourcedEntity(EventSourcedTwo, { ...options, snapshotEvery: -1, handlers: { call: () => ({}) } }),
    /snapshotEvery is a number of events, 0 for no snapshots, but it is -1/,
  );
  assert.throws(
    () => valueEntity(ValueEntityTckModel, { state: text, initial: () => "", handlers: {} as never }),
    /no handler named process/,
  );
});

test("JSON documents travel by their name, and no others are read", () => {
  const documents = json<{ b: number; a: { d: null; c: string[] } }>("Doc");
  const any = documents.toAny({ b: 1, a: { d: null, c: ["x"] } });
  assert.equal(any.typeUrl, "json.cloudstate.io/Doc");
  assert.equal(Buffer.from(any.value).subarray(2).toString(), '{"a":{"c":["x"],"d":null},"b":1}');
  assert.deepEqual(documents.fromAny(any), { b: 1, a: { d: null, c: ["x"] } });
  assert.throws(() => documents.fromAny({ ...any, typeUrl: "json.cloudstate.io/Other" }), /expected json/);
  assert.throws(() => json("Doc").toAny(undefined), /no JSON document/);
  assert.equal(float.fromAny(float.toAny(0.5)), 0.5);
  assert.equal(Buffer.from(float.toAny(0.5).value).toString("hex"), "0d0000003f");
});

function valueReply({ message }: ValueEntityStreamOut): ValueEntityReply {
  assert.equal(message.case, "reply");
  return message.value;
}

function eventReply({ message }: EventSourcedStreamOut): EventSourcedReply {
  assert.equal(message.case, "reply");
  return message.value;
}

/** The message that a reply answers; the responses of both models are alike. */
function messageOf({ clientAction }: ValueEntityReply | EventSourcedReply): string {
  assert.equal(clientAction?.action.case, "reply");
  return fromBinary(ResponseSchema, clientAction.action.value.payload!.value).message;
}

/** Type URL and bytes of the value that a reply has stored. */
function stored({ stateAction }: ValueEntityReply): string[] {
  assert.equal(stateAction?.action.case, "update");
  const { typeUrl, value } = stateAction.action.value.value!;
  return [typeUrl, Buffer.from(value).toString()];
}

function openedWith(value: Any | undefined, entityId = ""): MessageInitShape<typeof ValueEntityStreamInSchema> {
  const serviceName = ValueEntityTckModel.typeName;
  return { message: { case: "init", value: { serviceName, entityId, state: value ? { value } : {} } } };
}

function valueCommand(entityId: string, id: bigint, what: "update" | "delete" | "effect" | "fail", value: object) {
  const request = payload(RequestSchema, { id: entityId, actions: [{ action: { case: what, value } }] });
  return { message: { case: "command" as const, value: { entityId, id, name: "Process", payload: request } } };
}

function eventCommand(
  entityId: string,
  id: bigint,
  ...what: ("emit" | "wrong" | "note" | "forward" | "effect" | "fail")[]
) {
  const actions = what.map((name) =>
    name === "emit" || name === "wrong" || name === "note"
      ? { action: { case: "emit" as const, value: { value: name === "emit" ? "x" : name } } }
      : { action: { case: name, value: { id: "id" } } },
  ) as MessageInitShape<typeof EventSourcedRequestSchema>["actions"];
  const request = payload(EventSourcedRequestSchema, { id: entityId, ...(actions && { actions }) });
  return {
    message: {
      case: "command" as const,
      value: { entityId, id, name: entityId === "n" ? "Call" : "Process", payload: request },
    },
  };
}
