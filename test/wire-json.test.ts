import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, file_google_protobuf_wrappers, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { MassaError } from "../lib/core/errors.ts";
import { readDescriptors } from "../lib/discovery/descriptors.ts";
import { createDynamicJson } from "../lib/wire/dynamic-json.ts";
import { HttpBodySchema, file_google_api_httpbody } from "../lib/wire/gen/google/api/httpbody_pb.ts";
import { file_tck_action } from "./conformance/gen/tck/action_pb.ts";
import {
  file_tck_crdt,
  LWWRegisterUpdateSchema,
  RequestSchema,
  ResponseSchema,
  VoteValueSchema,
} from "./conformance/gen/tck/crdt_pb.ts";
import { setOf, withImports } from "./discovery-harness.ts";

const set = setOf(withImports(file_tck_action, file_tck_crdt, file_google_api_httpbody, file_google_protobuf_wrappers));
const read = readDescriptors(set);
assert(read.type === "files");
const json = createDynamicJson(read.registry);
const model = "cloudstate.tck.model";

suite("JSON of messages known only at run time", () => {
  test("prints defaults, 64-bit numbers as strings, fields by number, nothing for what is unset", () => {
    const print = (state: Parameters<typeof create<typeof ResponseSchema>>[1]) =>
      json.print(ResponseSchema.typeName, toBinary(ResponseSchema, create(ResponseSchema, state)));
    assert.equal(json.print(`${model}.action.Response`, new Uint8Array(0)), '{"message":""}');
    assert.equal(print({}), "{}");
    assert.equal(
      print({ state: { value: { case: "pncounter", value: { value: 0n } } } }),
      '{"state":{"pncounter":{"value":"0"}}}',
    );
    assert.equal(print({ state: { value: { case: "ormap", value: {} } } }), '{"state":{"ormap":{"entries":[]}}}');
    const vote = create(VoteValueSchema, { totalVoters: 3 });
    assert.equal(
      json.print(VoteValueSchema.typeName, toBinary(VoteValueSchema, vote)),
      '{"selfVote":false,"votesFor":0,"totalVoters":3}',
    );
  });

  test("parses camelCase and declared names, and what it prints itself", () => {
    const text =
      '{"id":"a","actions":[{"update":{"lwwregister":{"value":"x","clock":{"clock_type":2,"customClockValue":"7"}}}}]}';
    const bytes = json.parse(RequestSchema.typeName, text);
    const { actions } = fromBinary(RequestSchema, bytes);
    assert.equal(actions.length, 1);
    assert.deepEqual(json.parse(RequestSchema.typeName, json.print(RequestSchema.typeName, bytes)), bytes);
  });

  test("keeps whole numbers that a double cannot hold", () => {
    const bytes = json.parse(LWWRegisterUpdateSchema.typeName, '{"clock":{"customClockValue":9007199254740993}}');
    assert.equal(fromBinary(LWWRegisterUpdateSchema, bytes).clock?.customClockValue, 9007199254740993n);
  });

  test("resolves types inside of an Any by the descriptors", () => {
    const body = create(HttpBodySchema, {
      extensions: [anyPack(StringValueSchema, create(StringValueSchema, { value: "x" }))],
    });
    const text = json.print(HttpBodySchema.typeName, toBinary(HttpBodySchema, body));
    assert.equal(
      text,
      '{"contentType":"","data":"","extensions":[{"@type":"type.googleapis.com/google.protobuf.StringValue","value":"x"}]}',
    );
    assert.deepEqual(fromBinary(HttpBodySchema, new Uint8Array(json.parse(HttpBodySchema.typeName, text))), body);
  });

  const mistakes: readonly (readonly [text: string, message: RegExp])[] = [
    ["{", /^not JSON: /],
    ["[]", /^(?!not JSON)/],
    ['{"ids":"a"}', /^ids: cloudstate\.tck\.model\.crdt\.Request has no such field$/],
    ['{"id":7}', /^id: expected string, got 7$/],
    ['{"actions":[{},{"fail":{"mesage":"x"}}]}', /^actions\[1\]\.fail\.mesage: .*Fail has no such field$/],
    ['{"actions":[{"update":{"gcounter":{"increment":"-1"}}}]}', /^actions\[0\]\.update\.gcounter\.increment: /],
    ['{"actions":[{"update":{"orset":{"add":"x","clear":true}}}]}', /^actions\[0\]\.update\.orset\.clear: .*oneof/],
    ['{"actions":{}}', /^actions: expected an array, got an object$/],
    ['{"actions":[3]}', /^actions\[0\]: /],
  ];
  for (const [text, message] of mistakes) {
    test(`says where the mistake is in ${text}`, () => {
      assert.throws(() => json.parse(RequestSchema.typeName, text), { name: "MassaError", code: "invalid", message });
    });
  }

  test("names the key of a map, and survives documents as deep as they like", () => {
    const deep = `${'{"actions":[{"update":{"ormap":{"update":{"update":'.repeat(1)}${'{"ormap":{"update":{"update":'.repeat(3_000)}7`;
    assert.throws(() => json.parse(RequestSchema.typeName, deep), { code: "invalid" });
    const nested = `{"id":"x","actions":[{"update":${'{"ormap":{"update":{"update":'.repeat(200)}7${"}}}".repeat(200)}}]}`;
    assert.throws(
      () => json.parse(RequestSchema.typeName, nested),
      ({ code, message }: MassaError) => {
        assert.equal(code, "invalid");
        assert.match(message, /^actions\[0\]\.update\.ormap\.update\.update\.ormap/);
        return message.split(".").length < 40;
      },
    );
    const structs = '{"fields":'.repeat(20_000);
    assert.throws(() => json.parse(RequestSchema.typeName, structs), { code: "invalid" });
  });

  test("tells an unknown type, and bytes that are no message", () => {
    assert.throws(() => json.parse("no.Such", "{}"), { code: "not-found", message: /no\.Such/ });
    assert.throws(() => json.print("no.Such", new Uint8Array(0)), { code: "not-found" });
    assert.throws(() => json.print(RequestSchema.typeName, Buffer.from([0x0a, 0xff])), {
      code: "protocol",
      message: /cannot be printed/,
    });
  });
});
