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
import type { Pressure, Waiter } from "./pressure.ts";

const none: readonly MetadataEntry[] = [];

export interface ActionParts {
  readonly userFunction: UserFunction;
  readonly reportError: (message: string) => void;
  /** Hears of every call until it is answered. */
  readonly calls: Pick<Pressure, "watch" | "forget">;
}

/** Serves actions: each call is one RPC of its own to the user function, half-close and cancellation 1:1. */
export function createActionHandler(parts: ActionParts): Handler {
  return { open: (method, command, receiver) => new ActionCall(parts, method, command, receiver) };
}

function rpcOf(method: Method): string {
  const streams = `${method.streamedIn ? "In" : ""}${method.streamedOut ? "Out" : ""}`;
  const rpc = { "": "handleUnary", In: "handleStreamedIn", Out: "handleStreamedOut", InOut: "handleStreamed" }[streams];
  return `/cloudstate.action.ActionProtocol/${rpc}`;
}

class ActionCall implements Call, Waiter {
  readonly load = 1;
  readonly #parts: ActionParts;
  readonly #stream: FunctionStream;
  readonly #method: Method;
  #halfClosed = false;
  #answered = false;
  #over = false;

  constructor(parts: ActionParts, method: Method, command: Command, receiver: ElementReceiver) {
    this.#parts = parts;
    this.#method = method;
    const options = command.deadlineAtMs === undefined ? undefined : { deadlineAtMs: command.deadlineAtMs };
    this.#stream = parts.userFunction.open(
      rpcOf(method),
      {
        message: (bytes) => {
          if (this.#over) return;
          if (this.#answered && !method.streamedOut) {
            this.#refuse(receiver, "answered a unary command twice");
            return;
          }
          if (!this.#answered) parts.calls.forget(this);
          this.#answered = true;
          let decoded: ActionResponse;
          try {
            decoded = decodeActionResponse(bytes);
          } catch (failure) {
            this.#refuse(receiver, `sent what is no ActionResponse: ${MassaError.from(failure).message}`);
            return;
          }
          receiver.element({ action: decoded.response, effects: decoded.sideEffects });
        },
        drain: () => receiver.drain(),
        end: () => {
          if (this.#over) return;
          this.#finish();
          if (this.#answered || method.streamedOut) receiver.end();
          else receiver.fail(new MassaError("internal", `the user function did not answer ${method.path}`));
        },
        fail: (error) => {
          if (this.#over) return;
          this.#finish();
          receiver.fail(error);
        },
      },
      options,
    );
    parts.calls.watch(this);
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

  get isServed(): boolean {
    return this.#answered || this.#over;
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
    this.#finish();
    this.#stream.cancel();
  }

  pause(): void {
    if (!this.#over) this.#stream.pause();
  }

  resume(): void {
    if (!this.#over) this.#stream.resume();
  }

  #finish(): void {
    this.#over = true;
    if (!this.#answered) this.#parts.calls.forget(this);
  }

  #refuse(receiver: ElementReceiver, what: string): void {
    this.cancel();
    const message = `The user function ${what}: ${this.#method.path}`;
    this.#parts.reportError(message);
    receiver.fail(new MassaError("internal", message));
  }
}
