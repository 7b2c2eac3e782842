import { type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Crdt, type CrdtStreamOutSchema } from "../../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { payload } from "../action-words.ts";
import {
  answered,
  commandOf,
  deleted,
  effects,
  failed,
  forwarded,
  initOf,
  type Reply,
  updated,
} from "../crdt-stream.ts";
import {
  type Action,
  ask,
  change,
  type Delta,
  effectTo,
  erase,
  fail,
  forwardTo,
  state,
  type State,
  update,
} from "../crdt-words.ts";
import {
  CrdtConfigured,
  CrdtTckModel,
  CrdtTwo,
  RequestSchema,
  ResponseSchema,
  StreamedRequestSchema,
} from "../gen/tck/crdt_pb.ts";
import { ok, post } from "../http.ts";
import { same } from "../plain.ts";
import { RecordedStream } from "../recorded.ts";
import { type Case, proxyCase, type ProxyStage } from "../stage.ts";

const { process, processStreamed } = CrdtTckModel.method;

/** What was recorded of one CRDT entity. */
class Recorded {
  readonly #stream: RecordedStream<typeof Crdt.method.handle>;
  readonly #id: string;

  private constructor(stream: RecordedStream<typeof Crdt.method.handle>, id: string) {
    this.#stream = stream;
    this.#id = id;
  }

  static async open(stage: ProxyStage, service: string, id: string, delta?: Delta): Promise<Recorded> {
    return new Recorded(await RecordedStream.open(stage, Crdt.method.handle, initOf(service, id, delta)), id);
  }

  out(message: MessageInitShape<typeof CrdtStreamOutSchema>): Promise<void> {
    return this.#stream.out(message);
  }

  /** A command, whole. */
  command<Desc extends DescMessage>(id: bigint, name: string, schema: Desc, request: MessageInitShape<Desc>) {
    const streamed = name === "ProcessStreamed";
    return this.#stream.in(commandOf({ entityId: this.#id, id, name, payload: payload(schema, request), streamed }));
  }

  reply(commandId: bigint, reply: Reply): Promise<void> {
    return this.out({ message: { case: "reply", value: { commandId, ...reply } } });
  }

