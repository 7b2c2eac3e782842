import type { HeaderBlock } from "../wire/http2.ts";

export interface CorsOptions {
  /** `frontend.cors.origins`: who may call from a page; `*` is everybody, empty nobody. */
  readonly origins: readonly string[];
  /** `frontend.cors.headers`: request headers that pages may set besides those of gRPC-Web. */
  readonly headers: readonly string[];
  /** `frontend.cors.exposed`: response headers that pages may read besides those of gRPC. */
  readonly exposed: readonly string[];
  /** `frontend.cors.maxAge`: how long a browser may keep the answer to a preflight. */
  readonly maxAgeMs: number;
}

/** What browsers are told about pages of other origins. */
export interface Cors {
  /** Headers of every response. */
  headersFor(origin: string | undefined): HeaderBlock;
  /** Headers that answer a preflight; undefined for an origin that may not call. */
  preflight(origin: string, methods: readonly string[]): HeaderBlock | undefined;
}

const requestHeaders = ["content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"];
const responseHeaders = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
const none: HeaderBlock = {};

/** Undefined when no origin is configured: then no header of CORS is ever sent. */
export function createCors(options: CorsOptions): Cors | undefined {
  if (options.origins.length === 0) return undefined;
  const origins = new Set(options.origins);
  const isOpen = origins.has("*");
  const vary: HeaderBlock = isOpen ? none : { vary: "origin" };
  const exposed = [...responseHeaders, ...options.exposed].join(", ");
  const allowed = [...requestHeaders, ...options.headers].join(", ");
  const maxAge = String(Math.floor(options.maxAgeMs / 1_000));

  const headersFor = (origin: string | undefined): HeaderBlock => {
    if (origin === undefined || !(isOpen || origins.has(origin))) return vary;
    return {
      ...vary,
      "access-control-allow-origin": isOpen ? "*" : origin,
      "access-control-expose-headers": exposed,
    };
  };
  return {
    headersFor,
    preflight(origin, methods) {
      if (!isOpen && !origins.has(origin)) return undefined;
      return {
        "access-control-allow-methods": methods.join(", "),
        "access-control-allow-headers": allowed,
        "access-control-max-age": maxAge,
      };
    },
  };
}
