import { create, fromBinary, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ActionCommand,
  ActionProtocol,
  ActionResponseSchema,
} from "../../../lib/wire/gen/cloudstate/action_pb.ts";
import {
  answer,
  command,
  commandToTwo,
  E,
  e,
  emptyReply,
  following,
  type Groups,
  opening,
  r,
  request,
  x,
} from "../action-words.ts";
import { Extra } from "../gen/massa/extra_pb.ts";
import { ActionTckModel, ActionTwo, OtherRequestSchema } from "../gen/tck/action_pb.ts";
import { fetched, post } from "../http.ts";
import { same } from "../plain.ts";
import { framed, rawCall, rawLeave, statusOf, unframed } from "../raw-grpc.ts";
import { expectCancelled, expectIn, recordedUnary } from "../recorded-action.ts";
import { type Case, extraCase, type ProxyStage } from "../stage.ts";

const { handleUnary, handleStreamed } = ActionProtocol.method;
const { processUnary, processStreamed } = ActionTckModel.method;
const model = [ActionTckModel, ActionTwo];
const path = `/${ActionTckModel.typeName}/ProcessUnary`;

const isFor =
  (service: { readonly typeName: string }) =>
  (message: Message): boolean =>
    (message as ActionCommand).serviceName === service.typeName;

/** The next answer of the model becomes another one. */
function answers(stage: ProxyStage, response: MessageInitShape<typeof ActionResponseSchema>): void {
  stage.recorder.change(isFor(ActionTckModel), () => ({ messages: [create(ActionResponseSchema, response)] }));
}

const nowhere = { serviceName: "massa.conformance.Nowhere", commandName: "Go", payload: commandToTwo("x").payload! };
const onward: Groups = [[r("onward")]];

