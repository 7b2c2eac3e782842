import { type ActionCommand, ActionProtocol } from "../../../lib/wire/gen/cloudstate/action_pb.ts";
import {
  answer,
  command,
  commandToTwo,
  E,
  e,
  emptyReply,
  f,
  following,
  type Groups,
  opening,
  r,
  request,
  x,
} from "../action-words.ts";
import { ActionTckModel } from "../gen/tck/action_pb.ts";
import { ok, post } from "../http.ts";
import { same } from "../plain.ts";
import { expectIn, expectOut, recordedUnary } from "../recorded-action.ts";
import { type Case, proxyCase, type ProxyStage } from "../stage.ts";

const { handleUnary, handleStreamedIn, handleStreamedOut, handleStreamed } = ActionProtocol.method;
const { processUnary, processStreamedIn, processStreamedOut, processStreamed } = ActionTckModel.method;

/** A35–A43: what a proxy makes of calls to an action. */
export const actionProxyCases: readonly Case[] = [
  proxyCase("A35", "action: unary through the proxy", async (stage) => {
    const groups: Groups = [[r("one")]];
    same((await stage.client.unary(processUnary, request(groups))).message, "one", "answer");
    await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  }),

  proxyCase("A36", "action: streamed in through the proxy", async (stage) => {
    const groups: Groups = [[r("two")]];
    const call = stage.client.start(processStreamedIn, request(groups));
    await call.expect({ message: "two" });
    await call.completed();
    const connection = await stage.recorder.connection(handleStreamedIn);
    await expectIn(connection, opening("ProcessStreamedIn"));
    await expectIn(connection, following(groups));
    same(await connection.in.next(), { type: "end" }, "end of the input");
    await expectOut(connection, answer(groups));
    same(await connection.out.next(), { type: "end" }, "end of the output");
  }),

  proxyCase("A37", "action: streamed out through the proxy", async (stage) => {
    const groups: Groups = [[r("A")], [r("B")], [r("C")]];
    const call = stage.client.start(processStreamedOut, request(groups));
    for (const message of ["A", "B", "C"]) await call.expect({ message });
    await call.completed();
    const connection = await stage.recorder.connection(handleStreamedOut);
    await expectIn(connection, command("ProcessStreamedOut", groups));
    for (const steps of groups) await expectOut(connection, answer([steps]));
    await connection.closed();
  }),

  proxyCase("A38", "action: streamed both ways through the proxy", async (stage) => {
    const call = stage.client.open(processStreamed);
    const connection = await (async () => {
      call.send(request([[r("X")]]));
      return stage.recorder.connection(handleStreamed);
    })();
    await expectIn(connection, opening("ProcessStreamed"));
    for (const message of ["X", "Y", "Z"]) {
      const groups: Groups = [[r(message)]];
      if (message !== "X") call.send(request(groups));
      await call.expect({ message });
      await expectIn(connection, following(groups));
      await expectOut(connection, answer(groups));
    }
    call.end();
    await call.completed();
    await connection.closed();
  }),

  proxyCase("A39", "action: unary forward and effect through the proxy", async (stage) => {
    const forwarded: Groups = [[f("other")]];
    same((await stage.client.unary(processUnary, request(forwarded))).message, "", "the forward's answer");
    await recordedUnary(stage, command("ProcessUnary", forwarded), answer(forwarded));
    await recordedUnary(stage, commandToTwo("other"), emptyReply);

    const affected: Groups = [[r(""), e("another")]];
    same((await stage.client.unary(processUnary, request(affected))).message, "", "the answer beside an effect");
    await recordedUnary(stage, command("ProcessUnary", affected), answer(affected));
    await recordedUnary(stage, commandToTwo("another"), emptyReply);

    await synchronousEffect(stage);
  }),

  proxyCase("A40", "action: streamed forward and effect through the proxy", async (stage) => {
    const call = stage.client.open(processStreamed);
    const forwarded: Groups = [[f("one")]];
    call.send(request(forwarded));
    await call.expect({ message: "" });
    const connection = await stage.recorder.connection(handleStreamed);
    await expectIn(connection, opening("ProcessStreamed"));
    await expectIn(connection, following(forwarded));
    await expectOut(connection, answer(forwarded));
    await recordedUnary(stage, commandToTwo("one"), emptyReply);

    const affected: Groups = [[e("two")]];
    call.send(request(affected));
    await expectIn(connection, following(affected));
    await expectOut(connection, answer(affected));
    await recordedUnary(stage, commandToTwo("two"), emptyReply);
    await call.silent(stage.patience.surplusMs);
    call.end();
    await call.completed();
    await connection.closed();
  }),

  proxyCase("A41", "action: unary failure through the proxy", async (stage) => {
    const groups: Groups = [[x("expected failure")]];
    same(await stage.client.start(processUnary, request(groups)).failure(), "expected failure", "description");
    await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  }),

  proxyCase("A42", "action: streamed failure through the proxy", async (stage) => {
    const call = stage.client.open(processStreamed);
    const connection = await stage.recorder.connection(handleStreamed);
    await expectIn(connection, opening("ProcessStreamed"));
    const groups: Groups = [[x("expected failure")]];
    call.send(request(groups));
    same(await call.failure(), "expected failure", "description");
    await expectIn(connection, following(groups));
    await expectOut(connection, answer(groups));
    const { type } = await connection.in.next();
    same(type !== "message", true, "nothing more goes into a stream that has failed");
  }),

  proxyCase("A43", "action: JSON over HTTP", async (stage) => {
    const path = "/tck/model/action/unary";
    const replying: Groups = [[r("foo")]];
    const answered = await post(stage, path, { groups: [{ steps: [{ reply: { message: "foo" } }] }] });
    same(answered, ok('{"message":"foo"}'), "a reply");
    await recordedUnary(stage, command("ProcessUnary", replying), answer(replying));
    const failing: Groups = [[x("boom")]];
    const { status, body } = await post(stage, path, { groups: [{ steps: [{ fail: { message: "boom" } }] }] });
    same({ status, body }, { status: 500, body: "boom" }, "a failure");
    await recordedUnary(stage, command("ProcessUnary", failing), answer(failing));
  }),
];

/** The answer waits for a synchronous effect: it is held back, and so must the answer be. */
async function synchronousEffect(stage: ProxyStage): Promise<void> {
  const groups: Groups = [[r("after"), E("first")]];
  const hold = stage.recorder.hold((message) => (message as ActionCommand).serviceName.endsWith(".ActionTwo"));
  const call = stage.client.start(processUnary, request(groups));
  await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  const effect = await stage.recorder.connection(handleUnary);
  await expectIn(effect, commandToTwo("first"));
  await expectOut(effect, emptyReply);
  await call.silent(50);
  hold.release();
  await call.expect({ message: "after" });
  await call.completed();
  await effect.closed();
}
