import { create } from "@bufbuild/protobuf";
import {
  EventSourced,
  type EventSourcedStreamOut,
  EventSourcedStreamOutSchema,
} from "../../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { payload } from "../action-words.ts";
import {
  type Action,
  answered,
  effects,
  effectTo,
  emit,
  eventOf,
  events,
  fail,
  failed,
  forwarded,
  forwardTo,
  initOf,
  type Reply,
  snapshot,
} from "../event-sourced-words.ts";
import {
  EventSourcedConfigured,
  EventSourcedTckModel,
  EventSourcedTwo,
  RequestSchema,
} from "../gen/tck/event_sourced_pb.ts";
import { ok, post } from "../http.ts";
import { same } from "../plain.ts";
import { RecordedStream } from "../recorded.ts";
import { type Case, proxyCase, type ProxyStage } from "../stage.ts";

const { handle } = EventSourced.method;
const { process } = EventSourcedTckModel.method;
const model = EventSourcedTckModel.typeName;

/** What was recorded of one event-sourced entity. */
class Recorded {
  readonly #stage: ProxyStage;
  readonly #id: string;
  #stream: RecordedStream<typeof handle>;
  #commands = 0n;

  private constructor(stage: ProxyStage, id: string, stream: RecordedStream<typeof handle>) {
    this.#stage = stage;
    this.#id = id;
    this.#stream = stream;
  }

  static async open(stage: ProxyStage, service: string, id: string): Promise<Recorded> {
    return new Recorded(stage, id, await RecordedStream.open(stage, handle, initOf(service, id)));
  }

  /** The next command, and its reply, whole. */
  async exchange(actions: readonly Action[], reply: Reply, name = "Process"): Promise<void> {
    const id = await this.#command(actions, name);
    await this.#stream.out({ message: { case: "reply", value: { commandId: id, ...reply } } });
  }

  /**
   * The next command, which failed. When the function asked for it, the stream must have been completed, and another one
   * begun at once, with all that is stored.
   */
  async failed(actions: readonly Action[], description: string, ...stored: string[]): Promise<void> {
    const id = await this.#command(actions, "Process");
    const said = await this.#stream.said();
    const restart = asksForRestart(said);
    const value = { commandId: id, ...failed(id, description, restart) };
    same(said, create(EventSourcedStreamOutSchema, { message: { case: "reply", value } }), "the failing reply");
    if (!restart) return;
    await this.#stream.closed();
    this.#stream = await RecordedStream.open(this.#stage, handle, initOf(model, this.#id));
    let sequence = 0n;
    for (const value of stored) await this.#stream.in(eventOf(++sequence, value));
    this.#commands = 0n;
  }

  closed(): Promise<void> {
    return this.#stream.closed();
  }

