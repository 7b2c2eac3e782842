import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { EntityType, Method, ServiceTable } from "../discovery/service-table.ts";
import type { Forward, SideEffect } from "../wire/protocol.ts";
import { Answer, type Follow } from "./answer.ts";
import type { Call, Caller, Command, Handler, Origin, Router, Trace } from "./command.ts";

/** Other nodes, as the router sees them. */
export interface OtherNodes {
  /** Whether any node in touch hosts the service. */
  host(service: string): boolean;
  open(command: Command, caller: Caller): Call;
}

export interface RouterParts {
  readonly handlers: Readonly<Partial<Record<EntityType, Handler>>>;
  readonly others: OtherNodes;
  /** Tells the user function of its mistakes, best effort. */
  readonly reportError: (message: string) => void;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: {
    /** Forwards and side effects in a row before a command is refused (`routing.hops`). */
    readonly hopsMax: number;
    /** Side effects under way that nobody waits for; above it they are awaited like synchronous ones (`routing.effects`). */
    readonly effectsMax: number;
  };
}

/** A router whose table of services can be replaced while commands are under way; those go on by the old one. */
export interface SwitchingRouter extends Router {
  setTable(table: ServiceTable | undefined): void;
}

const nothing: Call = {
  send: () => true,
  halfClose: () => undefined,
  cancel: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

/** The one way into services: this function's own first, then those that other nodes host. */
export function createRouter(parts: RouterParts): SwitchingRouter {
  const { handlers, others, log, telemetry, options, reportError } = parts;
  let table: ServiceTable | undefined;
  let effectsUnderWay = 0;
  const warned = new Set<string>();

  const follow: Follow = {
    forward: (origin, forward, caller) => open(followUp(origin, forward, "forwarded from"), caller),
    crowded: () => {
      if (effectsUnderWay < options.effectsMax) return false;
      telemetry.count("massa_limit_reached_total", { limit: "routing.effects" });
      return true;
    },
    effect: (origin, effect, isAwaited, done) => {
      // What is awaited is bounded by the commands that await it.
      const weight = isAwaited ? 0 : 1;
      effectsUnderWay += weight;
      const over = () => {
        effectsUnderWay -= weight;
        done();
      };
      open(followUp(origin, effect, "side-effect of"), {
        reply: () => undefined,
        end: over,
        fail: (error) => {
          // An effect never changes the outcome of the command that asked for it.
          if (error.code !== "failed") {
            log.warn(
              { service: effect.serviceName, method: effect.commandName, code: error.code },
              "side effect failed",
            );
          }
          over();
        },
        drain: () => undefined,
      }).halfClose();
    },
  };

  function open(command: Command, caller: Caller): Call {
    if (command.hops > options.hopsMax) {
      telemetry.count("massa_limit_reached_total", { limit: "routing.hops" });
      return refuse(
        caller,
        new MassaError("failed", `more than ${options.hopsMax} forwards and side effects in a row`),
      );
    }
    const service = table?.services.get(command.service);
    if (!service) {
      if (others.host(command.service)) return others.open(command, caller);
      return unknown(command, caller, `Service [${command.service}] unknown`);
    }
    const method = service.methods.get(command.method);
    if (!method) {
      return unknown(
        command,
        caller,
        `Service [${command.service}] does not have a command named: [${command.method}]`,
      );
    }
    const handler = handlers[service.entityType];
    if (!handler) return unknown(command, caller, `Service [${command.service}] is of a kind that is not served here`);
    telemetry.count("massa_commands_total", method.labels);
    const answer = new Answer(
      originOf(command),
      method.streamedOut,
      command.hops === 0 ? checked(method, caller) : caller,
      follow,
    );
    return answer.attach(handler.open(method, command, answer));
  }

  function unknown(command: Command, caller: Caller, message: string): Call {
    const text = message + spelled(command.trace);
    log.warn({ service: command.service, method: command.method }, "command for an unknown target");
    reportError(text);
    return refuse(caller, new MassaError("internal", "Error"));
  }

  function refuse(caller: Caller, error: MassaError): Call {
    telemetry.count("massa_commands_failed_total", { code: error.code });
    caller.fail(error);
    return nothing;
  }

  /** Warns once per type of a reply that is not what the method declares; the reply goes out all the same. */
  function checked(method: Method, caller: Caller): Caller {
    return {
      reply: (payload, metadata) => {
        if (payload.typeUrl !== method.outputUrl) mismatch(method, payload.typeUrl);
        caller.reply(payload, metadata);
      },
      end: () => caller.end(),
      fail: (error) => {
        telemetry.count("massa_commands_failed_total", { code: error.code });
        caller.fail(error);
      },
      drain: () => caller.drain(),
    };
  }

  function mismatch(method: Method, typeUrl: string): void {
    const name = `${method.service.name}.${method.name}`;
    const key = `${name} ${typeUrl}`;
    if (warned.has(key) || warned.size >= 1000) return;
    warned.add(key);
    const message = `Warning: ${name}: Expected reply type_url to be [${method.outputUrl}] but was [${typeUrl}].`;
    log.warn({ method: name, expected: method.outputUrl, got: typeUrl }, "reply of another type");
    reportError(message);
  }

  return {
    open,
    setTable(next) {
      table = next;
      // It may be another function by now, which was not told.
      warned.clear();
    },
  };
}

function originOf({ service, method, deadlineAtMs, hops, trace }: Command): Origin {
  return { service, method, deadlineAtMs, hops, trace };
}

function followUp(origin: Origin, target: Forward | SideEffect, reason: Trace["reason"]): Command {
  return {
    service: target.serviceName,
    method: target.commandName,
    metadata: target.metadata,
    payload: target.payload ?? { typeUrl: "", value: new Uint8Array(0) },
    // A forward is the caller's own wait; an effect outlives it.
    ...(reason === "forwarded from" && origin.deadlineAtMs !== undefined ? { deadlineAtMs: origin.deadlineAtMs } : {}),
    hops: origin.hops + 1,
    trace: { reason, service: origin.service, method: origin.method, parent: origin.trace },
  };
}

function spelled(trace: Trace | undefined): string {
  let text = "";
  for (let hop = trace; hop; hop = hop.parent) text += `\n  ${hop.reason} ${hop.service}.${hop.method}`;
  return text;
}