  /** A command with actions, and its reply. */
  async exchange(id: bigint, actions: readonly Action[], reply: Reply, name = "Process"): Promise<void> {
    await this.command(id, name, RequestSchema, { id: this.#id, actions: [...actions] });
    await this.reply(id, reply);
  }

  async streamed(commandId: bigint, state: State): Promise<void> {
    await this.out({ message: { case: "streamedMessage", value: { commandId, ...answered(state) } } });
  }

  cancelled(id: bigint): Promise<void> {
    return this.#stream.in({ message: { case: "streamCancelled", value: { entityId: this.#id, id } } });
  }

  closed(): Promise<void> {
    return this.#stream.closed();
  }
}

/** Calls the model, and judges the state that the client gets. */
async function expectState(
  stage: ProxyStage,
  id: string,
  actions: readonly Action[],
  wanted: State | undefined,
): Promise<void> {
  const call = stage.client.start(process, { id, actions: [...actions] });
  await call.expect(wanted ? { state: wanted } : {});
  await call.completed();
}

const emptyAnswer: Reply = {
  clientAction: { action: { case: "reply", value: { payload: payload(ResponseSchema, {}) } } },
};

/** C83–C88: what a proxy makes of calls to a CRDT entity. */
export const crdtProxyCases: readonly Case[] = [
  proxyCase("C83", "CRDT: state changes through the proxy", async (stage) => {
    const id = stage.fresh("PNCounter");
    const { pncounter } = state;
    const [two, five] = [[update(ask.pncounter(2n))], [update(ask.pncounter(5n))]];
    await expectState(stage, id, [], pncounter(0n));
    const recorded = await Recorded.open(stage, CrdtTckModel.typeName, id);
    await recorded.exchange(1n, [], answered(pncounter(0n)));
    await expectState(stage, id, two, pncounter(2n));
    await recorded.exchange(2n, two, { ...answered(pncounter(2n)), stateAction: updated(change.pncounter(2n)) });
    await expectState(stage, id, five, pncounter(7n));
    await recorded.exchange(3n, five, { ...answered(pncounter(7n)), stateAction: updated(change.pncounter(5n)) });
    await expectState(stage, id, [erase], pncounter(7n));
    await recorded.exchange(4n, [erase], { ...answered(pncounter(7n)), stateAction: deleted });
    await recorded.closed();
  }),

  proxyCase("C84", "CRDT: forward and effect through the proxy", async (stage) => {
    const id = stage.fresh("GSet");
    const { gset } = state;
    const one = [update(ask.gset("one"))];
    await expectState(stage, id, one, gset("one"));
    const first = await Recorded.open(stage, CrdtTckModel.typeName, id);
    await first.exchange(1n, one, { ...answered(gset("one")), stateAction: updated(change.gset("one")) });

    await expectState(stage, id, [forwardTo(id)], undefined);
    await first.exchange(2n, [forwardTo(id)], forwarded(id));
    const second = await Recorded.open(stage, CrdtTwo.typeName, id);
    await second.exchange(1n, [], emptyAnswer, "Call");

    await expectState(stage, id, [effectTo(id)], gset("one"));
    await first.exchange(3n, [effectTo(id)], { ...answered(gset("one")), sideEffects: effects([id, false]) });
    await second.exchange(2n, [], emptyAnswer, "Call");

    await expectState(stage, id, [erase], gset("one"));
    await first.exchange(4n, [erase], { ...answered(gset("one")), stateAction: deleted });
    await first.closed();
    const call = stage.client.start(CrdtTwo.method.call, { id, actions: [erase] });
    await call.expect({});
    await call.completed();
    await second.exchange(3n, [erase], { ...emptyAnswer, stateAction: deleted }, "Call");
    await second.closed();
  }),

  proxyCase("C85", "CRDT: failure through the proxy", async (stage) => {
    const id = stage.fresh("GCounter");
    const { gcounter } = state;
    const increment = [update(ask.gcounter(42n))];
    const failing = [fail("expected failure")];
    await expectState(stage, id, increment, gcounter(42n));
    const recorded = await Recorded.open(stage, CrdtTckModel.typeName, id);
    await recorded.exchange(1n, increment, { ...answered(gcounter(42n)), stateAction: updated(change.gcounter(42n)) });
    const call = stage.client.start(process, { id, actions: failing });
    same(await call.failure(), "expected failure", "description");
    await recorded.exchange(2n, failing, failed(2n, "expected failure"));
    await expectState(stage, id, [erase], gcounter(42n));
    await recorded.exchange(3n, [erase], { ...answered(gcounter(42n)), stateAction: deleted });
    await recorded.closed();
  }),

  proxyCase("C86", "CRDT: streaming through the proxy", (stage) => streaming(stage)),

  proxyCase("C87", "CRDT: JSON over HTTP", async (stage) => {
    const id = stage.fresh("PNCounter");
    const path = `/tck/model/crdt/${id}`;
    const { pncounter } = state;
    const counted = (value: bigint) => ok(`{"state":{"pncounter":{"value":"${value}"}}}`);
    same(await post(stage, path, {}), counted(0n), "an empty request");
    const recorded = await Recorded.open(stage, CrdtTckModel.typeName, id);
    await recorded.exchange(1n, [], answered(pncounter(0n)));

    same(await post(stage, `/${CrdtTwo.typeName}/Call`, { id }), ok("{}"), "the generated route");
    const second = await Recorded.open(stage, CrdtTwo.typeName, id);
    await second.exchange(1n, [], emptyAnswer, "Call");

    let [command, sum] = [1n, 0n];
    const changing = async (by: bigint) => {
      sum += by;
      const document = { actions: [{ update: { pncounter: { change: Number(by) } } }] };
      same(await post(stage, path, document), counted(sum), "a change");
      const reply = { ...answered(pncounter(sum)), stateAction: updated(change.pncounter(by)) };
      await recorded.exchange(++command, [update(ask.pncounter(by))], reply);
    };
    await changing(42n);
    const { status, body } = await post(stage, path, { actions: [{ fail: { message: "expected failure" } }] });
    same({ status, body }, { status: 500, body: "expected failure" }, "a failure");
    command += 1n;
    await recorded.exchange(command, [fail("expected failure")], failed(command, "expected failure"));
    await changing(-123n);
    same(await post(stage, path, { actions: [{ delete: {} }] }), counted(-81n), "a delete");
    await recorded.exchange(++command, [erase], { ...answered(pncounter(-81n)), stateAction: deleted });
    await recorded.closed();
  }),

  proxyCase("C88", "CRDT: passivation through the proxy", async (stage) => {
    const id = stage.fresh("Configured");
    // The second time shows that a new stream begins again: with init, and with command 1.
    for (let round = 1; round <= 2; round += 1) {
      const call = stage.client.start(CrdtConfigured.method.call, { id });
      await call.expect({});
      await call.completed();
      const recorded = await Recorded.open(stage, CrdtConfigured.typeName, id);
      await recorded.exchange(1n, [], emptyAnswer, "Call");
      await recorded.closed();
    }
  }),
];

async function streaming(stage: ProxyStage): Promise<void> {
  const id = stage.fresh("Vote");
  const { vote } = state;
  const [off, on] = [vote(false, 0, 1), vote(true, 1, 1)];

  const monitor = stage.client.start(processStreamed, { id });
  await monitor.expect({ state: off });
  const recorded = await Recorded.open(stage, CrdtTckModel.typeName, id);
  await recorded.command(1n, "ProcessStreamed", StreamedRequestSchema, { id });
  await recorded.reply(1n, { ...answered(off), streamed: true });

  const request = { id, initialUpdate: ask.vote(true), cancelUpdate: ask.vote(false), empty: true };
  const connect = stage.client.start(processStreamed, request);
  await connect.silent(100);
  await monitor.expect({ state: on });
  await recorded.command(2n, "ProcessStreamed", StreamedRequestSchema, request);
  await recorded.reply(2n, { stateAction: updated(change.vote(true)), streamed: true });
  await recorded.streamed(1n, on);

  connect.cancel();
  await monitor.expect({ state: off });
  await recorded.cancelled(2n);
  const response = { commandId: 2n, stateAction: updated(change.vote(false)) };
  await recorded.out({ message: { case: "streamCancelledResponse", value: response } });
  await recorded.streamed(1n, off);

  monitor.cancel();
  await recorded.cancelled(1n);
  await recorded.out({ message: { case: "streamCancelledResponse", value: { commandId: 1n } } });

  await expectState(stage, id, [erase], off);
  await recorded.exchange(3n, [erase], { ...answered(off), stateAction: deleted });
  await recorded.closed();
}
