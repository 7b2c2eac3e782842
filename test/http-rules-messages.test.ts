import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import type { MassaError } from "../lib/core/errors.ts";
import type { HttpMatch } from "../lib/frontend/http-routes.ts";
import { HttpBodySchema } from "../lib/wire/gen/google/api/httpbody_pb.ts";
import { get, post, shopRoutes } from "./http-harness.ts";

const { routes, table } = shopRoutes(
  { name: "Query", rule: get("/query/{the_string}") },
  { name: "Deep", rule: get("/deep/{inner.inner.the_int64}/{color}/{the_bytes}/{the_bool}") },
  { name: "Rest", rule: get("/rest/{the_string=a/**}:go") },
  { name: "Field", rule: post("/field/{the_string}", "inner") },
  { name: "Scalar", rule: post("/scalar", "the_int64") },
  { name: "Whole", rule: post("/whole/{the_string}/{inner.the_int32}") },
  { name: "Raw", input: "google.api.HttpBody", output: "google.api.HttpBody" },
  { name: "File", input: "Upload", output: "Upload", rule: post("/file/{name}", "file", { responseBody: "file" }) },
  { name: "List", rule: get("/list", { responseBody: "int64_list" }) },
  { name: "Inner", rule: get("/inner", { responseBody: "inner" }) },
  { name: "Stamp", rule: get("/stamp", { responseBody: "a_timestamp" }) },
  { name: "Map", rule: get("/map", { responseBody: "string_map" }) },
  { name: "Choice", rule: get("/choice", { responseBody: "choice_number" }) },
  { name: "Bool", rule: get("/bool", { responseBody: "the_bool" }) },
  { name: "Upload", input: "Upload", output: "Upload" },
  { name: "ChosenText", rule: post("/chosen/{choice_text}") },
  { name: "ChosenPart", rule: post("/part/{choice_message.the_int32}") },
  { name: "ChosenInside", rule: post("/inside/{inner.choice_text}/{inner.choice_message.the_int32}") },
  { name: "ChosenByPath", rule: get("/picked/{choice_text}") },
  { name: "ChosenBody", rule: post("/taken", "choice_message") },
);
const everything = table.registry.getMessage("shop.Everything")!;

function routeOf(path: string): HttpMatch {
  const match = routes.find("GET", path) ?? routes.find("POST", path);
  assert(match, `no route for ${path}`);
  return match;
}

const jsonBody = (text: string, contentType: string | undefined = "application/json") => ({
  contentType,
  bytes: Buffer.from(text),
});

/** What of a message stands in its JSON beside defaults. */
function messageOf(path: string, query = "", body?: ReturnType<typeof jsonBody>): JsonValue {
  const match = routeOf(path);
  const part = match.response(match.request(query, body));
  assert(part.type === "json");
  return withoutDefaults(JSON.parse(part.text) as JsonValue);
}

function withoutDefaults(json: JsonValue): JsonValue {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  const isDefault = (value: JsonValue) =>
    [0, "0", "", false, "NONE"].some((each) => each === value) || ["[]", "{}"].includes(JSON.stringify(value));
  const entries = Object.entries(json).map(([name, value]) => [name, withoutDefaults(value)] as const);
  return Object.fromEntries(entries.filter(([name, value]) => name.startsWith("maybe") || !isDefault(value)));
}

const refused = (message: string | RegExp) => ({ name: "MassaError", code: "invalid", message });

