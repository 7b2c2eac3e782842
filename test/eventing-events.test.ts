import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { eventOf, messageOf } from "../eventing/cloud-event.ts";
import type { Header } from "../eventing/driver.ts";
import { eventOfReply, metadataOf, payloadOf } from "../eventing/event-payload.ts";

const defaults = { id: "t-0-7", source: "t" };
const bytes = (text: string) => Buffer.from(text);
const hex = (value: Uint8Array) => Buffer.from(value).toString("hex");

function payload(contentType: string, type: string, data: Uint8Array) {
  const headers: Header[] = [
    ["content-type", contentType],
    ["ce-type", type],
  ];
  const { typeUrl, value } = payloadOf(eventOf({ headers, body: data }, defaults));
  return [typeUrl, hex(value)];
}

suite("events", () => {
  test("records become payloads by their content type", () => {
    const data = bytes("ab");
    assert.deepEqual(payload("application/protobuf", "p.T", data), ["type.googleapis.com/p.T", "6162"]);
    assert.deepEqual(payload("application/x-protobuf; messageType=p.M", "x", data), [
      "type.googleapis.com/p.M",
      "6162",
    ]);
    assert.deepEqual(payload('application/vnd.google.protobuf; messageType=p.M; proto="p.P"', "x", data), [
      "type.googleapis.com/p.P",
      "6162",
    ]);
    assert.deepEqual(payload("application/vnd.cloudstate.protobuf.any", "a.b/p.T", data), ["a.b/p.T", "6162"]);
    assert.deepEqual(payload("application/json", "T", data), ["json.cloudstate.io/T", "0a026162"]);
    assert.deepEqual(payload("Application/Vnd.x+JSON; a=b", "T", data), ["json.cloudstate.io/T", "0a026162"]);
    assert.deepEqual(payload("text/plain; charset=iso-8859-1", "", Buffer.from([0xe4])), [
      "p.cloudstate.io/string",
      "0a02c3a4",
    ]);
    assert.deepEqual(payload("image/png", "T", data), ["p.cloudstate.io/bytes", "0a026162"]);
    assert.deepEqual(payload("nonsense", "T", new Uint8Array()), ["p.cloudstate.io/bytes", ""]);
    assert.deepEqual(payload("application/json", "T", Buffer.alloc(300, 1))[1]!.slice(0, 8), "0aac0201");
  });

  test("attributes are read whatever the binding calls them, and come in their order", () => {
    const headers: Header[] = [
      ["ce_id", "1"],
      ["CE-Source", "/s"],
      ["cloudEvents:type", "T"],
      ["Content-Type", "application/json"],
      ["ce-subject", "s"],
      ["ce-time", "2026-01-01T00:00:00Z"],
      ["ce-dataschema", "d"],
      ["ce-partitionkey", "k"],
      ["other", "x"],
    ];
    const event = eventOf({ headers, body: bytes("{}") }, defaults);
    assert.equal(event.partitionKey, "k");
    assert.deepEqual(
      metadataOf(event).map(({ key, value }) => `${key}=${value}`),
      [
        "ce-id=1",
        "ce-source=/s",
        "ce-specversion=1.0",
        "ce-type=T",
        "Content-Type=application/json",
        "ce-dataschema=d",
        "ce-subject=s",
        "ce-time=2026-01-01T00:00:00Z",
      ],
    );
    assert.deepEqual(eventOf(messageOf(event, "k"), defaults), event);
  });

  test("a message without attributes has its place for them", () => {
    const event = eventOf({ headers: [], body: bytes("x") }, defaults);
    assert.deepEqual(
      [event.id, event.source, event.type, event.contentType],
      ["t-0-7", "t", "", "application/octet-stream"],
    );
  });

  test("structured events keep the text of their JSON data", () => {
    const read = (body: string) =>
      eventOf(
        { headers: [["content-type", "application/cloudevents+json; charset=UTF-8"]], body: bytes(body) },
        defaults,
      );
    const data = '{ "z": 12345678901234567890, "a": ["}", "\\"{"] }';
    const event = read(`{"specversion":"1.0", "id":"1", "data": ${data} , "type":"T","source":"/s","subject":"s"}`);
    assert.equal(Buffer.from(event.data).toString(), data);
    assert.deepEqual([event.id, event.type, event.source, event.subject], ["1", "T", "/s", "s"]);
    assert.equal(event.contentType, "application/json");
    assert.equal(hex(read('{"data_base64":"/w==","datacontenttype":"image/png"}').data), "ff");
    assert.equal(Buffer.from(read('{"data":"a\\nb","datacontenttype":"text/plain"}').data).toString(), "a\nb");
    assert.equal(read("{}").data.byteLength, 0);
    assert.throws(() => read("[1]"), { code: "invalid" });
    assert.throws(() => read("{"), { code: "invalid" });
    assert.throws(() => read('{"data_base64":1}'), { code: "invalid" });
  });

  test("replies become events by their type URL, and by what their metadata say", () => {
    const reply = (typeUrl: string, value: Uint8Array, metadata: [string, string][] = []) =>
      eventOfReply(
        { typeUrl, value },
        metadata.map(([key, text]) => ({ key, value: text })),
        { id: "u", source: "s.S", time: "now" },
      );
    const brief = ({ type, contentType, data }: ReturnType<typeof reply>) => [type, contentType, hex(data)];
    const field = Buffer.from("10010a026162", "hex");
    assert.deepEqual(brief(reply("json.cloudstate.io/T", field)), ["T", "application/json", "6162"]);
    assert.deepEqual(brief(reply("p.cloudstate.io/string", field)), ["", "text/plain; charset=utf-8", "6162"]);
    assert.deepEqual(brief(reply("p.cloudstate.io/bytes", field)), ["", "application/octet-stream", "6162"]);
    assert.deepEqual(brief(reply("p.cloudstate.io/int32", field)), ["int32", "application/protobuf", hex(field)]);
    assert.deepEqual(brief(reply("type.googleapis.com/p.T", field)), ["p.T", "application/protobuf", hex(field)]);
    const said = reply("t/p.T", field, [
      ["ce-id", "1"],
      ["CE-ID", "2"],
      ["Content-Type", "a/b"],
      ["ce-subject", "x"],
      ["other", "y"],
    ]);
    assert.deepEqual(
      [said.id, said.source, said.specVersion, said.type, said.contentType, said.subject, said.time],
      ["2", "s.S", "1.0", "p.T", "a/b", "x", "now"],
    );
  });

  test("field 1 is found among others, and only as text or bytes", () => {
    const defaults = { id: "1", source: "s", time: "now" };
    const from = (text: string) => {
      const payload = { typeUrl: "p.cloudstate.io/bytes", value: Buffer.from(text, "hex") };
      return hex(eventOfReply(payload, [], defaults).data);
    };
    assert.equal(from("1500000000" + "190000000000000000" + "12016a" + "0a0161"), "61");
    assert.equal(from("1001"), "");
    for (const bad of ["0801", "0a05", "0a", "13", "80", "0dffffffff"]) {
      assert.throws(() => from(bad), { code: "invalid" }, bad);
    }
  });
});
