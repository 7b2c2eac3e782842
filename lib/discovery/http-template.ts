/** One step of a path: literal text, `*`, or `**` for all that is left. */
export type HttpSegment =
  { readonly type: "literal"; readonly text: string } | { readonly type: "one" } | { readonly type: "rest" };

/** A variable of a template: the field that it names, and the segments that it captures. */
export interface HttpVariable {
  /** Names of fields, from the message inwards. */
  readonly path: readonly string[];
  /** The segments `from` up to, not including, `to`. */
  readonly from: number;
  readonly to: number;
}

/** A path template of `google.api.http`, without its variables a list of segments. */
export interface HttpTemplate {
  readonly segments: readonly HttpSegment[];
  readonly variables: readonly HttpVariable[];
  /** What follows the last `:`; undefined without one. */
  readonly verb: string | undefined;
}

/** A template that does not follow the grammar; the message points at the place. */
export class TemplateError extends Error {
  constructor(reason: string, template: string, at: number) {
    const where = at >= template.length ? `end of input of '${template}'` : `character ${at + 1} of '${template}'`;
    super(`${reason} at ${where}\n${template}\n${template.slice(0, at).replace(/[^\t]/g, " ")}^`);
  }
}

/**
 * Parses `/segments[:verb]`, where a segment is `*`, `**`, a literal, or `{field.path}` with its own segments after `=`.
 * Throws a `TemplateError`.
 */
export function parseHttpTemplate(template: string): HttpTemplate {
  let at = 0;
  const segments: HttpSegment[] = [];
  const variables: HttpVariable[] = [];
  const starts: number[] = [];
  const refuse = (reason: string, place = at): never => {
    throw new TemplateError(reason, template, place);
  };

  function readSegments(inVariable: boolean): void {
    do readSegment(inVariable);
    while (take("/"));
  }

  function readSegment(inVariable: boolean): void {
    if (template[at] === "{") {
      if (inVariable) refuse("Variable segments may not be nested");
      readVariable();
      return;
    }
    if (starts.length === segmentsMax) refuse(`More than ${segmentsMax} segments`);
    starts.push(at);
    if (take("**")) segments.push({ type: "rest" });
    else if (take("*")) segments.push({ type: "one" });
    else segments.push({ type: "literal", text: readLiteral() });
  }

  function readVariable(): void {
    const start = at++;
    const path = [readName()];
    while (take(".")) path.push(readName());
    const from = segments.length;
    if (take("=")) readSegments(true);
    else {
      if (starts.length === segmentsMax) refuse(`More than ${segmentsMax} segments`, start);
      starts.push(start);
      segments.push({ type: "one" });
    }
    if (!take("}")) refuse("Unclosed variable or unexpected character");
    if (variables.some((other) => other.path.join(".") === path.join("."))) {
      refuse("Duplicate path in template", start);
    }
    variables.push({ path, from, to: segments.length });
  }

  function readName(): string {
    const [name] = /^[A-Za-z][A-Za-z0-9_]*/.exec(template.slice(at, at + nameMax)) ?? [];
    if (name === undefined) return refuse("Expected the name of a field");
    at += name.length;
    return name;
  }

  function readLiteral(): string {
    const start = at;
    while (at < template.length && !special.includes(template[at]!)) at += 1;
    if (at === start) refuse("Expected '*', '**', '{' or path literal character");
    return template.slice(start, at);
  }

  function take(token: string): boolean {
    if (!template.startsWith(token, at)) return false;
    at += token.length;
    return true;
  }

  if (!take("/")) refuse("Template must start with a slash");
  readSegments(false);
  const verb = take(":") ? readLiteral() : undefined;
  if (at < template.length) refuse("Expected '/', ':', path literal character, or end of input");
  const early = segments.findIndex(({ type }, index) => type === "rest" && index < segments.length - 1);
  if (early >= 0) {
    refuse("Multi segment matchers (**) may only be in the last position of the template", starts[early]);
  }
  return { segments, variables, verb };
}

/** What a literal cannot hold. */
const special = "*{}/:\n";
const nameMax = 1024;
const segmentsMax = 256;
