import { ValueEntity } from "../../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { payload } from "../action-words.ts";
import {
  RequestSchema,
  ValueEntityConfigured,
  ValueEntityTckModel,
  ValueEntityTwo,
} from "../gen/tck/value_entity_pb.ts";
import { ok, post } from "../http.ts";
import { same } from "../plain.ts";
import { RecordedStream } from "../recorded.ts";
import { type Case, proxyCase, type ProxyStage } from "../stage.ts";
import {
  type Action,
  answered,
  deleted,
  effects,
  effectTo,
  erase,
  fail,
  failed,
  forwarded,
  forwardTo,
  initOf,
  type Reply,
  set,
  updated,
} from "../value-words.ts";

const { handle } = ValueEntity.method;
const { process } = ValueEntityTckModel.method;

/** What was recorded of one value entity. */
class Recorded {
  readonly #stream: RecordedStream<typeof handle>;
  readonly #id: string;
  #commands = 0n;

  constructor(stream: RecordedStream<typeof handle>, id: string) {
    this.#stream = stream;
    this.#id = id;
  }

  static async open(stage: ProxyStage, service: string, id: string): Promise<Recorded> {
    return new Recorded(await RecordedStream.open(stage, handle, initOf(service, id)), id);
  }

  /** The next command, and its reply, whole. */
  async exchange(actions: readonly Action[], reply: Reply, name = "Process"): Promise<void> {
    const id = ++this.#commands;
    const request = payload(RequestSchema, { id: this.#id, actions: [...actions] });
    await this.#stream.in({ message: { case: "command", value: { entityId: this.#id, id, name, payload: request } } });
    await this.#stream.out({ message: { case: "reply", value: { commandId: id, ...reply } } });
  }

  closed(): Promise<void> {
    return this.#stream.closed();
  }
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

/** V20–V24: what a proxy makes of calls to a value entity. */
export const valueProxyCases: readonly Case[] = [
  proxyCase("V20", "value entity: state changes through the proxy", async (stage) => {
    const id = stage.fresh("value-entity");
    const steps: readonly (readonly [readonly Action[], string, Reply["stateAction"]?])[] = [
      [[], ""],
      [[set("one")], "one", updated("one")],
      [[set("two")], "two", updated("two")],
      [[], "two"],
      [[erase], "", deleted],
      [[], ""],
      [[set("foo")], "foo", updated("foo")],
      [[erase], "", deleted],
    ];
    let recorded: Recorded | undefined;
    for (const [actions, message, change] of steps) {
      await expectMessage(stage, id, actions, message);
      recorded ??= await Recorded.open(stage, ValueEntityTckModel.typeName, id);
      await recorded.exchange(actions, answered(message, change));
    }
  }),

  proxyCase("V21", "value entity: forward and effect through the proxy", async (stage) => {
    const id = stage.fresh("value-entity");
    await expectMessage(stage, id, [set("one")], "one");
    const first = await Recorded.open(stage, ValueEntityTckModel.typeName, id);
    await first.exchange([set("one")], answered("one", updated("one")));

    await expectMessage(stage, id, [forwardTo(id)], "");
    await first.exchange([forwardTo(id)], forwarded(id));
    const second = await Recorded.open(stage, ValueEntityTwo.typeName, id);
    await second.exchange([], answered(""), "Call");

    await expectMessage(stage, id, [effectTo(id)], "one");
    await first.exchange([effectTo(id)], { ...answered("one"), ...effects([id, false]) });
    await second.exchange([], answered(""), "Call");

    await expectMessage(stage, id, [], "one");
    await first.exchange([], answered("one"));
  }),

  proxyCase("V22", "value entity: failure through the proxy", async (stage) => {
    const id = stage.fresh("value-entity");
    await expectMessage(stage, id, [set("one")], "one");
    const recorded = await Recorded.open(stage, ValueEntityTckModel.typeName, id);
    await recorded.exchange([set("one")], answered("one", updated("one")));
    await expectFailure(stage, id, [fail("expected failure")], "expected failure");
    await recorded.exchange([fail("expected failure")], failed(2n, "expected failure"));
    await expectMessage(stage, id, [], "one");
    await recorded.exchange([], answered("one"));
  }),

  proxyCase("V23", "value entity: JSON over HTTP", async (stage) => {
    const id = stage.fresh("value-entity");
    const path = `/tck/model/entity/${id}`;
    const update = (value: string) => ({ actions: [{ update: { value } }] });
    same(await post(stage, path, {}), ok('{"message":""}'), "an empty request");
    const recorded = await Recorded.open(stage, ValueEntityTckModel.typeName, id);
    await recorded.exchange([], answered(""));

    same(await post(stage, `/${ValueEntityTwo.typeName}/Call`, { id }), ok('{"message":""}'), "the generated route");
    const second = await Recorded.open(stage, ValueEntityTwo.typeName, id);
    await second.exchange([], answered(""), "Call");

    same(await post(stage, path, update("one")), ok('{"message":"one"}'), "an update");
    await recorded.exchange([set("one")], answered("one", updated("one")));
    const { status, body } = await post(stage, path, { actions: [{ fail: { message: "expected failure" } }] });
    same({ status, body }, { status: 500, body: "expected failure" }, "a failure");
    await recorded.exchange([fail("expected failure")], failed(3n, "expected failure"));
    same(await post(stage, path, update("two")), ok('{"message":"two"}'), "another update");
    await recorded.exchange([set("two")], answered("two", updated("two")));
    same(await post(stage, path, {}), ok('{"message":"two"}'), "the state");
    await recorded.exchange([], answered("two"));
  }),

  proxyCase("V24", "value entity: passivation through the proxy", async (stage) => {
    const id = stage.fresh("value-entity");
    // The second time shows that a new stream begins again: with init, and with command 1.
    for (let round = 1; round <= 2; round += 1) {
      same((await stage.client.unary(ValueEntityConfigured.method.call, { id })).message, "", "answer");
      const recorded = await Recorded.open(stage, ValueEntityConfigured.typeName, id);
      await recorded.exchange([], answered(""), "Call");
      await recorded.closed();
    }
  }),
];