/** X17–X28: forwards, effects, metadata, deadlines and refusals. */
export const extraRoutingCases: readonly Case[] = [
  extraCase(
    "X17",
    "a forward to an unknown service fails the call, and is reported with its trace",
    model,
    async (stage) => {
      answers(stage, { response: { case: "forward", value: nowhere } });
      await stage.client.start(processUnary, request(onward)).failure();
      const report = await stage.recorder.report("Service [massa.conformance.Nowhere] unknown");
      same(
        report,
        `Service [massa.conformance.Nowhere] unknown\n  forwarded from ${ActionTckModel.typeName}.ProcessUnary`,
        "report",
      );
      await stage.recorder.connection(handleUnary);
    },
  ),

  extraCase("X18", "an effect on an unknown command is reported, and the answer goes out", model, async (stage) => {
    const effect = { serviceName: ActionTwo.typeName, commandName: "Go", payload: nowhere.payload, synchronous: true };
    answers(stage, { ...answer(onward), sideEffects: [effect] });
    await stage.client.start(processUnary, request(onward)).expect({ message: "onward" });
    const report = await stage.recorder.report("Service [");
    const wanted = `Service [${ActionTwo.typeName}] does not have a command named: [Go]\n  side-effect of ${ActionTckModel.typeName}.ProcessUnary`;
    same(report, wanted, "report");
    await stage.recorder.connection(handleUnary);
  }),

  extraCase("X19", "an effect that fails does not change the answer", model, async (stage) => {
    const failing: MessageInitShape<typeof ActionResponseSchema> = {
      response: { case: "failure", value: { description: "the effect's own" } },
    };
    stage.recorder.change(isFor(ActionTwo), () => ({ messages: [create(ActionResponseSchema, failing)] }));
    stage.recorder.change(isFor(ActionTwo), () => ({ messages: [], then: "break" }));
    const groups: Groups = [[r("well"), E("one"), E("two")]];
    await stage.client.start(processUnary, request(groups)).expect({ message: "well" });
    await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
    await recordedUnary(stage, commandToTwo("one"), failing);
    const broken = await stage.recorder.connection(handleUnary);
    await expectIn(broken, commandToTwo("two"));
  }),

  extraCase("X20", "effects beside a failure are carried out", model, async (stage) => {
    const groups: Groups = [[x("expected failure"), e("one"), E("two")]];
    same(await stage.client.start(processUnary, request(groups)).failure(), "expected failure", "description");
    await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
    // Nobody waits for the first, so either may come first.
    const connections = [await stage.recorder.connection(handleUnary), await stage.recorder.connection(handleUnary)];
    const asked = await Promise.all(
      connections.map(async (connection) => (await connection.takeIn()) as ActionCommand),
    );
    const ids = asked.map(({ payload }) => fromBinary(OtherRequestSchema, payload!.value).id);
    same(ids.sort(), ["one", "two"], "the effects");
  }),

  extraCase("X21", "a reply of another type is delivered, with a warning to the function", model, async (stage) => {
    const payload = { typeUrl: "type.googleapis.com/massa.conformance.Other", value: Uint8Array.of(0x0a, 1, 65) };
    answers(stage, { response: { case: "reply", value: { payload } } });
    await stage.client.start(processUnary, request(onward)).expect({ message: "A" });
    const report = await stage.recorder.report("Warning: ");
    const types = `Expected reply type_url to be [type.googleapis.com/cloudstate.tck.model.action.Response] but was [${payload.typeUrl}].`;
    same(report, `Warning: ${ActionTckModel.typeName}.ProcessUnary: ${types}`, "report");
    await stage.recorder.connection(handleUnary);
  }),

  extraCase("X22", "no answer at all: a call without a message, or status 500", model, async (stage) => {
    const nothing: Groups = [[]];
    const raw = await rawCall(stage, path, framed(processUnary, request(nothing)));
    same([statusOf(raw).code, raw.body.length], ["0", 0], "status, and bytes of the answer");
    same((await post(stage, "/tck/model/action/unary", {})).status, 500, "HTTP status");
    for (const groups of [nothing, []]) await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  }),

  extraCase("X23", "a failure has the status UNKNOWN, and over HTTP is plain text", model, async (stage) => {
    const text = "no, nay – ½%";
    const groups: Groups = [[x(text)]];
    const raw = await rawCall(stage, path, framed(processUnary, request(groups)));
    same(statusOf(raw), { code: "2", message: text }, "status");
    const { status, contentType, body } = await post(stage, "/tck/model/action/unary", {
      groups: [{ steps: [{ fail: { message: text } }] }],
    });
    same([status, body, contentType?.split(";")[0]], [500, text, "text/plain"], "HTTP answer");
    for (let call = 1; call <= 2; call += 1)
      await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  }),

  extraCase(
    "X24",
    "headers of the request reach actions as metadata, reply metadata become headers",
    [Extra],
    async (stage) => {
      const body = framed(Extra.method.header, { name: "x-asked" });
      const raw = await rawCall(stage, `/${Extra.typeName}/Header`, body, { "x-asked": "this" });
      const [frame] = unframed(raw.body);
      same(
        frame!.payload.toString("hex"),
        framed(Extra.method.header, { name: "this" }).subarray(5).toString("hex"),
        "answer",
      );
      same(raw.headers["x-answer"], "to x-asked", "header of the answer");
      const sent = {
        method: "POST",
        headers: { "content-type": "application/json", "X-Asked": "that" },
        body: '{"name":"x-asked"}',
      };
      const over = await fetched(stage, `/${Extra.typeName}/Header`, sent);
      same(JSON.parse(over.body), { name: "that", tags: [], count: "0" }, "answer over HTTP");
      for (let call = 1; call <= 2; call += 1) await stage.recorder.connection(handleUnary);
    },
  ),

  extraCase(
    "X25",
    "a deadline that passes is answered with its status, and the function's call is cancelled",
    model,
    async (stage) => {
      const hold = stage.recorder.hold(isFor(ActionTckModel));
      const calling = rawCall(stage, path, framed(processUnary, request(onward)), { "grpc-timeout": "100m" });
      const connection = await stage.recorder.connection(handleUnary);
      await expectIn(connection, command("ProcessUnary", onward));
      same(statusOf(await calling).code, "4", "status");
      await expectCancelled(connection);
      hold.release();
    },
  ),

  extraCase("X26", "a client that leaves cancels the function's call", model, async (stage) => {
    const path = `/${ActionTckModel.typeName}/ProcessStreamed`;
    await rawLeave(stage, path, framed(processStreamed, request(onward)));
    const connection = await stage.recorder.connection(handleStreamed);
    await expectIn(connection, opening("ProcessStreamed"));
    await expectIn(connection, following(onward));
    await expectCancelled(connection);
  }),

  extraCase("X27", "an unknown method is unimplemented, an unknown path not found", model, async (stage) => {
    const code = async (unknown: string) => statusOf(await rawCall(stage, unknown, framed(processUnary, {}))).code;
    same(await code(`/${ActionTckModel.typeName}/Nothing`), "12", "status of an unknown method");
    same(await code("/massa.conformance.Nowhere/Go"), "12", "status of an unknown service");
    same((await fetched(stage, "/massa/conformance/nowhere")).status, 404, "HTTP status");
  }),

  extraCase("X28", "a synchronous effect that streams in or out is waited for to its end", model, async (stage) => {
    const groups: Groups = [[r("A")], [r("B")]];
    const streamed = command("ProcessStreamedOut", groups);
    const effect = {
      serviceName: ActionTckModel.typeName,
      commandName: "ProcessStreamedOut",
      payload: streamed.payload!,
      synchronous: true,
    };
    answers(stage, { ...emptyReply, sideEffects: [effect] });
    const hold = stage.recorder.hold((message) => (message as ActionCommand).name === "ProcessStreamedOut");
    const call = stage.client.start(processUnary, request(onward));
    await stage.recorder.connection(handleUnary);
    const running = await stage.recorder.connection(ActionProtocol.method.handleStreamedOut);
    await expectIn(running, streamed);
    await call.silent(50);
    hold.release();
    await call.expect({ message: "" });
    await running.takeOut();
    await running.takeOut();
    await running.closed();
  }),
];
