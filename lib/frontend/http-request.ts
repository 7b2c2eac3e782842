import type { DescField } from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";
import type { HttpBinding } from "../discovery/http-rule.ts";
import type { DynamicJson, JsonCodec } from "../wire/dynamic-json.ts";
import { inFieldOrder, type Rivalry } from "../wire/field-order.ts";
import { encodeHttpBody, isHttpBody } from "./http-body.ts";
import { QueryFields, readQuery, type TextField, textFieldOf, TextMessage } from "./http-fields.ts";

/** The body of an HTTP request, whole. */
export interface HttpBodyInput {
  readonly contentType: string | undefined;
  readonly bytes: Uint8Array;
}

/** What a request holds that becomes a message; captures and query are raw, that is percent-encoded. */
export interface HttpRequestParts {
  readonly captures: readonly string[];
  readonly query: string;
  readonly body: HttpBodyInput | undefined;
}

/** Makes the bytes of an input message of a request. Throws `invalid` with the path of the field and the reason. */
export type BuildHttpRequest = (parts: HttpRequestParts) => Uint8Array;

/**
 * Makes the builder for one binding: fields from the body, then those of the query, then those of the path, so that in the
 * message, where of repeated singular fields and of the members of a oneof the last one counts, the path overrides the rest.
 */
export function compileHttpRequest(binding: HttpBinding, json: DynamicJson): BuildHttpRequest {
  const { input, body } = binding;
  const readQuoted = (type: HttpBinding["input"], text: string) =>
    json.message(type).parse(Buffer.from(JSON.stringify(text)));
  const readBody = bodyReaderOf(binding, json);
  const variables = binding.variables.map((fields) => textFieldOf(fields, readQuoted));
  const queryFields = new QueryFields(input, body.type === "field" ? body.field : undefined, readQuoted);
  const rivalry = rivalryOf(input);
  const takesQuery = body.type !== "whole";
  return ({ captures, query, body: given }) => {
    const parts: Uint8Array[] = [];
    if (readBody && given) {
      const content = readBody(given);
      if ((!takesQuery || query === "") && variables.length === 0) return content;
      parts.push(content);
    }
    if (takesQuery && query !== "") parts.push(readQuery(query, queryFields));
    if (variables.length > 0) parts.push(pathMessage(variables, captures));
    return inFieldOrder(Buffer.concat(parts), rivalry);
  };
}

/** Messages are no single values: their parts from path, query and body are one. */
function rivalryOf({ fields, oneofs }: HttpBinding["input"]): Rivalry {
  const singles = new Set(fields.filter(isSingleValue).map(({ number }) => number));
  const chosen = new Map(oneofs.flatMap((oneof) => oneof.fields.map(({ number }) => [number, oneof] as const)));
  return { isSingle: (number) => singles.has(number), oneofOf: (number) => chosen.get(number) };
}

function isSingleValue({ fieldKind }: DescField): boolean {
  return fieldKind === "scalar" || fieldKind === "enum";
}

function pathMessage(variables: readonly TextField[], captures: readonly string[]): Uint8Array {
  const message = new TextMessage();
  for (const [index, variable] of variables.entries()) message.add(variable, captures[index]!, false);
  return message.finish();
}

function bodyReaderOf(
  { body, input }: HttpBinding,
  json: DynamicJson,
): ((body: HttpBodyInput) => Uint8Array) | undefined {
  switch (body.type) {
    case "none":
      return undefined;
    case "whole":
      return isHttpBody(input) ? encodeHttpBody : jsonReader(json.message(input));
    case "field": {
      const { field } = body;
      return isHttpBody(field.message) ? (given) => encodeHttpBody(given, field.number) : jsonReader(json.field(field));
    }
  }
}

/** Whether the body is read as JSON, and not as the bytes that it is. */
export function wantsJson({ body, input }: HttpBinding): boolean {
  if (body.type === "none") return false;
  return !isHttpBody(body.type === "field" ? body.field.message : input);
}

function jsonReader(codec: JsonCodec): (body: HttpBodyInput) => Uint8Array {
  return ({ contentType, bytes }) => {
    checkJsonType(contentType);
    return codec.parse(bytes);
  };
}

/** Throws `invalid` for the content type of a body that is not said to be JSON. */
export function checkJsonType(contentType: string | undefined): void {
  if (contentType !== undefined && jsonType.test(contentType)) return;
  const given = contentType === undefined ? "there is none" : `it is ${JSON.stringify(contentType.slice(0, 100))}`;
  throw new MassaError("invalid", `the content type must be application/json, but ${given}`);
}

/** Without parameters, or with a charset, which JSON has no use for. */
const jsonType = /^[ \t]*application\/json[ \t]*(;[ \t]*charset[ \t]*=[^;]*)?$/i;
