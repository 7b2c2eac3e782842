import { create } from "@bufbuild/protobuf";
import { EventSourced, EventSourcedStreamOutSchema } from "../../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import { payload } from "../action-words.ts";
import type { Call } from "../call.ts";
import { discovered } from "../discovered.ts";
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
  type Snapshot,
  snapshot,
} from "../event-sourced-words.ts";
import { EventSourcedTckModel, RequestSchema } from "../gen/tck/event_sourced_pb.ts";
import { same } from "../plain.ts";
import { type Case, modelCase, type Stage } from "../stage.ts";

/** What an entity is begun with: a snapshot, and the events after it. */
interface Stored {
  readonly snapshot?: Snapshot;
  readonly events?: readonly string[];
}

/** An entity's stream, spoken with the function as a proxy would. */
class Stream {
  readonly #id: string;
  readonly #call: Call<typeof EventSourced.method.handle>;
  #commands = 0n;

  constructor(stage: Stage, id: string, stored: Stored) {
    this.#id = id;
    this.#call = stage.function.open(EventSourced.method.handle);
    this.#call.send(initOf(EventSourcedTckModel.typeName, id, stored.snapshot));
    let sequence = stored.snapshot?.sequence ?? 0n;
    for (const value of stored.events ?? []) this.#call.send(eventOf(++sequence, value));
  }

  /** Sends a command and judges the whole reply. */
  async command(actions: readonly Action[], reply: Reply): Promise<void> {
    this.#send(actions);
    await this.#call.expect({ message: { case: "reply", value: { commandId: this.#commands, ...reply } } });
  }

