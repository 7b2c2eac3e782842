import { type DescField, type DescMessage, type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { http } from "../wire/gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../wire/gen/google/api/http_pb.ts";
import { type HttpTemplate, parseHttpTemplate, TemplateError } from "./http-template.ts";
import { Rejection } from "./rejection.ts";

/** One way to call a method over HTTP: a checked rule of `google.api.http`, or the generated one. */
export interface HttpBinding {
  /** The rule in words, such as `get: "/v1/{id}"`, for logs. */
  readonly rule: string;
  /** `GET`, `PUT`, `POST`, `DELETE`, `PATCH`, or `*` for any. */
  readonly httpMethod: string;
  readonly template: HttpTemplate;
  /** The fields that the variables of the template name, each from the input inwards; same order. */
  readonly variables: readonly (readonly DescField[])[];
  readonly body: HttpBodyUse;
  /** The field of the reply that is answered; undefined: all of it. */
  readonly responseBody: DescField | undefined;
  readonly input: DescMessage;
  readonly output: DescMessage;
}

/** What becomes of a request's body: nothing, the whole input, or one field of it. */
export type HttpBodyUse =
  { readonly type: "none" } | { readonly type: "whole" } | { readonly type: "field"; readonly field: DescField };

/**
 * The HTTP bindings of a method: its rule and that rule's additional ones, or without a rule `POST /<service>/<method>`.
 * Throws a `Rejection` that names the rule and what is wrong with it.
 */
export function readHttpBindings(method: DescMethod): readonly HttpBinding[] {
  if (!hasOption(method, http)) return [generated(method)];
  const rule = getOption(method, http);
  const more = rule.additionalBindings.map((each) => {
    if (each.additionalBindings.length > 0) {
      const reason = `Only one level of additionalBindings supported, but [${shown(each)}] has more than one!`;
      throw new Rejection(prefix + reason + placeOf(each, method));
    }
    return compile(each, method);
  });
  return [compile(rule, method), ...more];
}

const prefix = "HTTP API Config: ";

function generated({ parent, name, input, output }: DescMethod): HttpBinding {
  const path = `/${parent.typeName}/${name}`;
  return {
    rule: `post: "${path}" body: "*"`,
    httpMethod: "POST",
    template: {
      segments: [
        { type: "literal", text: parent.typeName },
        { type: "literal", text: name },
      ],
      variables: [],
      verb: undefined,
    },
    variables: [],
    body: { type: "whole" },
    responseBody: undefined,
    input,
    output,
  };
}

function compile(rule: HttpRule, method: DescMethod): HttpBinding {
  const { input, output } = method;
  try {
    checkSelector(rule, method);
    const { httpMethod, path } = patternOf(rule);
    const template = parseHttpTemplate(path);
    return {
      rule: shown(rule),
      httpMethod,
      template,
      variables: template.variables.map((variable) => fieldsOf(variable.path, method)),
      body: bodyOf(rule, input),
      responseBody: responseBodyOf(rule, output),
      input,
      output,
    };
  } catch (failure) {
    if (!(failure instanceof BadRule || failure instanceof TemplateError)) throw failure;
    const start = failure instanceof BadRule ? prefix : "";
    throw new Rejection(start + failure.message + placeOf(rule, method));
  }
}

/** What is wrong with a rule. */
class BadRule extends Error {}

function placeOf(rule: HttpRule, method: DescMethod): string {
  return `\n  in rule [${shown(rule)}] of [${nameOf(method)}]`;
}

function nameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName}.${name}`;
}

function checkSelector({ selector }: HttpRule, method: DescMethod): void {
  if (selector === "" || selector === nameOf(method)) return;
  throw new BadRule(`Rule selector [${selector}] must be empty or [${nameOf(method)}]`);
}

function patternOf(rule: HttpRule): { readonly httpMethod: string; readonly path: string } {
  const { pattern } = rule;
  if (pattern.case === undefined) throw new BadRule(`Pattern missing for rule [${shown(rule)}]!`);
  if (pattern.case !== "custom") return { httpMethod: pattern.case.toUpperCase(), path: pattern.value };
  const { kind, path } = pattern.value;
  if (kind !== "*") throw new BadRule(`Only Custom patterns with [*] kind supported but [${kind}] found!`);
  return { httpMethod: kind, path };
}

function fieldsOf(path: readonly string[], method: DescMethod): readonly DescField[] {
  const fields: DescField[] = [];
  let type: DescMessage = method.input;
  for (const [index, name] of path.entries()) {
    const field = type.fields.find((each) => each.name === name);
    if (!field) {
      throw new BadRule(
        `Unknown field name [${name}] in type [${type.typeName}] reference in path template for method [${nameOf(method)}]`,
      );
    }
    const fullName = `${type.typeName}.${name}`;
    if (field.fieldKind === "list") {
      throw new BadRule(`Repeated parameters [${fullName}] are not allowed as path variables`);
    }
    if (field.fieldKind === "map") throw new BadRule(`Map parameters [${fullName}] are not allowed as path variables`);
    fields.push(field);
    if (index === path.length - 1) {
      if (field.fieldKind === "message") throw new BadRule("Message path parameters not supported!");
    } else if (field.fieldKind === "message") type = field.message;
    else throw new BadRule(`Field [${fullName}] of path variable [${path.join(".")}] has no fields: it is no message`);
  }
  return fields;
}

function bodyOf({ body }: HttpRule, input: DescMessage): HttpBodyUse {
  if (body === "") return { type: "none" };
  if (body === "*") return { type: "whole" };
  const field = input.fields.find(({ name }) => name === body);
  const refuse = (reason: string) => new BadRule(`Body configured to [${body}] but that field ${reason}.`);
  if (!field) throw refuse("does not exist on input type");
  if (field.fieldKind === "list" || field.fieldKind === "map") throw refuse("is a repeated field");
  return { type: "field", field };
}

function responseBodyOf({ responseBody }: HttpRule, output: DescMessage): DescField | undefined {
  if (responseBody === "") return undefined;
  const field = output.fields.find(({ name }) => name === responseBody);
  if (field) return field;
  throw new BadRule(`Response body field [${responseBody}] does not exist on type [${output.typeName}]`);
}

/** A rule much as it is written in a proto file. */
function shown({ selector, pattern, body, responseBody }: HttpRule): string {
  const quoted = (name: string, value: string) => (value === "" ? [] : [`${name}: ${JSON.stringify(value)}`]);
  const custom = pattern.case === "custom" ? pattern.value : undefined;
  return [
    ...quoted("selector", selector),
    ...(custom ? [`custom: { kind: ${JSON.stringify(custom.kind)} path: ${JSON.stringify(custom.path)} }`] : []),
    ...(pattern.case !== undefined && pattern.case !== "custom"
      ? [`${pattern.case}: ${JSON.stringify(pattern.value)}`]
      : []),
    ...quoted("body", body),
    ...quoted("response_body", responseBody),
  ].join(" ");
}
