import { ValueEntity } from "../../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { payload } from "../action-words.ts";
import type { Call } from "../call.ts";
import { discovered } from "../discovered.ts";
import { RequestSchema, ValueEntityTckModel } from "../gen/tck/value_entity_pb.ts";
import { same } from "../plain.ts";
import { type Case, modelCase, type Stage } from "../stage.ts";
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

/** An entity's stream, spoken with the function as a proxy would. */
class Stream {
  readonly #id: string;
  readonly #call: Call<typeof ValueEntity.method.handle>;
  #commands = 0n;

  constructor(stage: Stage, id: string, value?: string) {
    this.#id = id;
    this.#call = stage.function.open(ValueEntity.method.handle);
    this.#call.send(initOf(ValueEntityTckModel.typeName, id, value));
  }

  /** Sends a command and judges the whole reply. */
  async command(actions: readonly Action[], reply: Reply): Promise<void> {
    const id = ++this.#commands;
    const request = payload(RequestSchema, { id: this.#id, actions: [...actions] });
    const command = { entityId: this.#id, id, name: "Process", payload: request };
    this.#call.send({ message: { case: "command", value: command } });
    await this.#call.expect({ message: { case: "reply", value: { commandId: id, ...reply } } });
  }

  async passivate(): Promise<void> {
    this.#call.end();
    await this.#call.completed();
  }
}

/** A case of one entity; each stream that it opens is passivated by it. */
function onStream(number: string, title: string, run: (open: (value?: string) => Stream) => Promise<void>): Case {
  return modelCase(number, `value entity: ${title}`, (stage) => {
    const id = stage.fresh("value");
    return run((value) => new Stream(stage, id, value));
  });
}

/** Commands on one stream, each with its reply. */
function exchange(number: string, title: string, ...steps: (readonly [readonly Action[], Reply])[]): Case {
  return onStream(number, title, async (open) => {
    const entity = open();
    for (const [actions, reply] of steps) await entity.command(actions, reply);
    await entity.passivate();
  });
}

const package_ = "cloudstate.tck.model.valueentity";

/** V1–V19. */
export const valueModelCases: readonly Case[] = [
  modelCase("V1", "value entity: discovery", async (stage) => {
    const { entities } = await discovered(stage.function);
    for (const [name, persistenceId] of [
      ["ValueEntityTckModel", "value-entity-tck-model"],
      ["ValueEntityTwo", "value-entity-tck-model-two"],
    ] as const) {
      const entity = entities.find(({ serviceName }) => serviceName === `${package_}.${name}`);
      same(entity?.entityType, "cloudstate.valueentity.ValueEntity", `the type of ${name}`);
      same(entity?.persistenceId, persistenceId, `the persistence id of ${name}`);
    }
  }),
  modelCase("V2", "value entity: passivation timeout", async (stage) => {
    const { entities } = await discovered(stage.function);
    const entity = entities.find(({ serviceName }) => serviceName === `${package_}.ValueEntityConfigured`);
    same(entity?.entityType, "cloudstate.valueentity.ValueEntity", "the type of ValueEntityConfigured");
    same(entity?.persistenceId, "value-entity-configured", "its persistence id");
    same(entity?.passivationStrategy?.strategy.value?.timeout, 100n, "its timeout");
  }),
  exchange("V3", "empty", [[], answered("")]),
  exchange("V4", "update", [[set("A")], answered("A", updated("A"))], [[], answered("A")]),
  exchange(
    "V5",
    "delete",
    [[set("A")], answered("A", updated("A"))],
    [[erase], answered("", deleted)],
    [[], answered("")],
  ),
  exchange("V6", "several updates", [[set("A"), set("B"), set("C")], answered("C", updated("C"))], [[], answered("C")]),
  exchange("V7", "updates, then a delete", [[set("A"), set("B"), erase], answered("", deleted)], [[], answered("")]),
  exchange(
    "V8",
    "update, delete, update",
    [[set("A"), erase, set("B")], answered("B", updated("B"))],
    [[], answered("B")],
  ),
  onStream("V9", "rehydration", async (open) => {
    const entity = open();
    for (const value of ["A", "B", "C", "D"]) await entity.command([set(value)], answered(value, updated(value)));
    await entity.passivate();
    const again = open("D");
    await again.command([set("E")], answered("E", updated("E")));
    await again.command([], answered("E"));
    await again.passivate();
  }),
  exchange("V10", "three effects", [
    [effectTo("1"), effectTo("2"), effectTo("3")],
    { ...answered(""), ...effects(["1", false], ["2", false], ["3", false]) },
  ]),
  exchange(
    "V11",
    "effect",
    [[set("X")], answered("X", updated("X"))],
    [[effectTo("id")], { ...answered("X"), ...effects(["id", false]) }],
    [[], answered("X")],
  ),
  exchange("V12", "effects with changes", [
    [set("A"), effectTo("1"), set("B"), effectTo("2"), set("C"), effectTo("3"), set("D"), set("E")],
    { ...answered("E", updated("E")), ...effects(["1", false], ["2", false], ["3", false]) },
  ]),
  exchange("V13", "synchronous effect", [[effectTo("id", true)], { ...answered(""), ...effects(["id", true]) }]),
  exchange(
    "V14",
    "forward",
    [[set("X")], answered("X", updated("X"))],
    [[forwardTo("id")], forwarded("id")],
    [[], answered("X")],
  ),
  exchange("V15", "forward with a change", [[set("A"), forwardTo("id")], forwarded("id", updated("A"))]),
  exchange("V16", "forward and effect", [
    [forwardTo("id"), effectTo("other")],
    { ...forwarded("id"), ...effects(["other", false]) },
  ]),
  exchange("V17", "failure", [[fail("expected failure")], failed(1n, "expected failure")]),
  exchange(
    "V18",
    "goes on after a failure",
    [[set("A")], answered("A", updated("A"))],
    [[fail("expected failure")], failed(2n, "expected failure")],
    [[], answered("A")],
  ),
  exchange("V19", "effect, then failure", [[effectTo("id"), fail("expected failure")], failed(1n, "expected failure")]),
];