  /** Sends a command that must fail, and gives whether the function asks to begin anew. All else of the reply is judged. */
  async failing(actions: readonly Action[], description: string): Promise<boolean> {
    this.#send(actions);
    const { message } = await this.#call.message();
    const action = message.case === "reply" ? message.value.clientAction?.action : undefined;
    const restart = action?.case === "failure" && action.value.restart;
    const value = { ...failed(this.#commands, description, restart), commandId: this.#commands };
    const wanted = create(EventSourcedStreamOutSchema, { message: { case: "reply", value } });
    same(message, wanted.message, "the failing reply");
    return restart;
  }

  async passivate(): Promise<void> {
    this.#call.end();
    await this.#call.completed();
  }

  #send(actions: readonly Action[]): void {
    const id = ++this.#commands;
    const request = payload(RequestSchema, { id: this.#id, actions: [...actions] });
    this.#call.send({
      message: { case: "command", value: { entityId: this.#id, id, name: "Process", payload: request } },
    });
  }
}

/** A case of one entity; each stream that it opens is passivated by it. */
function onStream(number: string, title: string, run: (open: (stored?: Stored) => Stream) => Promise<void>): Case {
  return modelCase(number, `event sourced: ${title}`, (stage) => {
    const id = stage.fresh("event-sourced");
    return run((stored = {}) => new Stream(stage, id, stored));
  });
}

type Step = readonly [readonly Action[], Reply];

/** Commands on one stream, each with its reply. */
function exchange(number: string, title: string, ...steps: Step[]): Case {
  return onStream(number, title, async (open) => {
    const entity = open();
    for (const [actions, reply] of steps) await entity.command(actions, reply);
    await entity.passivate();
  });
}

const emits = (...values: string[]): Action[] => values.map(emit);
const letters = (to: string) => "ABCDEFGHIJK".slice(0, "ABCDEFGHIJK".indexOf(to) + 1);

/** Events A, B, C in one command. */
const abc: Step = [emits("A", "B", "C"), { ...answered("ABC"), ...events("A", "B", "C") }];
const nothing = (state: string): Step => [[], answered(state)];

/** E1–E21. */
export const eventSourcedModelCases: readonly Case[] = [
  modelCase("E1", "event sourced: discovery", async (stage) => {
    const { entities } = await discovered(stage.function);
    for (const name of ["EventSourcedTckModel", "EventSourcedTwo"]) {
      const entity = entities.find(({ serviceName }) => serviceName === `cloudstate.tck.model.${name}`);
      same(entity?.entityType, "cloudstate.eventsourced.EventSourced", `the type of ${name}`);
    }
    const model = entities.find(({ serviceName }) => serviceName === EventSourcedTckModel.typeName);
    same(model?.persistenceId, "event-sourced-tck-model", "the persistence id");
  }),
  modelCase("E2", "event sourced: passivation timeout", async (stage) => {
    const { entities } = await discovered(stage.function);
    const entity = entities.find(({ serviceName }) => serviceName === "cloudstate.tck.model.EventSourcedConfigured");
    same(entity?.entityType, "cloudstate.eventsourced.EventSourced", "the type of EventSourcedConfigured");
    same(entity?.persistenceId, "event-sourced-configured", "its persistence id");
    same(entity?.passivationStrategy?.strategy.value?.timeout, 100n, "its timeout");
  }),
  exchange("E3", "empty", nothing("")),
  exchange("E4", "one event", [emits("A"), { ...answered("A"), ...events("A") }], nothing("A")),
  exchange("E5", "several events", abc, nothing("ABC")),
  onStream("E6", "snapshots", async (open) => {
    const entity = open();
    const single = (letter: string): Step => [emits(letter), { ...answered(letters(letter)), ...events(letter) }];
    for (const letter of ["A", "B", "C", "D"]) await entity.command(...single(letter));
    const [five, reply] = single("E");
    await entity.command(five, { ...reply, ...snapshot("ABCDE") });
    await entity.command(emits("F", "G", "H"), { ...answered(letters("H")), ...events("F", "G", "H") });
    const last = { ...answered(letters("J")), ...events("I", "J"), ...snapshot(letters("J")) };
    await entity.command(emits("I", "J"), last);
    await entity.command(...single("K"));
    await entity.command(...nothing(letters("K")));
    await entity.passivate();
  }),
  onStream("E7", "begun with a snapshot", async (open) => {
    const entity = open({ snapshot: { sequence: 5n, value: "ABCDE" } });
    await entity.command(...nothing("ABCDE"));
    await entity.passivate();
  }),
  onStream("E8", "begun with a snapshot and events", async (open) => {
    const entity = open({ snapshot: { sequence: 5n, value: "ABCDE" }, events: ["F", "G"] });
    await entity.command(...nothing("ABCDEFG"));
    await entity.passivate();
  }),
  onStream("E9", "rehydration", async (open) => {
    const entity = open();
    await entity.command(...abc);
    await entity.command(emits("D", "E"), { ...answered("ABCDE"), ...events("D", "E"), ...snapshot("ABCDE") });
    await entity.command(emits("F"), { ...answered("ABCDEF"), ...events("F") });
    await entity.command(emits("G"), { ...answered("ABCDEFG"), ...events("G") });
    await entity.passivate();
    const again = open({ snapshot: { sequence: 5n, value: "ABCDE" }, events: ["F", "G"] });
    await again.command(...nothing("ABCDEFG"));
    await again.passivate();
  }),
  exchange("E10", "forward", abc, [[forwardTo("id")], forwarded("id")], nothing("ABC")),
  exchange("E11", "forward with an event", [[emit("A"), forwardTo("id")], { ...forwarded("id"), ...events("A") }]),
  exchange("E12", "forward with events and a snapshot", abc, [
    [...emits("D", "E"), forwardTo("id")],
    { ...forwarded("id"), ...events("D", "E"), ...snapshot("ABCDE") },
  ]),
  exchange("E13", "effect", abc, [[effectTo("id")], { ...answered("ABC"), ...effects(["id", false]) }], nothing("ABC")),
  exchange("E14", "synchronous effect", [[effectTo("id", true)], { ...answered(""), ...effects(["id", true]) }]),
  exchange("E15", "forward and effect", [
    [forwardTo("id"), effectTo("other")],
    { ...forwarded("id"), ...effects(["other", false]) },
  ]),
  exchange("E16", "three effects", [
    [effectTo("1"), effectTo("2"), effectTo("3")],
    { ...answered(""), ...effects(["1", false], ["2", false], ["3", false]) },
  ]),
  exchange("E17", "effects with events and a snapshot", [
    [emit("A"), effectTo("1"), ...emits("B", "C"), effectTo("2"), emit("D"), effectTo("3"), emit("E")],
    {
      ...answered("ABCDE"),
      ...events("A", "B", "C", "D", "E"),
      ...snapshot("ABCDE"),
      ...effects(["1", false], ["2", false], ["3", false]),
    },
  ]),
  exchange("E18", "failure", [[fail("expected failure")], failed(1n, "expected failure")]),
  exchange(
    "E19",
    "goes on after a failure",
    abc,
    [[fail("expected failure")], failed(2n, "expected failure")],
    nothing("ABC"),
  ),
  onStream("E20", "a failure drops events", async (open) => {
    let entity = open();
    const failing = async (actions: readonly Action[], ...stored: string[]) => {
      if (!(await entity.failing(actions, "expected failure"))) return;
      await entity.passivate();
      entity = open({ events: stored });
    };
    await entity.command(...abc);
    await failing([...emits("4", "5"), fail("expected failure")], "A", "B", "C");
    await entity.command(emits("D"), { ...answered("ABCD"), ...events("D") });
    await failing([emit("6"), fail("expected failure"), emit("7")], "A", "B", "C", "D");
    await entity.command(emits("E"), { ...answered("ABCDE"), ...events("E"), ...snapshot("ABCDE") });
    await entity.passivate();
  }),
  exchange("E21", "effect, then failure", [[effectTo("id"), fail("expected failure")], failed(1n, "expected failure")]),
];