suite("a message from path and query", () => {
  test("takes captures, decoded, into fields of any depth", () => {
    assert.deepEqual(messageOf("/deep/-9223372036854775808/RED/_-8=/TrUe"), {
      inner: { inner: { theInt64: "-9223372036854775808" } },
      color: "RED",
      theBytes: "/+8=",
      theBool: true,
    });
    assert.deepEqual(messageOf("/deep/+7/-7//false"), { inner: { inner: { theInt64: "7" } }, color: "BLUE" });
    assert.deepEqual(messageOf("/rest/a/b%2Fc/d+e:x:go"), { theString: "a/b/c/d+e:x" });
    assert.deepEqual(messageOf("/query/caf%C3%A9"), { theString: "café" });
    assert.deepEqual(messageOf(`/query/${Buffer.from("café").toString("latin1")}`), { theString: "café" });
  });

  test("takes parameters by either name, lists by repetition, well-known types by their JSON", () => {
    const query =
      "the_int32=-5&theUint64=18446744073709551615&string_list=a+b&string_list=%26&&inner.inner.the_double=-1.5e3" +
      "&color_list=RED&colorList=-7&a_timestamp=2020-01-02T03:04:05Z&a_duration=1.5s&a_mask=a,bC&a_int64_value=9" +
      "&a_bool_value=TRUE&the_bytes=%2B%2F8%3D&maybe_string&the_float=NaN&choice_null=NULL_VALUE&the_fixed32=4294967295";
    assert.deepEqual(messageOf("/query/x", query), {
      theInt32: -5,
      theString: "x",
      theUint64: "18446744073709551615",
      stringList: ["a b", "&"],
      inner: { inner: { theDouble: -1500 } },
      colorList: ["RED", "BLUE"],
      aTimestamp: "2020-01-02T03:04:05Z",
      aDuration: "1.500s",
      aMask: "a,bC",
      aInt64Value: "9",
      aBoolValue: true,
      theBytes: "+/8=",
      maybeString: "",
      theFloat: "NaN",
      choiceNull: null,
      theFixed32: 4294967295,
    });
  });

  test("takes of a float whatever becomes a finite one", () => {
    assert.deepEqual(messageOf("/query/x", "the_float=3.4028235e%2B38&float_list=-3.40282356e38"), {
      theString: "x",
      theFloat: 3.4028235e38,
      floatList: [-3.4028235e38],
    });
  });

  test("has the path's value where the query names the same field", () => {
    assert.deepEqual(messageOf("/query/path", "the_string=query"), { theString: "path" });
  });

  const mistakes: readonly (readonly [query: string, message: string | RegExp])[] = [
    ["nothing=1", "nothing: shop.Everything has no such field"],
    ["inner.nothing=1", "inner.nothing: shop.Everything has no such field"],
    ["inner=1", "inner: is a shop.Everything, which cannot be given as a parameter"],
    ["a_struct=1", /^a_struct: is a google.protobuf.Struct/],
    ["string_map=1", "string_map: is a map, which cannot be given as a parameter"],
    ["string_map.a=1", "string_map: is no message that has fields"],
    ["inner_list.the_int32=1", "inner_list: is no message that has fields"],
    ["the_int32.x=1", "the_int32: is no message that has fields"],
    ["the_int32=1&theInt32=2", "the_int32: has several values, and takes one"],
    ["choice_text=a&choice_number=1", "choice_number: cannot be given together with choice_text"],
    ["the_int32=2147483648", 'the_int32: "2147483648" is no 32-bit integer'],
    ["inner.the_uint32=-1", 'inner.the_uint32: "-1" is no unsigned 32-bit integer'],
    ["the_int64=9223372036854775808", /^the_int64: /],
    ["the_uint64=18446744073709551616", /^the_uint64: /],
    ["the_int32=0x10", /^the_int32: /],
    ["the_int32=1.0", /^the_int32: /],
    ["the_int32=", /^the_int32: "" is no/],
    ["the_float=1e39", 'the_float: "1e39" is no number in range'],
    ["the_float=3.4028236e38", 'the_float: "3.4028236e38" is no number in range'],
    ["the_double=1e999", /^the_double: /],
    ["the_double=1_0", /^the_double: /],
    ["the_bool=yes", 'the_bool: "yes" is no bool: true or false'],
    ["the_bytes=%25", 'the_bytes: "%" is no base64'],
    ["color=GREEN", 'color: "GREEN" is no name or number of shop.Color'],
    ["a_timestamp=yesterday", 'a_timestamp: expected google.protobuf.Timestamp, got "yesterday"'],
    [
      "inner.a_timestamp=2020-02-30T00:00:00Z",
      'inner.a_timestamp: expected google.protobuf.Timestamp, got "2020-02-30T00:00:00Z"',
    ],
    ["a_duration=1.0000000001s", 'a_duration: expected google.protobuf.Duration, got "1.0000000001s"'],
    ["a_int64_value=x", /^a_int64_value: "x"/],
    ["the_string=%", "the_string: not percent-encoded UTF-8"],
    ["the_string=%ff", "the_string: not percent-encoded UTF-8"],
    ["the_string=%4", "the_string: not percent-encoded UTF-8"],
    ["%zz=1", "the name of a parameter is not percent-encoded UTF-8"],
    [`${"a".repeat(2_000)}=1`, "the name of a parameter is longer than 1024 characters"],
    [`the_int32=${"9".repeat(100_000)}`, /^the_int32: "9{64}…" is no/],
  ];
  for (const [query, message] of mistakes) {
    test(`is refused for ${query.slice(0, 40)}`, () => {
      assert.throws(() => routeOf("/query/x").request(query, undefined), refused(message));
    });
  }

  test("is refused for captures that are no values", () => {
    assert.throws(() => routeOf("/deep/x/RED//true").request("", undefined), refused(/^inner\.inner\.the_int64: "x"/));
    assert.throws(() => routeOf("/query/%C3").request("", undefined), refused(/^the_string: not percent/));
  });
});

