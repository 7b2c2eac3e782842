import type { IncomingHttpHeaders } from "node:http";
import { MassaError } from "../core/errors.ts";

/** One request that a route answers. */
export interface AdminRequest {
  /** The parts of the path that stand for `:name` in the pattern, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Names are in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** The whole body, at most `limits.message`. */
  readonly body: Buffer;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

/** What a route answers. Text goes out as it is, anything else as JSON. */
export interface AdminAnswer {
  readonly status: number;
  readonly body?: unknown;
  readonly contentType?: string;
}

/** Answers a request; a MassaError that it throws is answered with its HTTP status. */
export type AdminHandler = (request: AdminRequest) => Promise<AdminAnswer>;

/** How a request is let in: by anybody, or only from loopback or with the token. */
export type Guard = "open" | "guarded";

/** A handler with what its path was made of. */
export interface Match {
  readonly handler: AdminHandler;
  readonly guard: Guard;
  readonly params: Readonly<Record<string, string>>;
}

/** Paths like `/topics/:name`, by method. */
export interface RouteTable {
  add(method: string, pattern: string, handler: AdminHandler, guard: Guard): void;
  /** Undefined: no such path. Throws `unimplemented` when the path exists with other methods, `invalid` when it cannot be read. */
  match(method: string, path: string): Match | undefined;
}

interface Route {
  readonly method: string;
  readonly segments: readonly string[];
  readonly handler: AdminHandler;
  readonly guard: Guard;
}

export function createRouteTable(): RouteTable {
  const routes: Route[] = [];
  return {
    add: (method, pattern, handler, guard) =>
      void routes.push({ method, segments: pattern.split("/"), handler, guard }),
    match(method, path) {
      const segments = path.split("/").map(decoded);
      const found = routes.filter((route) => isLike(route.segments, segments));
      const wanted = method === "HEAD" ? "GET" : method;
      const route = found.find((candidate) => candidate.method === wanted);
      if (route) {
        const { handler, guard } = route;
        return { handler, guard, params: paramsOf(route.segments, segments) };
      }
      if (found.length === 0) return undefined;
      const allowed = [...new Set(found.map((candidate) => candidate.method))].join(", ");
      throw new MassaError("unimplemented", `${path} takes ${allowed}, not ${method}`);
    },
  };
}

function isLike(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, at) => (part.startsWith(":") ? segments[at] !== "" : part === segments[at]))
  );
}

function paramsOf(pattern: readonly string[], segments: readonly string[]): Record<string, string> {
  const named = pattern.flatMap((part, at) => (part.startsWith(":") ? [[part.slice(1), segments[at]!] as const] : []));
  return Object.fromEntries(named);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (failure) {
    throw new MassaError("invalid", `"${segment}" is no percent-encoded text`, { cause: failure });
  }
}
