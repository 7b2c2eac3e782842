import { gzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { type ActionCommand, ActionProtocol } from "../../../lib/wire/gen/cloudstate/action_pb.ts";
import { ValueEntity } from "../../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import { answer, command, following, type Groups, opening, r, request, x } from "../action-words.ts";
import { Extra, ThingSchema } from "../gen/massa/extra_pb.ts";
import { ActionTckModel, ActionTwo } from "../gen/tck/action_pb.ts";
import { ValueEntityTckModel } from "../gen/tck/value_entity_pb.ts";
import { fetched, ok, post } from "../http.ts";
import { same } from "../plain.ts";
import { frame, framed, rawCall, statusOf, unframed } from "../raw-grpc.ts";
import { RecordedStream } from "../recorded.ts";
import { expectIn, recordedUnary } from "../recorded-action.ts";
import { type Case, extraCase, type ProxyStage } from "../stage.ts";
import { initOf } from "../value-words.ts";

const { handleUnary, handleStreamedIn, handleStreamedOut } = ActionProtocol.method;
const { processUnary } = ActionTckModel.method;
const model = [ActionTckModel, ActionTwo];
const unaryPath = `/${ActionTckModel.typeName}/ProcessUnary`;
const steps = (...messages: string[]) => ({
  groups: messages.map((message) => ({ steps: [{ reply: { message } }] })),
});

/** The thing that the function was asked for, field by field: the order of their bytes is not judged here. */
async function received(stage: ProxyStage, method: string): Promise<unknown> {
  const connection = await stage.recorder.connection(handleUnary);
  const asked = (await connection.takeIn()) as ActionCommand;
  same([asked.serviceName, asked.name], [Extra.typeName, method], "the method");
  const { name, place, tags, count } = fromBinary(ThingSchema, asked.payload!.value);
  return { name, tags, count, ...(place && { place: { room: place.room, shelf: place.shelf } }) };
}

/** X29–X40: other ways in, and what becomes of requests. */
export const extraHttpCases: readonly Case[] = [
  extraCase("X29", "gRPC: a compressed request is taken", model, async (stage) => {
    const groups: Groups = [[r("pressed together")]];
    const plain = framed(processUnary, request(groups)).subarray(5);
    const raw = await rawCall(stage, unaryPath, frame(gzipSync(plain), 1), { "grpc-encoding": "gzip" });
    same(statusOf(raw).code, "0", "status");
    const [reply] = unframed(raw.body);
    same(reply?.payload.toString().endsWith("pressed together"), true, "the answer");
    await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  }),

  extraCase("X30", "gRPC-Web over HTTP/1.1: messages, then a frame with the trailers", model, async (stage) => {
    const groups: Groups = [[r("web")]];
    const headers = { "content-type": "application/grpc-web+proto" };
    const sent = { method: "POST", headers, body: framed(processUnary, request(groups)) };
    const { status, contentType, raw } = await fetched(stage, unaryPath, sent);
    same([status, contentType], [200, "application/grpc-web+proto"], "the answer's head");
    const [message, trailers] = unframed(raw);
    same([message?.flags, message?.payload.toString()], [0, "\n\u0003web"], "the message");
    same([trailers?.flags, trailers?.payload.toString().includes("grpc-status: 0\r\n")], [0x80, true], "the trailers");
    await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  }),

  extraCase("X31", "gRPC-Web as text: base64 both ways, and failures in the trailers", model, async (stage) => {
    const groups: Groups = [[x("not so")]];
    const headers = { "content-type": "application/grpc-web-text", accept: "application/grpc-web-text" };
    const body = framed(processUnary, request(groups)).toString("base64");
    const given = await fetched(stage, unaryPath, { method: "POST", headers, body });
    same([given.status, given.contentType], [200, "application/grpc-web-text"], "the answer's head");
    const frames = unframed(Buffer.from(given.body, "base64"));
    const trailers = frames.at(-1);
    same([frames.length, trailers?.flags], [1, 0x80], "the frames");
    same(/grpc-status: 2\r\n/.test(trailers!.payload.toString()), true, "the status");
    same(/grpc-message: not%20so\r\n|grpc-message: not so\r\n/.test(trailers!.payload.toString()), true, "the text");
    await recordedUnary(stage, command("ProcessUnary", groups), answer(groups));
  }),

  extraCase("X32", "HTTP: a streamed answer is a document a line", model, async (stage) => {
    const path = `/${ActionTckModel.typeName}/ProcessStreamedOut`;
    const headers = { "content-type": "application/json" };
    const sent = { method: "POST", headers, body: JSON.stringify(steps("A", "B")) };
    const { status, contentType, body } = await fetched(stage, path, sent);
    same({ status, contentType, body }, ok('{"message":"A"}\n{"message":"B"}\n'), "the answer");
    await expectIn(
      await stage.recorder.connection(handleStreamedOut),
      command("ProcessStreamedOut", [[r("A")], [r("B")]]),
    );
  }),

  extraCase("X33", "HTTP: a streamed answer as server-sent events", model, async (stage) => {
    const path = `/${ActionTckModel.typeName}/ProcessStreamedOut`;
    const headers = { "content-type": "application/json", accept: "text/event-stream" };
    const given = await fetched(stage, path, { method: "POST", headers, body: JSON.stringify(steps("A", "B")) });
    same(given.contentType?.split(";")[0], "text/event-stream", "content type");
    same(given.body, 'data: {"message":"A"}\n\ndata: {"message":"B"}\n\n', "the answer");
    await stage.recorder.connection(handleStreamedOut);
  }),

  extraCase("X34", "HTTP: a method that streams in gets the document and the end", model, async (stage) => {
    same(
      await post(stage, `/${ActionTckModel.typeName}/ProcessStreamedIn`, steps("one")),
      ok('{"message":"one"}'),
      "the answer",
    );
    const connection = await stage.recorder.connection(handleStreamedIn);
    await expectIn(connection, opening("ProcessStreamedIn"));
    await expectIn(connection, following([[r("one")]]));
    same(await connection.in.next(), { type: "end" }, "end of the input");
  }),

  extraCase("X35", "HTTP: what is no request is status 400, and reaches nobody", model, async (stage) => {
    const path = "/tck/model/action/unary";
    const json = { "content-type": "application/json" };
    for (const [what, headers, body] of [
      ["broken JSON", json, '{"groups":'],
      ["an unknown field", json, '{"nothing":1}'],
      ["a value of another type", json, '{"groups":"A"}'],
      ["another content type", { "content-type": "text/plain" }, "{}"],
      ["no content type", {}, "{}"],
    ] as const) {
      same((await fetched(stage, path, { method: "POST", headers, body })).status, 400, `status for ${what}`);
    }
  }),

  extraCase("X36", "HTTP: the id in a path is percent-decoded", [ValueEntityTckModel], async (stage) => {
    const id = `${stage.fresh("value")}:a/b ½+`;
    same(await post(stage, `/tck/model/entity/${encodeURIComponent(id)}`, {}), ok('{"message":""}'), "the answer");
    const stream = await RecordedStream.open(
      stage,
      ValueEntity.method.handle,
      initOf(ValueEntityTckModel.typeName, id),
    );
    await stream.skip();
  }),

  extraCase("X37", "HTTP: query parameters become fields, nested and repeated ones too", [Extra], async (stage) => {
    const path = "/massa/conformance/things/lamp?place.room=hall%20way&place.shelf=3&tags=a&tags=b&count=-7";
    const { status, body } = await fetched(stage, path);
    const thing = { name: "lamp", place: { room: "hall way", shelf: 3 }, tags: ["a", "b"], count: "-7" };
    same([status, JSON.parse(body)], [200, thing], "the answer");
    const sent = await received(stage, "Look");
    same(sent, { ...thing, count: -7n }, "what the function was asked");
    for (const query of ["nothing=1", "place=1", "count=1&count=2", "count=many", "place.nothing=1"]) {
      same((await fetched(stage, `/massa/conformance/things/lamp?${query}`)).status, 400, `status for ${query}`);
    }
  }),

  extraCase("X38", "HTTP: nested variables, verbs, whole paths, and a body for one field", [Extra], async (stage) => {
    await fetched(stage, "/massa/conformance/rooms/cellar/things/box:look?tags=x");
    same(
      await received(stage, "Look"),
      { name: "box", place: { room: "cellar", shelf: 0 }, tags: ["x"], count: 0n },
      "with a verb",
    );
    same(
      await post(stage, "/massa/conformance/places/shelf/2/a/b?count=4", { room: "loft" }),
      ok('{"name":"shelf/2/a/b","place":{"room":"loft","shelf":0},"tags":[],"count":"4"}'),
      "answer for a whole path",
    );
    const wanted = { name: "shelf/2/a/b", place: { room: "loft", shelf: 0 }, tags: [], count: 4n };
    same(await received(stage, "Look"), wanted, "with a body for one field");
  }),

  extraCase(
    "X39",
    "HTTP: the answer's one field as document, and raw bytes with their type",
    [Extra],
    async (stage) => {
      const { status, contentType, body } = await fetched(stage, "/massa/conformance/tags?tags=a&tags=b");
      same({ status, contentType, body }, ok('["a","b"]'), "response_body");
      const given = await fetched(stage, "/massa/conformance/downloads/some%20text");
      same([given.status, given.contentType, given.body], [200, "text/x-name", "some text"], "HttpBody");
      for (const name of ["Tags", "Download"]) await received(stage, name);
    },
  ),

  extraCase("X40", "HTTP: the probe of a network is answered", [], async (stage) => {
    const probed = await fetched(stage, "/", { headers: { "K-Network-Probe": "queue" } });
    same([probed.status, probed.body], [200, "queue"], "answer");
    const other = await fetched(stage, "/", { headers: { "K-Network-Probe": "other" } });
    same([other.status, other.body], [400, "unexpected probe header value: other"], "answer for another probe");
  }),
];
