import { MassaError } from "../core/errors.ts";
import type { Method } from "../discovery/service-table.ts";
import type { Call, Command, ElementReceiver, Handler } from "../routing/command.ts";
import type { FunctionStream, UserFunction } from "../user-function/user-function.ts";
import {
  decodeActionResponse,
  encodeActionCommand,
  type ActionResponse,
  type AnyValue,
  type MetadataEntry,
} from "../wire/protocol.ts";

const none: readonly MetadataEntry[] = [];

/** Serves actions: each call is one RPC of its own to the user function, half-close and cancellation 1:1. */
export function createActionHandler(userFunction: UserFunction, reportError: (message: string) => void): Handler {
  return {
    open: (method, command, receiver) => new ActionCall(userFunction, method, command, receiver, reportError),
  };
}

function rpcOf(method: Method): string {
  const streams = `${method.streamedIn ? "In" : ""}${method.streamedOut ? "Out" : ""}`;
  const rpc = { "": "handleUnary", In: "handleStreamedIn", Out: "handleStreamedOut", InOut: "handleStreamed" }[streams];
  return `/cloudstate.action.ActionProtocol/${rpc}`;
}

class ActionCall implements Call {
  readonly #stream: FunctionStream;
  readonly #method: Method;
  #halfClosed = false;
  #over = false;

  constructor(
    userFunction: UserFunction,
    method: Method,
    command: Command,
    receiver: ElementReceiver,
    reportError: (message: string) => void,
  ) {
    this.#method = method;
    let answered = false;
    const options = command.deadlineAtMs === undefined ? undefined : { deadlineAtMs: command.deadlineAtMs };
    this.#stream = userFunction.open(
      rpcOf(method),
      {
        message: (bytes) => {
          if (this.#over) return;
          if (answered && !method.streamedOut) {
            this.#refuse(receiver, reportError, "answered a unary command twice");
            return;
          }
          answered = true;
          let decoded: ActionResponse;
          try {
            decoded = decodeActionResponse(bytes);
          } catch (failure) {
            this.#refuse(receiver, reportError, `sent what is no ActionResponse: ${MassaError.from(failure).message}`);
            return;
          }
          receiver.element({ action: decoded.response, effects: decoded.sideEffects });
        },
        drain: () => receiver.drain(),
        end: () => {
          if (this.#over) return;
          this.#over = true;
          if (answered || method.streamedOut) receiver.end();
          else receiver.fail(new MassaError("internal", `the user function did not answer ${method.path}`));
        },
        fail: (error) => {
          if (this.#over) return;
          this.#over = true;
          receiver.fail(error);
        },
      },
      options,
    );
    const { metadata, payload } = command;
    if (!method.streamedIn) {
      this.#stream.write(encodeActionCommand(method.service.name, method.name, payload, metadata));
      this.#stream.end();
      this.#halfClosed = true;
      return;
    }
    this.#stream.write(encodeActionCommand(method.service.name, method.name, undefined, metadata));
    if (payload) this.send(payload);
  }

  send(payload: AnyValue, metadata: readonly MetadataEntry[] = none): boolean {
    if (this.#over || this.#halfClosed) return true;
    return this.#stream.write(encodeActionCommand("", "", payload, metadata));
  }

  halfClose(): void {
    if (this.#over || this.#halfClosed) return;
    this.#halfClosed = true;
    this.#stream.end();
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.cancel();
  }

  pause(): void {
    if (!this.#over) this.#stream.pause();
  }

  resume(): void {
    if (!this.#over) this.#stream.resume();
  }

  #refuse(receiver: ElementReceiver, reportError: (message: string) => void, what: string): void {
    this.cancel();
    const message = `The user function ${what}: ${this.#method.path}`;
    reportError(message);
    receiver.fail(new MassaError("internal", message));
  }
}
