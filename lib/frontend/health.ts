import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { MassaError } from "../core/errors.ts";
import type { Call, Caller, Command, Router } from "../routing/command.ts";
import type { AnyValue } from "../wire/protocol.ts";
import type { Route } from "./call.ts";

export const healthService = "grpc.health.v1.Health";

const status = { serving: 1, notServing: 2, serviceUnknown: 3 } as const;

/** `grpc.health.v1`: the proxy as a whole under the empty name, and each service that is served. */
export interface Health {
  readonly routes: readonly Route[];
  setServices(names: ReadonlySet<string>): void;
  setServing(serving: boolean): void;
  /** Not serving, and every watch ends. */
  shutDown(): void;
}

interface Watch {
  readonly service: string;
  readonly caller: Caller;
  told: number;
}

export function createHealth(): Health {
  const watches = new Set<Watch>();
  let services: ReadonlySet<string> = new Set();
  let serving = true;
  let closed = false;

  const statusOf = (service: string): number => {
    if (service !== "" && service !== healthService && !services.has(service)) return status.serviceUnknown;
    return serving ? status.serving : status.notServing;
  };
  const tell = (watch: Watch) => {
    const now = statusOf(watch.service);
    if (now === watch.told) return;
    watch.told = now;
    watch.caller.reply(responseOf(now), []);
  };
  const tellAll = () => {
    for (const watch of [...watches]) tell(watch);
  };

  const check = (command: Command, caller: Caller): Call => {
    const service = serviceIn(command, caller);
    if (service === undefined) return inert;
    const now = statusOf(service);
    if (now === status.serviceUnknown) {
      caller.fail(new MassaError("not-found", `service ${service} is not served here`));
    } else {
      caller.reply(responseOf(now), []);
      caller.end();
    }
    return inert;
  };
  const watch = (command: Command, caller: Caller): Call => {
    const service = serviceIn(command, caller);
    if (service === undefined) return inert;
    const entry: Watch = { service, caller, told: -1 };
    tell(entry);
    if (closed) caller.end();
    else watches.add(entry);
    return { ...inert, cancel: () => void watches.delete(entry) };
  };

  const route = (method: string, open: Router["open"]): Route => ({
    router: { open },
    service: healthService,
    method,
    inputUrl: "type.googleapis.com/grpc.health.v1.HealthCheckRequest",
    streamedIn: false,
  });
  return {
    routes: [route("Check", check), route("Watch", watch)],
    setServices(names) {
      services = names;
      tellAll();
    },
    setServing(now) {
      serving = now && !closed;
      tellAll();
    },
    shutDown() {
      closed = true;
      serving = false;
      tellAll();
      for (const { caller } of watches) caller.end();
      watches.clear();
    },
  };
}

/** A call that takes nothing more. */
const inert: Call = {
  send: () => true,
  halfClose: () => undefined,
  cancel: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

/** Field 1 of the request; fails the call when it is no HealthCheckRequest. */
function serviceIn(command: Command, caller: Caller): string | undefined {
  let service = "";
  try {
    const reader = new BinaryReader(command.payload?.value ?? new Uint8Array(0));
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === 1) service = reader.string();
      else reader.skip(type);
    }
    return service;
  } catch (failure) {
    caller.fail(new MassaError("invalid", "the request is no grpc.health.v1.HealthCheckRequest", { cause: failure }));
    return undefined;
  }
}

function responseOf(code: number): AnyValue {
  const value = new BinaryWriter().tag(1, WireType.Varint).int32(code).finish();
  return { typeUrl: "type.googleapis.com/grpc.health.v1.HealthCheckResponse", value };
}
