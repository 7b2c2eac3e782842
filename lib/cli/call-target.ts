import type { DescMethod, FileRegistry } from "@bufbuild/protobuf";
import { closest } from "../core/closest.ts";
import { MassaError } from "../core/errors.ts";
import type { Reflection } from "./reflection.ts";

/** A method with the types that its messages may name. */
export interface CallTarget {
  readonly registry: FileRegistry;
  readonly method: DescMethod;
}

/** Finds `a.b.Service/Method` at a server; the service may be named by its last part where that is clear. */
export async function findTarget(reflection: Reflection, name: string): Promise<CallTarget> {
  const slash = name.lastIndexOf("/");
  const service = await findService(reflection, name.slice(0, slash).replace(/^\//, ""));
  const registry = await reflection.registryOf(service);
  const methods = registry.getService(service)?.methods ?? [];
  const wanted = name.slice(slash + 1);
  const method = methods.find((declared) => declared.name === wanted);
  if (method) return { registry, method };
  throw unknownName(
    `${service} has no method ${wanted}`,
    wanted,
    methods.map((declared) => declared.name),
  );
}

/** A line for each method of a service, or of all services. */
export async function listMethods(reflection: Reflection, service: string | undefined): Promise<readonly string[]> {
  const services = service === undefined ? await reflection.listServices() : [await findService(reflection, service)];
  const lines: string[] = [];
  for (const name of services) {
    const registry = await reflection.registryOf(name);
    lines.push(...(registry.getService(name)?.methods ?? []).map((method) => `${name}/${signature(method)}`));
  }
  return lines;
}

/** Whether the caller sends any number of messages. */
export function streamsIn({ methodKind }: DescMethod): boolean {
  return methodKind === "client_streaming" || methodKind === "bidi_streaming";
}

function signature(method: DescMethod): string {
  const streamsOut = method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming";
  const input = `${streamsIn(method) ? "stream " : ""}${method.input.typeName}`;
  return `${method.name} (${input}) returns (${streamsOut ? "stream " : ""}${method.output.typeName})`;
}

async function findService(reflection: Reflection, name: string): Promise<string> {
  const services = await reflection.listServices();
  const found = services.includes(name) ? [name] : services.filter((service) => service.endsWith(`.${name}`));
  if (found.length > 1) throw new MassaError("invalid", `${name} could be ${found.join(" or ")}`);
  if (found.length === 1) return found[0]!;
  throw unknownName(`the server has no service ${name}`, name, services);
}

function unknownName(what: string, name: string, known: readonly string[]): MassaError {
  const near = closest(name, known);
  return new MassaError(
    "not-found",
    `${what}; ${near === undefined ? `it has ${known.join(", ")}` : `did you mean ${near}?`}`,
  );
}