  async #command(actions: readonly Action[], name: string): Promise<bigint> {
    const id = ++this.#commands;
    const request = payload(RequestSchema, { id: this.#id, actions: [...actions] });
    await this.#stream.in({ message: { case: "command", value: { entityId: this.#id, id, name, payload: request } } });
    return id;
  }
}

function asksForRestart({ message }: EventSourcedStreamOut): boolean {
  const action = message.case === "reply" ? message.value.clientAction?.action : undefined;
  return action?.case === "failure" && action.value.restart;
}

async function expectMessage(
  stage: ProxyStage,
  id: string,
  actions: readonly Action[],
  message: string,
): Promise<void> {
  same((await stage.client.unary(process, { id, actions: [...actions] })).message, message, "answer");
}

async function expectFailure(stage: ProxyStage, id: string, actions: readonly Action[], wanted: string): Promise<void> {
  same(await stage.client.start(process, { id, actions: [...actions] }).failure(), wanted, "description");
}

const emits = (...values: string[]): Action[] => values.map(emit);

/** E22–E26: what a proxy makes of calls to an event-sourced entity. */
export const eventSourcedProxyCases: readonly Case[] = [
  proxyCase("E22", "event sourced: state changes through the proxy", async (stage) => {
    const id = stage.fresh("event-sourced");
    await expectMessage(stage, id, [], "");
    const recorded = await Recorded.open(stage, model, id);
    await recorded.exchange([], answered(""));
    let state = "";
    for (const values of [["A"], ["B", "C", "D"], ["E"], ["F", "G", "H", "I"], ["J", "K"]]) {
      const before = state.length;
      state += values.join("");
      const due = Math.floor(state.length / 5) > Math.floor(before / 5);
      await expectMessage(stage, id, emits(...values), state);
      const reply = { ...answered(state), ...events(...values), ...(due && snapshot(state)) };
      await recorded.exchange(emits(...values), reply);
    }
  }),

  proxyCase("E23", "event sourced: forward and effect through the proxy", async (stage) => {
    const id = stage.fresh("event-sourced");
    await expectMessage(stage, id, emits("one"), "one");
    const first = await Recorded.open(stage, model, id);
    await first.exchange(emits("one"), { ...answered("one"), ...events("one") });

    await expectMessage(stage, id, [forwardTo(id)], "");
    await first.exchange([forwardTo(id)], forwarded(id));
    const second = await Recorded.open(stage, EventSourcedTwo.typeName, id);
    await second.exchange([], answered(""), "Call");

    await expectMessage(stage, id, [effectTo(id)], "one");
    await first.exchange([effectTo(id)], { ...answered("one"), ...effects([id, false]) });
    await second.exchange([], answered(""), "Call");

    await expectMessage(stage, id, [], "one");
    await first.exchange([], answered("one"));
  }),

  proxyCase("E24", "event sourced: failures and restart through the proxy", async (stage) => {
    const id = stage.fresh("event-sourced");
    await expectMessage(stage, id, emits("1", "2", "3"), "123");
    const recorded = await Recorded.open(stage, model, id);
    await recorded.exchange(emits("1", "2", "3"), { ...answered("123"), ...events("1", "2", "3") });
    const plainly = [fail("expected failure")];
    await expectFailure(stage, id, plainly, "expected failure");
    await recorded.exchange(plainly, failed(2n, "expected failure"));
    await expectMessage(stage, id, [], "123");
    await recorded.exchange([], answered("123"));
    const between = [emit("4"), fail("another failure"), emit("5")];
    await expectFailure(stage, id, between, "another failure");
    await recorded.failed(between, "another failure", "1", "2", "3");
    await expectMessage(stage, id, emits("4", "5"), "12345");
    await recorded.exchange(emits("4", "5"), { ...answered("12345"), ...events("4", "5"), ...snapshot("12345") });
  }),

  proxyCase("E25", "event sourced: JSON over HTTP", async (stage) => {
    const id = stage.fresh("event-sourced");
    const path = `/tck/model/eventsourced/${id}`;
    const emitting = (value: string) => ({ emit: { value } });
    const failing = (message: string) => ({ fail: { message } });
    same(await post(stage, path, {}), ok('{"message":""}'), "an empty request");
    const recorded = await Recorded.open(stage, model, id);
    await recorded.exchange([], answered(""));

    same(await post(stage, `/${EventSourcedTwo.typeName}/Call`, { id }), ok('{"message":""}'), "the generated route");
    const second = await Recorded.open(stage, EventSourcedTwo.typeName, id);
    await second.exchange([], answered(""), "Call");

    same(await post(stage, path, { actions: [emitting("x")] }), ok('{"message":"x"}'), "an event");
    await recorded.exchange(emits("x"), { ...answered("x"), ...events("x") });
    const { status, body } = await post(stage, path, { actions: [failing("expected failure")] });
    same({ status, body }, { status: 500, body: "expected failure" }, "a failure");
    await recorded.exchange([fail("expected failure")], failed(3n, "expected failure"));
    same(await post(stage, path, { actions: [emitting("y")] }), ok('{"message":"xy"}'), "another event");
    await recorded.exchange(emits("y"), { ...answered("xy"), ...events("y") });
    const both = await post(stage, path, { actions: [emitting("z"), failing("emit then fail")] });
    same({ status: both.status, body: both.body }, { status: 500, body: "emit then fail" }, "an event and a failure");
    await recorded.failed([emit("z"), fail("emit then fail")], "emit then fail", "x", "y");
    same(await post(stage, path, { actions: [emitting("z")] }), ok('{"message":"xyz"}'), "an event after it");
    await recorded.exchange(emits("z"), { ...answered("xyz"), ...events("z") });
  }),

  proxyCase("E26", "event sourced: passivation through the proxy", async (stage) => {
    const id = stage.fresh("event-sourced");
    for (let round = 1; round <= 2; round += 1) {
      same((await stage.client.unary(EventSourcedConfigured.method.call, { id })).message, "", "answer");
      const recorded = await Recorded.open(stage, EventSourcedConfigured.typeName, id);
      await recorded.exchange([], answered(""), "Call");
      await recorded.closed();
    }
  }),
];
