import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { type CloudEvent, eventOf, messageOf } from "../eventing/cloud-event.ts";
import type { Header } from "../eventing/driver.ts";
import { eventOfReply, metadataOf, payloadOf } from "../eventing/event-payload.ts";
import { jsonMembers } from "../eventing/json-members.ts";
import { MassaError } from "../lib/core/errors.ts";

const defaults = { id: "default-id", source: "default-source" };
const text = fc.string({ unit: "grapheme", maxLength: 20 });
const data = fc.uint8Array({ maxLength: 300, size: "max" });
const protobufType = fc.constantFrom(
  "application/protobuf",
  "application/x-protobuf",
  "application/vnd.google.protobuf",
);
const jsonType = fc.constantFrom("application/json", "application/vnd.acme+json", "Application/JSON; charset=utf-8");
const otherType = fc.constantFrom("application/octet-stream", "image/png", "nonsense", "");
const contentType = fc.oneof(protobufType, jsonType, otherType, fc.constant("text/plain; charset=utf-8"));
const typeName = fc.stringMatching(/^[a-z]{1,5}(\.[A-Z][a-z]{0,5}){1,2}$/);

const event: fc.Arbitrary<CloudEvent> = fc.record(
  {
    id: text,
    source: text,
    specVersion: fc.constantFrom("1.0", "0.3"),
    type: text,
    contentType,
    dataSchema: text,
    subject: text,
    time: text,
    partitionKey: text,
    data,
  },
  { requiredKeys: ["id", "source", "specVersion", "type", "contentType", "data"] },
);

/** Names as the bindings of HTTP, Kafka and AMQP write them. */
const spelling = fc.constantFrom<(name: string) => string>(
  (name) => name,
  (name) => name.toUpperCase(),
  (name) => name.replace("ce-", "ce_"),
  (name) => name.replace("ce-", "cloudEvents:"),
  (name) => name.replace("ce-", "cloudEvents_"),
);

const sameEvent = (actual: CloudEvent, expected: CloudEvent) =>
  assert.deepEqual({ ...actual, data: Buffer.from(actual.data) }, { ...expected, data: Buffer.from(expected.data) });

/** Field 1 by the plainest possible rule, as an independent oracle. */
function fieldOne(content: Uint8Array): Buffer {
  if (content.byteLength === 0) return Buffer.alloc(0);
  let length = "";
  for (let rest = content.byteLength; ; rest >>= 7) {
    length += ((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0)).toString(16).padStart(2, "0");
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from(`0a${length}`, "hex"), content]);
}

