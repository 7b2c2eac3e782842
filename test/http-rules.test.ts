import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { get, post, type Rule, shopOf, shopRoutes } from "./http-harness.ts";

const rejection = (rule: Rule, more: { readonly input?: string; readonly output?: string } = {}) => {
  const outcome = shopOf([{ name: "Get", rule, ...more }]);
  assert(typeof outcome === "string", "the rule was accepted");
  return outcome;
};

suite("rules that cannot be are refused at discovery, with the rule", () => {
  const config: readonly (readonly [reason: string, rule: Rule, shown: string])[] = [
    ['Pattern missing for rule [body: "*"]!', { body: "*" }, 'body: "*"'],
    [
      "Rule selector [shop.Shop.Put] must be empty or [shop.Shop.Get]",
      get("/a", { selector: "shop.Shop.Put" }),
      'selector: "shop.Shop.Put" get: "/a"',
    ],
    [
      "Only Custom patterns with [*] kind supported but [HEAD] found!",
      { pattern: { case: "custom", value: { kind: "HEAD", path: "/a" } } },
      'custom: { kind: "HEAD" path: "/a" }',
    ],
    [
      "Unknown field name [nothing] in type [shop.Everything] reference in path template for method [shop.Shop.Get]",
      get("/{nothing}"),
      'get: "/{nothing}"',
    ],
    [
      "Unknown field name [nothing] in type [shop.Everything] reference in path template for method [shop.Shop.Get]",
      get("/{inner.nothing}"),
      'get: "/{inner.nothing}"',
    ],
    [
      "Repeated parameters [shop.Everything.string_list] are not allowed as path variables",
      get("/{string_list}"),
      'get: "/{string_list}"',
    ],
    [
      "Repeated parameters [shop.Everything.inner_list] are not allowed as path variables",
      get("/{inner_list.the_string}"),
      'get: "/{inner_list.the_string}"',
    ],
    [
      "Map parameters [shop.Everything.string_map] are not allowed as path variables",
      get("/{string_map}"),
      'get: "/{string_map}"',
    ],
    ["Message path parameters not supported!", get("/{inner}"), 'get: "/{inner}"'],
    [
      "Field [shop.Everything.the_string] of path variable [the_string.x] has no fields: it is no message",
      get("/{the_string.x}"),
      'get: "/{the_string.x}"',
    ],
    [
      "Body configured to [nothing] but that field does not exist on input type.",
      post("/a", "nothing"),
      'post: "/a" body: "nothing"',
    ],
    [
      "Body configured to [inner_list] but that field is a repeated field.",
      post("/a", "inner_list"),
      'post: "/a" body: "inner_list"',
    ],
    [
      "Response body field [nothing] does not exist on type [shop.Everything]",
      get("/a", { responseBody: "nothing" }),
      'get: "/a" response_body: "nothing"',
    ],
    [
      'Only one level of additionalBindings supported, but [get: "/b"] has more than one!',
      get("/a", { additionalBindings: [get("/b", { additionalBindings: [get("/c")] })] }),
      'get: "/b"',
    ],
  ];
  for (const [reason, rule, shown] of config) {
    test(reason, () => {
      assert.equal(rejection(rule), `HTTP API Config: ${reason}\n  in rule [${shown}] of [shop.Shop.Get]`);
    });
  }

  test("a bad additional binding, too", () => {
    assert.match(
      rejection(get("/a", { additionalBindings: [get("/{x}")] })),
      /Unknown field name \[x\][^]*get: "\/\{x\}"/,
    );
  });

  const templates: readonly (readonly [template: string, reason: string, caret: string])[] = [
    ["", "Template must start with a slash at end of input of ''", "^"],
    ["a/b", "Template must start with a slash at character 1 of 'a/b'", "^"],
    ["/{the_string}/{the_string}", "Duplicate path in template at character 15", "              ^"],
    ["/{the_string=a/{the_int32}}", "Variable segments may not be nested at character 16", "               ^"],
    ["/**/b", "Multi segment matchers (**) may only be in the last position of the template at character 2", " ^"],
    [
      "/a/{the_string=**}/b",
      "Multi segment matchers (**) may only be in the last position of the template",
      "               ^",
    ],
    ["/{the_string", "Unclosed variable or unexpected character at end of input", "            ^"],
    ["/{the_string=a;}/{b*}", "Unclosed variable or unexpected character at character 20", "                   ^"],
    ["/a*b", "Expected '/', ':', path literal character, or end of input at character 3", "  ^"],
    ["/a:b:c", "Expected '/', ':', path literal character, or end of input at character 5", "    ^"],
    ["/", "Expected '*', '**', '{' or path literal character at end of input", " ^"],
    ["/a//b", "Expected '*', '**', '{' or path literal character at character 4", "   ^"],
    ["/{1}", "Expected the name of a field at character 3", "  ^"],
    [`/${"a/".repeat(256)}a`, "More than 256 segments at character 514", ""],
  ];
  for (const [template, reason, caret] of templates) {
    test(`the template '${template.slice(0, 40)}'`, () => {
      const message = rejection(get(template));
      assert(message.startsWith(reason), message);
      const lines = message.split("\n");
      assert.equal(lines[1], template);
      assert(lines[2]!.endsWith(caret || "^"), message);
      if (caret) assert.equal(lines[2], caret);
      assert.equal(lines[3], `  in rule [get: ${JSON.stringify(template)}] of [shop.Shop.Get]`);
    });
  }
});

