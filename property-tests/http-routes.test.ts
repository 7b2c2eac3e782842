import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import { type HttpTemplate, parseHttpTemplate, TemplateError } from "../lib/discovery/http-template.ts";
import { capturesOf, type HttpPathEntry, HttpPathIndex } from "../lib/frontend/http-paths.ts";
import { get, post, type Rule, shopRoutes } from "../test/http-harness.ts";
import { texts } from "./http-arbitrary.ts";

/** Few words, so that templates and paths meet. */
const word = fc.constantFrom("a", "b", "a.b", "%41");
const flat = fc.oneof({ weight: 3, arbitrary: word }, { weight: 2, arbitrary: fc.constant("*") });
const variable = fc.constantFrom("x", "y.z", "w");
const segment = fc.oneof(
  { weight: 4, arbitrary: flat },
  { weight: 1, arbitrary: variable.map((name) => `{${name}}`) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(variable, fc.array(flat, { minLength: 1, maxLength: 2 }))
      .map(([name, inner]) => `{${name}=${inner.join("/")}}`),
  },
);
const last = fc.oneof(
  { weight: 3, arbitrary: segment },
  { weight: 1, arbitrary: fc.constantFrom("**", "{x=**}", "{x=a/**}", "{x=*/**}") },
);
const verb = fc.constantFrom("", "", ":go", ":b");
const templates = fc
  .tuple(fc.array(segment, { maxLength: 3 }), last, verb)
  .map(([before, after, end]) => `/${[...before, after].join("/")}${end}`)
  .filter((template) => parses(template));
const paths = fc
  .tuple(fc.array(fc.constantFrom("a", "b", "a.b", "%41", "", "c:go", "c"), { maxLength: 5 }), verb)
  .map(([steps, end]) => `/${steps.join("/")}${end}`);

function parses(template: string): boolean {
  try {
    parseHttpTemplate(template);
    return true;
  } catch (failure) {
    assert(failure instanceof TemplateError);
    return false;
  }
}

/** A template as a regular expression, which is what the rules of the grammar say of matching. */
function naive(template: string): RegExp {
  const literal = (text: string) => text.replace(/[.\\^$+?()[\]|]/g, "\\$&");
  const inner = (text: string) => literal(text).replace(/\*\*|\*/g, (stars) => (stars === "**" ? "[^]*" : "[^/:]*"));
  const source = template.replace(/\{([^}=]*)(?:=([^}]*))?\}|[^{]+/g, (piece, name?: string, pattern?: string) =>
    name === undefined ? inner(piece) : `(${inner(pattern ?? "*")})`,
  );
  return new RegExp(`^${source}$`);
}

interface Entry extends HttpPathEntry {
  readonly text: string;
}

function entryOf(text: string, httpMethod: string, order: number): Entry {
  return { text, httpMethod, order, template: parseHttpTemplate(text) };
}

const declared = fc.array(fc.tuple(templates, fc.constantFrom("GET", "POST", "*")), { maxLength: 12 });

suite("paths", () => {
  test("find the template that a regular expression finds, the last of several", () => {
    fc.assert(
      fc.property(declared, fc.array(paths, { minLength: 1, maxLength: 8 }), (rules, asked) => {
        const index = new HttpPathIndex<Entry>();
        const entries = rules.map(([template, method], order) => entryOf(template, method, order));
        for (const entry of entries) index.add(entry);
        for (const path of asked) {
          const matching = entries.filter(({ text }) => naive(text).test(path));
          const expected = matching.findLast(({ httpMethod }) => httpMethod !== "POST");
          const found = index.find("GET", path);
          assert.equal(found?.order, expected?.order, path);
          assert.deepEqual(
            [...index.methods(path)].sort(),
            [...new Set(matching.map(({ httpMethod }) => httpMethod))].sort(),
          );
          if (found) assert.deepEqual(capturesOf(found.template, path), naive(found.text).exec(path)!.slice(1));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("overlaps are told exactly when some path is taken by both", () => {
    fc.assert(
      fc.property(templates, templates, fc.array(paths, { minLength: 20, maxLength: 40 }), (one, other, asked) => {
        const index = new HttpPathIndex<Entry>();
        index.add(entryOf(one, "GET", 0));
        const told = index.overlapping(entryOf(other, "*", 1)).length > 0;
        const both = asked.find((path) => naive(one).test(path) && naive(other).test(path));
        if (!told) assert.equal(both, undefined);
        else assert(naive(one).test(common(one, other)) && naive(other).test(common(one, other)), common(one, other));
        assert.deepEqual(index.overlapping(entryOf(other, "POST", 1)), []);
      }),
      { numRuns: 2_000 },
    );
  });

  test("any text is a template or is refused at a place within it", () => {
    const texts = fc.string({ unit: fc.constantFrom(...Array.from("/*{}=:.ab%\n\té")), maxLength: 14 });
    fc.assert(
      fc.property(texts, (text) => {
        try {
          const { segments, variables } = parseHttpTemplate(text);
          for (const { from, to } of variables) assert(from < to && to <= segments.length);
        } catch (failure) {
          assert(failure instanceof TemplateError);
          assert.match(failure.message, /at (character \d+|end of input) of '/);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

/** A path that both templates take, if there is one. */
function common(one: string, other: string): string {
  const [left, right] = [parseHttpTemplate(one), parseHttpTemplate(other)];
  const steps: string[] = [];
  const count = Math.max(left.segments.length, right.segments.length);
  for (let index = 0; index < count; index += 1) {
    const choices = [left, right].map(({ segments }) => segments[Math.min(index, segments.length - 1)]!);
    const literal = choices.find(({ type }) => type === "literal");
    steps.push(literal?.type === "literal" ? literal.text : "c");
  }
  const ends = (template: HttpTemplate) => (template.verb === undefined ? "" : `:${template.verb}`);
  return `/${steps.join("/")}${ends(left) || ends(right)}`;
}

suite("requests that mean harm", () => {
  const rule: Rule = get("/v1/{the_string=**}", {
    additionalBindings: [get("/n/{the_int64}/{inner.the_bool}"), post("/b/{the_bytes}", "inner")],
  });
  const { routes } = shopRoutes({ name: "Get", rule });
  const hostile = fc.oneof(
    texts,
    fc.string({ unit: fc.constantFrom(...Array.from("%2fF0a:/?&=+.;\u00e9\u0000é")), maxLength: 20 }),
  );
  const query = fc
    .array(
      fc.tuple(
        fc.constantFrom(
          "the_string",
          "theInt32",
          "inner.inner.color",
          "int64_list",
          "a_timestamp",
          "any_map",
          "string_map",
          "choice_text",
          "x",
        ),
        hostile,
      ),
      { maxLength: 4 },
    )
    .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join("&"));

  test("are answered by a message or refused as invalid", () => {
    const body = fc.option(
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        hostile.map((text) => Buffer.from(text)),
      ),
      { nil: undefined },
    );
    fc.assert(
      fc.property(fc.constantFrom("/v1/", "/n/", "/b/"), hostile, query, body, (start, path, asked, bytes) => {
        const match = routes.find("GET", start + path) ?? routes.find("POST", start + path);
        try {
          const message = match?.request(asked, bytes && { contentType: "application/json", bytes });
          if (message) match?.response(message);
        } catch (failure) {
          assert(failure instanceof MassaError, String(failure));
          assert.equal(failure.code, "invalid");
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
