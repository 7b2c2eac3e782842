import assert from "node:assert/strict";
import { join } from "node:path";
import { suite, test } from "node:test";
import { create, type DescMethodUnary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import type { Proxy } from "../lib/proxy.ts";
import {
  action,
  eventSourcedEntity,
  Failure,
  forward,
  json,
  type RunningFunction,
  serve,
  text,
} from "../lib/sdk/index.ts";
import {
  type EmitEventRequest,
  EmitEventRequestSchema,
  EventLogSubscriberModel,
  EventOneSchema,
  EventSourcedEntityOne,
  EventSourcedEntityTwo,
  EventTwoSchema,
  JsonEventSchema,
  type ProcessStep,
} from "./conformance/gen/tck/event_log_eventing_pb.ts";
import { until } from "./eventing-harness.ts";
import { openTestProxy } from "./proxy-stage.ts";
import { temporaryFolder } from "./store-harness.ts";

interface JsonMessage {
  readonly message: string;
}

const jsonEvent = json<JsonMessage>(JsonEventSchema.typeName);

/** Two entities and what subscribes to their events; `called` tells of its calls in order. */
function subscriberFunction(called: string[]) {
  const answer = (step: ProcessStep | undefined, id: string) => {
    const message = step?.step.value?.message ?? "";
    if (message === "fail") return new Failure("as asked");
    return step?.step.case === "forward"
      ? forward(EventLogSubscriberModel.method.effect, { id, message })
      : { id, message };
  };
  const subject = ({ metadata }: { readonly metadata: { get(key: string): string | undefined } }) =>
    metadata.get("ce-subject") ?? "";
  return [
    action(EventLogSubscriberModel, {
      processEventOne: ({ step }, context) => {
        called.push(`ProcessEventOne ${subject(context)} ${step?.step.value?.message ?? ""}`);
        return answer(step, subject(context));
      },
      processEventTwo: async function* ({ step }, context) {
        called.push(`ProcessEventTwo ${subject(context)}`);
        for (const each of step) yield await Promise.resolve(answer(each, subject(context)));
      },
      effect: ({ id, message }) => {
        called.push(`Effect ${id} ${message}`);
        return { id, message };
      },
      processAnyEvent: (event, context) => {
        const { message } = jsonEvent.fromAny(event);
        called.push(`ProcessAnyEvent ${event.typeUrl} ${subject(context)} ${message}`);
        return { id: subject(context), message };
      },
    }),
    eventSourcedEntity(EventSourcedEntityOne, {
      persistenceId: "eventlogeventing-one",
      state: text,
      initial: () => "",
      events: [EventOneSchema, EventTwoSchema],
      apply: (state) => state,
      handlers: {
        emitEvent: ({ event }, { emit }) => {
          if (event.case === "eventOne") emit(EventOneSchema, event.value);
          if (event.case === "eventTwo") emit(EventTwoSchema, event.value);
          return {};
        },
      },
    }),
    eventSourcedEntity(EventSourcedEntityTwo, {
      persistenceId: "eventlogeventing-two",
      state: text,
      initial: () => "",
      events: [jsonEvent],
      apply: (state) => state,
      handlers: {
        emitJsonEvent: ({ message }, { emit }) => {
          emit(jsonEvent, { message });
          return {};
        },
      },
    }),
  ];
}

function openBefore(port: number, env: Readonly<Record<string, string>> = {}): Promise<Proxy> {
  return openTestProxy(port, { MASSA_EVENTING_BACKOFF_MAX: "100ms", ...env });
}

class Staged implements AsyncDisposable {
  readonly called: string[] = [];
  #function: RunningFunction | undefined;
  #proxy: Proxy | undefined;
  #client: Client | undefined;

  static async open(env: Readonly<Record<string, string>> = {}): Promise<Staged> {
    const staged = new Staged();
    await staged.startFunction();
    await staged.startProxy(env);
    return staged;
  }

  async startProxy(env: Readonly<Record<string, string>>): Promise<void> {
    const proxy = await openBefore(this.#function!.port, env);
    this.#proxy = proxy;
    await until(() => proxy.reasons.length === 0, "a proxy that is ready");
    this.#client = new Client(`127.0.0.1:${proxy.frontPort!}`, credentials.createInsecure());
  }

  async stopProxy(): Promise<void> {
    this.#client?.close();
    await this.#proxy?.[Symbol.asyncDispose]();
  }

  async startFunction(port = 0): Promise<void> {
    this.#function = await serve({ services: subscriberFunction(this.called), port });
  }

  /** Ends the function and gives the port that it had. */
  async stopFunction(): Promise<number> {
    const { port } = this.#function!;
    await this.#function!.stop(0);
    await until(() => this.#proxy!.reasons.length > 0, "a proxy that misses its function");
    return port;
  }

  call(method: DescMethodUnary, input: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const identity = (bytes: Buffer) => bytes;
    this.#client!.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      identity,
      identity,
      Buffer.from(input),
      (error) => (error ? reject(error) : resolve(undefined)),
    );
    return promise;
  }

  emit(id: string, event: EmitEventRequest["event"]): Promise<void> {
    const input = toBinary(EmitEventRequestSchema, create(EmitEventRequestSchema, { id, event }));
    return this.call(EventSourcedEntityOne.method.emitEvent, input);
  }

  emitOne(id: string, step: "reply" | "forward", message: string): Promise<void> {
    const value = create(EventOneSchema, { step: { step: { case: step, value: { message } } } });
    return this.emit(id, { case: "eventOne", value });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopProxy();
    await this.#function?.stop(0);
  }
}

suite("event logs behind a real proxy", () => {
  test("events of entities come to their subscribers: by type, forwarded, streamed, as JSON", async () => {
    await using staged = await Staged.open();
    const { called } = staged;
    await staged.emitOne("e:1", "reply", "some message");
    await until(() => called.length === 1, "the first");
    await staged.emitOne("e:2", "forward", "on it goes");
    await until(() => called.length === 3, "the forward");
    const steps = ["a", "b"].map((message) => ({ step: { case: "reply" as const, value: { message } } }));
    await staged.emit("e:3", { case: "eventTwo", value: create(EventTwoSchema, { step: steps }) });
    await until(() => called.length === 4, "the streamed one");
    const event = toBinary(JsonEventSchema, create(JsonEventSchema, { id: "e:4", message: "some json" }));
    await staged.call(EventSourcedEntityTwo.method.emitJsonEvent, event);
    await until(() => called.length === 5, "the JSON");
    assert.deepEqual(called, [
      "ProcessEventOne e:1 some message",
      "ProcessEventOne e:2 on it goes",
      "Effect e:2 on it goes",
      "ProcessEventTwo e:3",
      `ProcessAnyEvent json.cloudstate.io/${JsonEventSchema.typeName} e:4 some json`,
    ]);
  });

  test("a failure is acknowledged, and a function that comes back gets what it has not answered", async () => {
    await using staged = await Staged.open();
    const { called } = staged;
    for (const message of ["1", "fail", "3"]) await staged.emitOne("e", "reply", message);
    await until(() => called.length === 3, "all three");
    const port = await staged.stopFunction();
    const late = staged.emitOne("e", "reply", "4");
    await staged.startFunction(port);
    await late;
    await until(() => called.length === 4, "the fourth");
    assert.deepEqual(
      called.map((call) => call.split(" ").at(-1)),
      ["1", "fail", "3", "4"],
    );
  });

  test("a proxy that is started again on its file goes on after the last event that was answered", async () => {
    using folder = temporaryFolder();
    const env = { MASSA_STORE: `file:${join(folder.path, "massa.db")}` };
    await using staged = await Staged.open(env);
    const { called } = staged;
    for (let number = 0; number < 30; number += 1) await staged.emitOne(`e:${number % 4}`, "reply", `${number}`);
    await until(() => called.length === 30, "all thirty");
    await staged.stopProxy();
    await staged.startProxy(env);
    await staged.emitOne("e:1", "reply", "30");
    await until(() => called.length === 31, "the next");
    assert.deepEqual(
      called.map((call) => Number(call.split(" ").at(-1))).sort((left, right) => left - right),
      Array.from({ length: 31 }, (_, number) => number),
    );
  });

  test("a proxy of which several are expected ends when its store is not shared, unless that is accepted", async () => {
    const called: string[] = [];
    await using running = await serve({ services: subscriberFunction(called), port: 0 });
    await using refused = await openBefore(running.port, { MASSA_MESH_EXPECT: "2" });
    const failure = await refused.failed;
    assert.match(failure.message, /EventSourcedEntityOne keeps .* 2 proxies are expected \(mesh\.expect/);
    assert.equal(refused.frontPort, undefined);
    await using accepted = await openBefore(running.port, { MASSA_MESH_EXPECT: "2", MASSA_STORE_SHARED: "false" });
    await until(() => accepted.reasons.length === 0, "one that is ready");
  });
});
