/** The members of a JSON object, each with its value's own text; of a repeated name the last. Undefined for anything else. */
export function jsonMembers(text: string): ReadonlyMap<string, string> | undefined {
  if (!isObject(text)) return undefined;
  const members = new Map<string, string>();
  let depth = 0;
  let start = 0;
  let name: string | undefined;
  for (let at = 0; at < text.length; at += 1) {
    switch (text[at]) {
      case '"':
        at = endOfString(text, at);
        break;
      case "{":
      case "[":
        depth += 1;
        if (depth === 1) start = at + 1;
        break;
      case ":":
        if (depth !== 1) break;
        name = JSON.parse(text.slice(start, at)) as string;
        start = at + 1;
        break;
      case ",":
      case "}":
      case "]":
        if (depth === 1 && name !== undefined) members.set(name, text.slice(start, at).trim());
        if (depth === 1) start = at + 1;
        if (text[at] !== ",") depth -= 1;
        break;
    }
  }
  return members;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}