suite("a message from a body", () => {
  test("is the whole of it, overridden by the path, without the query", () => {
    const body = jsonBody('{"theString":"body","inner":{"theInt32":1,"the_bool":true}}');
    assert.deepEqual(messageOf("/whole/path/7", "nothing=1", body), {
      theString: "path",
      inner: { theInt32: 7, theBool: true },
    });
    assert.deepEqual(messageOf("/whole/path/7"), { theString: "path", inner: { theInt32: 7 } });
    assert(routeOf("/whole/a/1").readsBody);
    assert(!routeOf("/query/a").readsBody);
    assert.deepEqual(messageOf("/query/a", "", jsonBody("not read", "text/plain")), { theString: "a" });
  });

  test("has of a oneof what the path says, whatever the body or the query chose", () => {
    const chosen = (path: string, body: string) => messageOf(path, "", jsonBody(body));
    for (const other of ['{"choiceNumber":"7"}', '{"choiceMessage":{"theInt32":7}}', '{"choiceNull":null}', "{}"]) {
      assert.deepEqual(chosen("/chosen/a", other), { choiceText: "a" });
    }
    assert.deepEqual(chosen("/part/5", '{"choiceText":"a"}'), { choiceMessage: { theInt32: 5 } });
    assert.deepEqual(chosen("/part/5", '{"choiceNull":null,"theBool":true}'), {
      theBool: true,
      choiceMessage: { theInt32: 5 },
    });
    assert.deepEqual(chosen("/part/5", '{"choiceMessage":{"theBool":true,"theInt32":1}}'), {
      choiceMessage: { theBool: true, theInt32: 5 },
    });
    assert.deepEqual(messageOf("/picked/a", "choice_number=7&the_bool=true"), { choiceText: "a", theBool: true });
  });

  test("has it also of a oneof inside of a message, of which each gives a part", () => {
    for (const other of ['{"choiceText":"a"}', '{"choiceNull":null}', '{"choiceNumber":"7"}']) {
      const body = jsonBody(`{"inner":${other},"theBool":true}`);
      assert.deepEqual(messageOf("/inside/b/5", "", body), {
        theBool: true,
        inner: { choiceMessage: { theInt32: 5 } },
      });
    }
  });

  test("is one field of it, whose oneof no parameter may touch", () => {
    const ask = (query: string) => () => routeOf("/taken").request(query, jsonBody('{"theInt32":1}'));
    const clash = refused("choice_text: cannot be given together with choice_message, which is the body");
    assert.throws(ask("choice_text=q"), clash);
    assert.throws(ask("choiceText=q"), clash);
    assert.throws(ask("choice_message.the_int32=2"), refused("choice_message: is taken from the body"));
    const query = "inner.choice_text=q&inner.inner.choice_message.the_int32=2";
    assert.deepEqual(messageOf("/taken", query, jsonBody('{"theInt32":1}')), {
      inner: { choiceText: "q", inner: { choiceMessage: { theInt32: 2 } } },
      choiceMessage: { theInt32: 1 },
    });
  });

  test("is one field of it, with the rest from query and path", () => {
    const body = jsonBody('{"theInt32":1}', "application/json; charset=UTF-8");
    assert.deepEqual(messageOf("/field/x", "the_bool=true&maybe_int32=0", body), {
      theString: "x",
      theBool: true,
      maybeInt32: 0,
      inner: { theInt32: 1 },
    });
    assert.throws(
      () => routeOf("/field/x").request("inner.the_bool=true", body),
      refused("inner: is taken from the body"),
    );
    assert.throws(
      () => routeOf("/field/x").request("", jsonBody('{"inner":{"theInt32":"x"}}')),
      refused('inner.inner.theInt32: expected int32, got "x"'),
    );
    assert.deepEqual(messageOf("/scalar", "", jsonBody("9007199254740993")), { theInt64: "9007199254740993" });
  });

  for (const contentType of [
    undefined,
    "",
    "text/plain",
    "application/json2",
    "application/json; a=b",
    "application/jso",
  ]) {
    test(`is refused with the content type ${contentType}`, () => {
      assert.throws(
        () => routeOf("/whole/a/1").request("", { contentType, bytes: Buffer.from("{}") }),
        refused(/^the content type must be application\/json, but /),
      );
    });
  }

  test("may have the content type in any case, and a charset", () => {
    for (const type of [
      "application/json",
      "Application/JSON",
      "application/json;charset=utf-8",
      "application/json ; charset=x",
    ]) {
      routeOf("/whole/a/1").request("", jsonBody("{}", type));
    }
  });

  test("is the bytes themselves for HttpBody", () => {
    const raw = routeOf("/shop.Shop/Raw");
    const bytes = Buffer.from([0, 255, 123]);
    assert.deepEqual(plain(raw.response(raw.request("", { contentType: "image/png", bytes }))), {
      type: "raw",
      contentType: "image/png",
      data: [0, 255, 123],
    });
    assert.deepEqual(plain(raw.response(raw.request("", { contentType: undefined, bytes: Buffer.alloc(0) }))), {
      type: "raw",
      contentType: undefined,
      data: [],
    });
    const file = routeOf("/file/my%20cat");
    const message = file.request("", { contentType: "image/png", bytes });
    const upload = routeOf("/shop.Shop/Upload").response(message);
    assert.equal(
      upload.type === "json" && upload.text,
      '{"name":"my cat","file":{"contentType":"image/png","data":"AP97","extensions":[]}}',
    );
    assert.deepEqual(plain(file.response(message)), { type: "raw", contentType: "image/png", data: [0, 255, 123] });
    assert.deepEqual(plain(file.response(new Uint8Array(0))), { type: "raw", contentType: undefined, data: [] });
    const first = toBinary(HttpBodySchema, create(HttpBodySchema, { contentType: "a" }));
    assert.deepEqual(plain(raw.response(first)), { type: "raw", contentType: "a", data: [] });
    assert.throws(() => raw.response(Buffer.from([7])), { name: "MassaError", code: "protocol" });
  });
});

