import { z } from "zod";

const durationMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const sizeBytes: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1_000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1_024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
};
/** The longest delay that a timer of Node can wait; a longer one would fire at once. */
const timerMaxMs = 2_147_483_647;

/** What `read` makes of a raw value, or a refusal in words that end the sentence "x must be …". */
type Read<T> = (raw: string) => T | Refusal;

class Refusal {
  readonly wanted: string;

  constructor(wanted: string) {
    this.wanted = wanted;
  }
}

/** A schema for one value that comes as text, or as the matching YAML scalar. */
function value<T>(read: Read<T>) {
  return z.unknown().transform((raw, context): T => {
    const isScalar = typeof raw === "string" || typeof raw === "number" || typeof raw === "boolean";
    const result = isScalar ? read(String(raw).trim()) : new Refusal("one value, not a list or a group");
    if (!(result instanceof Refusal)) return result;
    context.addIssue({ code: "custom", message: `must be ${result.wanted}` });
    return z.NEVER;
  });
}

/** A time such as `5ms`, `2s`, `1m`, `12h`; milliseconds once read. */
export function duration(minMs = 1) {
  return value((raw) => {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(raw);
    if (!match) return new Refusal("a time with its unit, such as 5ms, 2s, 1m or 12h");
    const ms = Math.round(Number(match[1]) * durationMs[match[2]!]!);
    if (ms < minMs || ms > timerMaxMs)
      return new Refusal(`between ${minMs}ms and ${Math.floor(timerMaxMs / 3_600_000)}h`);
    return ms;
  });
}

/** An amount of memory such as `64MiB`, `60kB` or plain bytes; bytes once read. */
export function size(minBytes = 1, maxBytes = Number.MAX_SAFE_INTEGER) {
  return value((raw) => {
    const match = /^(\d+(?:\.\d+)?)\s?([kKMG]i?B|B)?$/.exec(raw);
    const unit = match && sizeBytes[match[2] ?? "B"];
    if (!unit) return new Refusal("a size, such as 64MiB, 60kB or a number of bytes");
    const bytes = Math.round(Number(match[1]) * unit);
    return bytes < minBytes || bytes > maxBytes ? new Refusal(`from ${minBytes} to ${maxBytes} bytes`) : bytes;
  });
}

/** A whole number. */
export function count(min = 1, max = 1_000_000_000) {
  return value((raw) => {
    const number = /^\d+$/.test(raw) ? Number(raw) : Number.NaN;
    return number >= min && number <= max ? number : new Refusal(`a whole number from ${min} to ${max}`);
  });
}

/** A TCP port; 0 takes a free one where the setting allows it. */
export function port(min: 0 | 1) {
  return count(min, 65_535);
}

/** Text that is not empty. */
export function text() {
  return value((raw) => (raw === "" ? new Refusal("some text") : raw));
}

export function flag() {
  return value((raw) => {
    if (raw === "true" || raw === "false") return raw === "true";
    return new Refusal("true or false");
  });
}

export function oneOf<const T extends string>(...names: readonly T[]) {
  return value<T>((raw) => names.find((name) => name === raw) ?? new Refusal(`one of ${names.join(", ")}`));
}

/** Several texts: a YAML list, or one text with commas. `accepts` says why an item will not do, or nothing. */
export function list(accepts: (item: string) => string | undefined = () => undefined, max = 1_000) {
  return z.unknown().transform((raw, context): readonly string[] => {
    const items = Array.isArray(raw) ? raw.map(String) : String(raw).split(",");
    const result = items.map((item) => item.trim()).filter((item) => item !== "");
    const refusal =
      result.length > max ? `must be at most ${max} items` : result.map(accepts).find((reason) => reason !== undefined);
    if (refusal === undefined) return result;
    context.addIssue({ code: "custom", message: refusal });
    return z.NEVER;
  });
}

/** Whole numbers by name: a YAML group, or text such as `stock=3,cart=5`. */
export function countsByName() {
  return z.unknown().transform((raw, context): Readonly<Record<string, number>> => {
    const pairs = typeof raw === "object" && raw !== null ? Object.entries(raw) : textPairs(String(raw));
    const result: [string, number][] = [];
    for (const [name, number] of pairs) {
      if (name === "" || !/^\d+$/.test(String(number)) || Number(number) < 1) {
        context.addIssue({ code: "custom", message: "must be whole numbers by name, such as stock=3,cart=5" });
        return z.NEVER;
      }
      result.push([name, Number(number)]);
    }
    return Object.fromEntries(result);
  });
}

function textPairs(raw: string): readonly (readonly [string, unknown])[] {
  return raw
    .split(",")
    .filter((item) => item.trim() !== "")
    .map((item) => {
      const at = item.lastIndexOf("=");
      return [item.slice(0, Math.max(0, at)).trim(), item.slice(at + 1).trim()] as const;
    });
}

/** Refuses what is not `host:port`. */
export function hostAndPort(item: string): string | undefined {
  const at = item.lastIndexOf(":");
  const number = Number(item.slice(at + 1));
  const isFine = at > 0 && /^\d+$/.test(item.slice(at + 1)) && number > 0 && number <= 65_535;
  return isFine ? undefined : `must be addresses such as proxy-a:9005 with commas between, and "${item}" is none`;
}

/** Where the store keeps what it keeps: in this process, or in a file. */
export type StorePlace = { readonly type: "memory" } | { readonly type: "file"; readonly path: string };

/** `memory`, or `file:` and a path. */
export function storePlace() {
  return value<StorePlace>((raw) => {
    if (raw === "memory") return { type: "memory" };
    const [, path] = /^file:(?!\/\/[^/])(.+)$/s.exec(raw) ?? [];
    if (path === undefined || path.includes("\0")) {
      return new Refusal("memory, or file: and a path, such as file:/var/lib/massa/massa.db");
    }
    return { type: "file", path };
  });
}

/** Refuses what is neither the origin of a web page nor `*`. */
export function origin(item: string): string | undefined {
  const isFine = item === "*" || /^[a-z][a-z0-9+.-]*:\/\/[^/\s,]+$/.test(item);
  return isFine
    ? undefined
    : `must be origins such as https://shop.example with commas between, or *, and "${item}" is none`;
}

/** Refuses what is no name of an HTTP header. */
export function headerName(item: string): string | undefined {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(item)
    ? undefined
    : `must be names of headers with commas between, and "${item}" is none`;
}
