import type { MassaError } from "../core/errors.ts";
import type { Method } from "../discovery/service-table.ts";
import type { AnyValue, ClientAction, MetadataEntry, SideEffect } from "../wire/protocol.ts";

/** One request on its way to a service: from a client, a topic, a forward, a side effect or another node. */
export interface Command {
  /** Full service name and declared method name of the target. */
  readonly service: string;
  readonly method: string;
  /** Metadata of the call itself; entities never see it. */
  readonly metadata: readonly MetadataEntry[];
  /** The one input message; absent when the method streams in, whose messages come by `Call.send`. */
  readonly payload: AnyValue | undefined;
  /** When the caller stops waiting, on `Clock.monotonic`; absent: never. */
  readonly deadlineAtMs?: number;
  /** How many forwards and side effects led here; the first command has 0. */
  readonly hops: number;
  /** The calls that led here, innermost first, for error reports; absent for the first command. */
  readonly trace?: Trace;
}

/** What of a command its forwards and side effects go by. It lives as long as the answer, which need not hold the input. */
export interface Origin {
  readonly service: string;
  readonly method: string;
  readonly deadlineAtMs: number | undefined;
  readonly hops: number;
  readonly trace: Trace | undefined;
}

/** Why a command was sent by another one. */
export interface Trace {
  readonly reason: "side-effect of" | "forwarded from";
  readonly service: string;
  readonly method: string;
  readonly parent: Trace | undefined;
}

/**
 * Where the answer goes. `end` or `fail` comes exactly once and last, unless the call was cancelled: then nothing more comes.
 * Callbacks may come from within `open` and `send`, before they return.
 */
export interface Caller {
  /** One element of the answer. Metadata counts only with the first. */
  reply(payload: AnyValue, metadata: readonly MetadataEntry[]): void;
  end(): void;
  fail(error: MassaError): void;
  /** The callee takes input again after `Call.send` returned false. */
  drain(): void;
}

/** The caller's hold on a command that is under way. All of it may be called at any time; after the end it does nothing. */
export interface Call {
  /**
   * Sends one more input message of a method that streams in; false: wait for `Caller.drain` before the next. Metadata of one
   * message is what an event has, whose method is served here: it does not travel to another node.
   */
  send(payload: AnyValue, metadata?: readonly MetadataEntry[]): boolean;
  /** No more input comes. Called once for every call, also when the command carried its only payload. */
  halfClose(): void;
  /** The caller is gone. */
  cancel(): void;
  /** Back-pressure on the answer: while paused, what is not yet taken from the function stays there. */
  pause(): void;
  resume(): void;
}

/** Opens commands: the one way into services, whoever calls. */
export interface Router {
  open(command: Command, caller: Caller): Call;
}

/** One response of a service before its effects and forward are carried out. */
export interface Element {
  readonly action: ClientAction | undefined;
  readonly effects: readonly SideEffect[];
}

/** Receives what a service answers, in order; `end` or `fail` last and once. */
export interface ElementReceiver {
  element(element: Element): void;
  end(): void;
  fail(error: MassaError): void;
  drain(): void;
}

/** What serves the commands of one kind of service here: actions, or an entity kind. */
export interface Handler {
  open(method: Method, command: Command, receiver: ElementReceiver): Call;
}