function plain(part: ReturnType<HttpMatch["response"]>): object {
  return part.type === "raw" ? { ...part, data: [...part.data] } : part;
}

suite("a reply of which one field goes out", () => {
  const print = (path: string, json: JsonValue) => {
    const part = routeOf(path).response(toBinary(everything, fromJson(everything, json)));
    assert(part.type === "json");
    return part.text;
  };
  const cases: readonly (readonly [path: string, json: JsonValue, text: string])[] = [
    ["/list", { int64List: ["1", "-2"], theString: "x" }, '["1","-2"]'],
    ["/list", {}, "[]"],
    ["/map", { stringMap: { a: "b" } }, '{"a":"b"}'],
    ["/map", {}, "{}"],
    ["/stamp", { aTimestamp: "2020-01-02T03:04:05Z" }, '"2020-01-02T03:04:05Z"'],
    ["/stamp", {}, "null"],
    ["/choice", { choiceNumber: "5" }, '"5"'],
    ["/choice", { choiceText: "x" }, '"0"'],
    ["/bool", { theBool: true }, "true"],
    ["/bool", {}, "false"],
  ];
  for (const [path, json, text] of cases) {
    test(`${path} of ${JSON.stringify(json)} is ${text}`, () => {
      assert.equal(print(path, json), text);
    });
  }

  test("is a message with its defaults, set or not", () => {
    assert.match(print("/inner", { inner: { theInt32: 3 } }), /^\{"theDouble":0,"theFloat":0,"theInt32":3,/);
    assert.match(print("/inner", {}), /^\{"theDouble":0,"theFloat":0,"theInt32":0,/);
    const twice = ["1", "2"].map((theInt64) => toBinary(everything, fromJson(everything, { inner: { theInt64 } })));
    const part = routeOf("/inner").response(Buffer.concat(twice));
    assert(part.type === "json" && part.text.includes('"theInt64":"2"'), "pieces are one message");
  });

  test("is refused when the reply is none", () => {
    assert.throws(
      () => routeOf("/list").response(Buffer.from([0x0a])),
      ({ code, message }: MassaError) => code === "protocol" && message.startsWith("this shop.Everything cannot be"),
    );
  });
});
