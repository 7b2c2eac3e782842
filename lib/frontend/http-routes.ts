import type { Logger } from "../core/log.ts";
import type { HttpBinding } from "../discovery/http-rule.ts";
import type { Method, ServiceTable } from "../discovery/service-table.ts";
import { createDynamicJson } from "../wire/dynamic-json.ts";
import { capturesOf, type HttpPathEntry, HttpPathIndex } from "./http-paths.ts";
import { type BuildHttpRequest, compileHttpRequest, type HttpBodyInput, wantsJson } from "./http-request.ts";
import { compileHttpResponse, type HttpPart, type PrintHttpResponse } from "./http-response.ts";

export type { HttpBodyInput, HttpPart };

/** Which requests of HTTP and JSON are calls of which methods, by the rules that the methods declare. */
export interface HttpRoutes {
  /** The route for a request; `path` is the raw, undecoded path without query. */
  find(httpMethod: string, path: string): HttpMatch | undefined;
  /** The HTTP methods that some rule takes for this path, in alphabetical order; none: there is no such path. */
  methods(path: string): readonly string[];
}

/** A request's route. */
export interface HttpMatch {
  readonly method: Method;
  /** Whether the rule reads a request body. */
  readonly readsBody: boolean;
  /** Whether that body must be JSON. */
  readonly wantsJson: boolean;
  /**
   * The bytes of the input message. `query` is the raw query without `?`; without a body only query and path count.
   * Throws `invalid`: `<field path>: <reason>`.
   */
  request(query: string, body: HttpBodyInput | undefined): Uint8Array;
  /** One reply message as it goes out. Throws `protocol` for bytes that are no such message. */
  response(bytes: Uint8Array): HttpPart;
}

interface Route extends HttpPathEntry {
  readonly method: Method;
  readonly binding: HttpBinding;
  readonly compiled: () => Compiled;
}

interface Compiled {
  readonly request: BuildHttpRequest;
  readonly response: PrintHttpResponse;
}

/** The routes of all methods of a table. Where several take the same request the last declared wins, which is logged. */
export function createHttpRoutes(table: ServiceTable, log?: Logger): HttpRoutes {
  const json = createDynamicJson(table.registry);
  const index = new HttpPathIndex<Route>();
  let order = 0;
  for (const service of table.services.values()) {
    for (const method of service.methods.values()) {
      for (const binding of method.http ?? []) {
        const { httpMethod, template } = binding;
        const compiled = once(() => ({
          request: compileHttpRequest(binding, json),
          response: compileHttpResponse(binding, json),
        }));
        const route = { order: order++, httpMethod, template, method, binding, compiled };
        const over = index.overlapping(route).map(wordsOf);
        if (over.length > 0) log?.warn({ rule: wordsOf(route), over }, "http rules overlap, the later one wins");
        index.add(route);
      }
    }
  }

  return {
    find(httpMethod, path) {
      const route = index.find(httpMethod, path);
      if (!route) return undefined;
      const { method, binding } = route;
      const { request, response } = route.compiled();
      return {
        method,
        readsBody: binding.body.type !== "none",
        wantsJson: wantsJson(binding),
        request: (query, body) => request({ captures: capturesOf(binding.template, path), query, body }),
        response,
      };
    },
    methods(path) {
      const methods = index.methods(path);
      return methods.has("*") ? usual : [...methods].sort();
    },
  };
}

/** What a rule for any HTTP method is said to take. */
const usual: readonly string[] = ["DELETE", "GET", "PATCH", "POST", "PUT"];

function wordsOf({ binding, method }: Route): string {
  return `${binding.rule} of ${method.service.name}.${method.name}`;
}

/** Most methods are never called over HTTP: what that takes is made at the first call. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