suite("the route of a request", () => {
  const { routes, warnings } = shopRoutes(
    { name: "One", rule: get("/v1/{the_string}") },
    { name: "Two", rule: get("/v1/special", { additionalBindings: [post("/two")] }) },
    { name: "Three" },
    { name: "Four", rule: { pattern: { case: "custom", value: { kind: "*", path: "/any/{the_string=a/**}:run" } } } },
    { name: "Five", rule: { pattern: { case: "put", value: "/v1/{maybe_string}" } } },
    { name: "Six", rule: { pattern: { case: "delete", value: "/two" } } },
    { name: "Seven", rule: { pattern: { case: "patch", value: "/two" } } },
    { name: "Eight", rule: get("/v1/{choice_text}:verb") },
  );
  const found = (httpMethod: string, path: string) => routes.find(httpMethod, path)?.method.name;

  test("is that of the last rule that takes it", () => {
    assert.equal(found("GET", "/v1/x"), "One");
    assert.equal(found("GET", "/v1/special"), "Two");
    assert.equal(found("PUT", "/v1/special"), "Five");
    assert.equal(found("POST", "/two"), "Two");
    assert.equal(found("DELETE", "/two"), "Six");
    assert.equal(found("PATCH", "/two"), "Seven");
    assert.equal(found("GET", "/v1/"), "One", "a segment may be empty");
    assert.equal(found("GET", "/v1"), undefined);
    assert.equal(found("GET", "/v1/x/"), undefined);
    assert.equal(found("GET", "/v1/x:y"), undefined, "a segment ends at a colon");
    assert.equal(found("GET", "/v1/x:verb"), "Eight");
    assert.equal(found("GET", "/v1/x%3Ay"), "One");
    assert.equal(found("GET", "/v1/speci%61l"), "One", "literals are compared as they came");
    assert.equal(found("GET", "v1/x"), undefined);
    assert.equal(found("PROPFIND", "/any/a/b/c:run"), "Four");
    assert.equal(found("GET", "/any/b/c:run"), undefined);
  });

  test("without a rule is generated", () => {
    assert.equal(found("POST", "/shop.Shop/Three"), "Three");
    assert.equal(found("GET", "/shop.Shop/Three"), undefined);
    assert.equal(found("POST", "/shop.Shop/One"), undefined, "it has a rule");
  });

  test("tells which methods its path takes", () => {
    assert.deepEqual(routes.methods("/two"), ["DELETE", "PATCH", "POST"]);
    assert.deepEqual(routes.methods("/v1/special"), ["GET", "PUT"]);
    assert.deepEqual(routes.methods("/nowhere"), []);
    assert.deepEqual(routes.methods("/any/a/:run"), ["DELETE", "GET", "PATCH", "POST", "PUT"]);
  });

  test("that two rules take is warned of, with both", () => {
    assert.deepEqual(warnings, [
      { rule: 'get: "/v1/special" of shop.Shop.Two', over: ['get: "/v1/{the_string}" of shop.Shop.One'] },
    ]);
    const same = shopRoutes({ name: "A", rule: get("/{the_string}") }, { name: "B", rule: get("/{the_int32}") });
    assert.equal(same.routes.find("GET", "/1")?.method.name, "B");
    assert.equal(same.warnings.length, 1);
  });

  test("is found at once, whatever the path and however many rules there are", () => {
    const many = Array.from({ length: 600 }, (_, index) => ({
      name: `M${index}`,
      rule: get(`/v${index % 3}/{the_string}/x${index}/{maybe_string}/**`),
    }));
    const { routes: all } = shopRoutes(...many);
    assert.equal(all.find("GET", "/v2/a/x599/b/c/d")?.method.name, "M599");
    const long = `/v2/${"a/".repeat(200_000)}`;
    // Nothing but the time-out of a test ends a search that tries every rule at every segment.
    for (let round = 0; round < 200; round += 1) assert.equal(all.find("GET", long), undefined);
  });
});
