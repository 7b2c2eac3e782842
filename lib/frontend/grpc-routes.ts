import { MassaError } from "../core/errors.ts";
import type { Route } from "./call.ts";

/** Paths of the gRPC methods that are served. */
export type Routes = ReadonlyMap<string, Route>;

/** Why a path leads nowhere. */
export function unknownPath(routes: Routes, path: string): MassaError {
  const [, service = "", method = ""] = path.slice(0, 500).split("/");
  const known = [...routes.values()].some((route) => route.service === service);
  return new MassaError(
    "unimplemented",
    known ? `service ${service} has no method ${method}` : `service ${service} is not served here`,
  );
}