suite("events", () => {
  test("an event comes back from its binary message, however its headers are spelled and ordered", () => {
    fc.assert(
      fc.property(event, spelling, fc.boolean(), (given, spelled, isReversed) => {
        const message = messageOf(given, "k");
        const headers = message.headers.map(([name, value]): Header => [spelled(name), value]);
        sameEvent(eventOf({ headers: isReversed ? headers.reverse() : headers, body: message.body }, defaults), given);
      }),
    );
  });

  test("an event comes back from its structured form", () => {
    fc.assert(
      fc.property(event, fc.boolean(), (given, inBase64) => {
        const { specVersion, contentType: datacontenttype, dataSchema, partitionKey, data: content, ...same } = given;
        const isText = !inBase64 && Buffer.from(content).toString("base64") === utf8Safe(content);
        const body = JSON.stringify({
          ...same,
          specversion: specVersion,
          datacontenttype,
          dataschema: dataSchema,
          partitionkey: partitionKey,
          ...(isText && !/json/i.test(datacontenttype)
            ? { data: Buffer.from(content).toString() }
            : { data_base64: Buffer.from(content).toString("base64") }),
        });
        const headers: Header[] = [["Content-Type", "application/cloudevents+json; charset=UTF-8"]];
        sameEvent(eventOf({ headers, body: Buffer.from(body) }, defaults), given);
      }),
    );
  });

  test("JSON data of a structured event keep their very text", () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), fc.constantFrom("", " ", "\n\t"), (value, noise, space) => {
        const body = `{${space}"x":${noise},${space}"data"${space}:${space}${value}${space},"id":"1"}`;
        const headers: Header[] = [["content-type", "application/cloudevents+json"]];
        const read = eventOf({ headers, body: Buffer.from(body) }, defaults);
        assert.equal(Buffer.from(read.data).toString(), value);
        assert.equal(read.id, "1");
      }),
    );
  });

  test("the members of any JSON object are found as JSON.parse finds them", () => {
    const object = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue(), { noNullPrototype: true });
    fc.assert(
      fc.property(object, fc.constantFrom(undefined, 1, "\t"), (given, indent) => {
        const written = JSON.stringify(given, undefined, indent);
        const members = jsonMembers(written)!;
        const read = [...members].map(([name, value]) => [name, JSON.parse(value) as unknown]);
        assert.deepEqual(Object.fromEntries(read), JSON.parse(written));
      }),
    );
  });

  test("payloads follow the table of content types", () => {
    fc.assert(
      fc.property(event, (given) => {
        const { typeUrl, value } = payloadOf(given);
        const media = given.contentType.split(";")[0]!.trim().toLowerCase();
        const content = Buffer.from(given.data);
        if (media.includes("protobuf")) {
          assert.deepEqual([typeUrl, Buffer.from(value)], [`type.googleapis.com/${given.type}`, content]);
        } else {
          const kind = media.endsWith("json") ? `json.cloudstate.io/${given.type}` : undefined;
          const plain = media.startsWith("text/") ? "p.cloudstate.io/string" : "p.cloudstate.io/bytes";
          assert.deepEqual([typeUrl, Buffer.from(value)], [kind ?? plain, fieldOne(content)]);
        }
      }),
    );
  });

  test("what a reply publishes, a consumer's method gets as its payload", () => {
    const reply = fc.oneof(
      fc.record({ typeUrl: typeName.map((name) => `type.googleapis.com/${name}`), value: data }),
      fc.record({ typeUrl: typeName.map((name) => `json.cloudstate.io/${name}`), value: data.map(fieldOne) }),
      fc.record({ typeUrl: fc.constant("p.cloudstate.io/bytes"), value: data.map(fieldOne) }),
      fc.record({ typeUrl: fc.constant("p.cloudstate.io/string"), value: text.map((t) => fieldOne(Buffer.from(t))) }),
    );
    fc.assert(
      fc.property(reply, (given) => {
        const sent = messageOf(eventOfReply(given, [], { id: "1", source: "s.S", time: "now" }), "");
        const got = payloadOf(eventOf(sent, defaults));
        assert.deepEqual([got.typeUrl, Buffer.from(got.value)], [given.typeUrl, Buffer.from(given.value)]);
      }),
    );
  });

  test("metadata name the attributes in their order, the optional ones only where known", () => {
    fc.assert(
      fc.property(event, (given) => {
        const known = metadataOf(given).map(({ key }) => key);
        const optional = [
          ...(given.dataSchema === undefined ? [] : ["ce-dataschema"]),
          ...(given.subject === undefined ? [] : ["ce-subject"]),
          ...(given.time === undefined ? [] : ["ce-time"]),
        ];
        assert.deepEqual(known, ["ce-id", "ce-source", "ce-specversion", "ce-type", "Content-Type", ...optional]);
      }),
    );
  });

  test("hostile bytes give an error of ours, or an event", () => {
    const header = fc.tuple(
      fc.constantFrom("content-type", "ce-type", "ce-datacontenttype"),
      fc.oneof(contentType, text),
    );
    const headers = fc.oneof(
      fc.array(header, { maxLength: 4 }),
      fc.constant([["content-type", "application/cloudevents+json"]] as [string, string][]),
    );
    const body = fc.oneof(
      data,
      fc.json().map((json) => Buffer.from(json)),
      text.map((t) => Buffer.from(`{"data":${t}}`)),
    );
    fc.assert(
      fc.property(headers, body, (given, bytes) => {
        try {
          payloadOf(eventOf({ headers: given, body: bytes }, defaults));
        } catch (reason) {
          assert.ok(reason instanceof MassaError && reason.code === "invalid", String(reason));
        }
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(data, (value) => {
        try {
          eventOfReply({ typeUrl: "p.cloudstate.io/bytes", value }, [], { ...defaults, time: "now" });
        } catch (reason) {
          assert.ok(reason instanceof MassaError && reason.code === "invalid", String(reason));
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** The bytes' base64 after a trip through text: equal to their own only if they are UTF-8. */
function utf8Safe(bytes: Uint8Array): string {
  return Buffer.from(Buffer.from(bytes).toString()).toString("base64");
}
