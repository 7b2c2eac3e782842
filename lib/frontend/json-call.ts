import { MassaError, statusOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { Call, Caller, Command, Router } from "../routing/command.ts";
import type { StreamReceiver } from "../wire/http2.ts";
import type { AnyValue, MetadataEntry } from "../wire/protocol.ts";
import { headerOf, type Exchange } from "./exchange.ts";
import { Deadline } from "./deadline.ts";
import { timeoutMsOf } from "./grpc-text.ts";
import type { HttpMatch } from "./http-routes.ts";
import { JsonAnswer } from "./json-answer.ts";
import { JsonInput } from "./json-input.ts";
import { metadataOf } from "./metadata.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";

/** What all JSON calls of one front share. */
export interface JsonParts {
  readonly router: Router;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly calls: OpenCalls;
  readonly windowBytes: number;
  readonly messageBytesMax: number;
  readonly headerBytesMax: number;
  readonly bodyTimeoutMs: number;
}

/** One call of a client that speaks JSON: its request becomes one command, or as many messages as its body has documents. */
export class JsonCall implements StreamReceiver, Caller, OpenCall {
  readonly #parts: JsonParts;
  readonly #match: HttpMatch;
  readonly #exchange: Exchange;
  readonly #answer: JsonAnswer;
  #input: JsonInput | undefined;
  #deadline: Deadline | undefined;
  #cancelBodyTimer: Cancel | undefined;
  #call: Call | undefined;
  /** The one reply of a unary method, until the call has ended well. */
  #reply: { readonly value: Uint8Array; readonly metadata: readonly MetadataEntry[] } | undefined;
  #inputEnded = false;
  #inputDone = false;
  #blocked = false;
  #paused = false;
  #pumping = false;
  /** The response is to be broken off once the client has taken what was written. */
  #breaking = false;
  #over = false;

  constructor(parts: JsonParts, match: HttpMatch, exchange: Exchange) {
    this.#parts = parts;
    this.#match = match;
    this.#exchange = exchange;
    this.#answer = new JsonAnswer(match, exchange, parts.headerBytesMax);
  }

  get service(): string {
    return this.#match.method.service.name;
  }

  get heldBytes(): number {
    const held = (this.#input?.bufferedBytes ?? 0) + (this.#reply?.value.byteLength ?? 0);
    return this.#exchange.bufferedBytes + held + (this.#blocked ? this.#parts.windowBytes : 0);
  }

  /** Reads what the headers say of the call; `ended`: there is no body. */
  start(ended: boolean): void {
    const { awaitsContinue } = this.#exchange;
    const { readsBody } = this.#match;
    let input: JsonInput;
    try {
      input = new JsonInput(this.#match, this.#exchange, this.#parts.messageBytesMax);
      this.#setDeadline();
      if (awaitsContinue) input.checkHead();
    } catch (failure) {
      this.#inputFailed(MassaError.from(failure));
      return;
    }
    this.#input = input;
    if (readsBody) this.#exchange.proceed();
    if (this.#match.method.streamedIn) this.#open(undefined);
    if (this.#over) return;
    if (ended || (awaitsContinue && !readsBody)) this.ended();
    else if (!input.isStreamed) this.#startBodyTimer();
  }

  data(bytes: Uint8Array): void {
    const input = this.#input;
    if (this.#over || !input) return;
    try {
      input.push(bytes);
    } catch (failure) {
      this.#inputFailed(MassaError.from(failure));
      return;
    }
    if (input.isStreamed) this.#pump();
    if (input.bufferedBytes > 0 && !this.#parts.calls.budget.spend(bytes.byteLength)) this.#overBudget();
  }

  ended(): void {
    this.#cancelBodyTimer?.();
    if (this.#over) return;
    this.#inputEnded = true;
    this.#input?.end();
    this.#pump();
  }

  /** The client reads again. */
  drained(): void {
    if (this.#breaking) this.#break();
    if (!this.#paused) return;
    this.#paused = false;
    this.#call?.resume();
  }

  closed(): void {
    this.#parts.calls.delete(this);
    if (this.#over) return;
    this.#finish();
    this.#call?.cancel();
  }

  reply({ value }: AnyValue, metadata: readonly MetadataEntry[]): void {
    if (this.#over) return;
    if (!this.#parts.calls.budget.spend(value.byteLength)) {
      this.#overBudget();
      return;
    }
    if (!this.#match.method.streamedOut) {
      this.#reply ??= { value, metadata };
      return;
    }
    try {
      if (this.#exchange.method === "HEAD") this.#answer.head(value, metadata);
      else if (this.#answer.part(value, metadata) || this.#paused) return;
    } catch (failure) {
      this.#answerFailed(failure);
      return;
    }
    if (this.#exchange.method === "HEAD") {
      this.#finish();
      this.#call?.cancel();
      return;
    }
    this.#paused = true;
    this.#call?.pause();
  }

  end(): void {
    if (this.#over) return;
    const { service, name, streamedOut } = this.#match.method;
    if (!streamedOut && !this.#reply) {
      this.fail(new MassaError("internal", `no reply from ${service.name}/${name}`));
      return;
    }
    try {
      if (this.#reply) this.#answer.whole(this.#reply.value, this.#reply.metadata);
      else this.#answer.end();
    } catch (failure) {
      this.#answerFailed(failure);
      return;
    }
    this.#finish();
  }

  fail(error: MassaError): void {
    if (this.#over) return;
    if (error.cause !== undefined) this.#logCause(error);
    this.#refuse(statusOf[error.code].http, this.#deadline?.told(error) ?? error);
  }

  /** The callee takes input again. */
  drain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#exchange.resume();
    this.#pump();
  }

  abort(error: MassaError): void {
    if (this.#over) return;
    this.fail(error);
    this.#call?.cancel();
  }

  #setDeadline(): void {
    const text = headerOf(this.#exchange.headers, "grpc-timeout");
    if (text === undefined) return;
    const timeoutMs = timeoutMsOf(text);
    if (timeoutMs === undefined) throw new MassaError("invalid", `grpc-timeout: malformed: ${text.slice(0, 100)}`);
    this.#deadline = new Deadline(this.#parts.world.clock, timeoutMs, (error) => this.abort(error));
  }

  #startBodyTimer(): void {
    const { world, bodyTimeoutMs } = this.#parts;
    this.#cancelBodyTimer = world.clock.after(bodyTimeoutMs, () => {
      this.#limitReached("frontend.bodyTimeout");
      const text = `the body did not come within frontend.bodyTimeout of ${bodyTimeoutMs} ms`;
      if (!this.#over) this.#refuse(408, new MassaError("deadline", text));
    });
  }

  #open(payload: AnyValue | undefined): void {
    const { service, name } = this.#match.method;
    const metadata = metadataOf(this.#exchange.headers);
    const command: Command = { service: service.name, method: name, metadata, payload, hops: 0 };
    const deadlineAtMs = this.#deadline?.atMs;
    const call = this.#parts.router.open(deadlineAtMs === undefined ? command : { ...command, deadlineAtMs }, this);
    this.#call = call;
    if (this.#over) call.cancel();
    else if (this.#paused) call.pause();
  }

  /** Hands on the messages that have come, as far as they are taken. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#over && !this.#blocked) {
      const payload = this.#nextMessage();
      if (payload) this.#message(payload);
      else {
        if (this.#inputEnded) this.#endInput();
        break;
      }
    }
    this.#pumping = false;
  }

  #nextMessage(): AnyValue | undefined {
    try {
      return this.#input?.next();
    } catch (failure) {
      this.#inputFailed(MassaError.from(failure));
      return undefined;
    }
  }

  #message(payload: AnyValue): void {
    if (!this.#match.method.streamedIn) {
      this.#open(payload);
    } else if (!this.#call!.send(payload)) {
      this.#blocked = true;
      this.#exchange.pause();
      if (!this.#parts.calls.budget.spend(this.#parts.windowBytes)) this.#overBudget();
    }
  }

  #endInput(): void {
    if (this.#over || this.#inputDone) return;
    this.#inputDone = true;
    this.#call!.halfClose();
  }

  /** The request itself is wrong. */
  #inputFailed(error: MassaError): void {
    if (error.code === "exhausted") this.#limitReached("limits.message");
    const status = { exhausted: 413, unimplemented: 415 }[error.code as string] ?? statusOf[error.code].http;
    this.#refuse(status, error.code === "invalid" ? new MassaError("invalid", `Bad Request: ${error.message}`) : error);
    this.#call?.cancel();
  }

  #answerFailed(failure: unknown): void {
    const error = MassaError.from(failure);
    if (error.code === "exhausted") this.#limitReached("limits.headers");
    this.abort(error);
  }

  #overBudget(): void {
    this.#limitReached("frontend.buffer");
    this.abort(new MassaError("exhausted", "too many bytes wait on calls of this proxy (frontend.buffer)"));
  }

  #limitReached(limit: string): void {
    this.#parts.telemetry.count("massa_limit_reached_total", { limit });
  }

  /** Ends the exchange with a failure: by its status, or, when a part of the response is out, by breaking that off. */
  #refuse(status: number, error: MassaError): void {
    this.#finish();
    if (!this.#answer.isBegun) this.#answer.refuse(status, error.message);
    else if (this.#answer.lament(error)) this.#break();
    else this.#breaking = true;
  }

  #break(): void {
    this.#breaking = false;
    this.#exchange.abort();
    this.#parts.calls.delete(this);
  }

  /** What the client is not told. */
  #logCause(error: MassaError): void {
    const { service, name } = this.#match.method;
    const cause = error.cause instanceof Error ? error.cause.message : String(error.cause);
    const fields = { service: service.name, method: name, code: error.code, reason: error.message, cause };
    this.#parts.log.warn(fields, "call failed");
  }

  #finish(): void {
    this.#over = true;
    this.#deadline?.cancel();
    this.#cancelBodyTimer?.();
    this.#input = undefined;
  }
}
