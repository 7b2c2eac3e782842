import { MassaError } from "../core/errors.ts";
import type { Cancel } from "../core/world.ts";
import type { Service } from "../discovery/service-table.ts";
import type { FunctionStream, FunctionStreamReceiver, UserFunction } from "../user-function/user-function.ts";
import type { Completion } from "./completion.ts";

/** What an entity hears of its stream. `closed` or `broke` comes once and last. */
export interface ConversationListener<Out> {
  message(message: Out): void;
  /** The stream takes messages again. */
  writable(): void;
  /** This side had half-closed, and the function has completed the stream, or it was reset because that took too long. */
  closed(): void;
  /**
   * The function ended or failed the stream; `error` is absent when it ended it in good order but unasked, and of the code
   * `protocol` when it sent what cannot be read.
   */
  broke(error: MassaError | undefined): void;
}

/** How the messages of one kind of entity stand on the wire. */
export interface Dialect<Out> {
  readonly path: string;
  decode(message: Uint8Array): Out;
}

export interface ConversationParts {
  readonly userFunction: UserFunction;
  readonly completion: Completion;
}

/** One entity stream to the user function: numbers commands from 1, half-closes in good order, knows when it is over. */
export class Conversation<Out> implements FunctionStreamReceiver {
  readonly #completion: Completion;
  readonly #service: Service;
  readonly #dialect: Dialect<Out>;
  readonly #listener: ConversationListener<Out>;
  readonly #stream: FunctionStream;
  #lastId = 0;
  #writable = true;
  #halfClosed = false;
  #over = false;
  #answered = false;
  /** Somebody waits for the end of the half-closed stream. */
  #wanted = false;
  #giveUp: Cancel | undefined;

  constructor(
    { userFunction, completion }: ConversationParts,
    service: Service,
    dialect: Dialect<Out>,
    listener: ConversationListener<Out>,
  ) {
    this.#completion = completion;
    this.#service = service;
    this.#dialect = dialect;
    this.#listener = listener;
    this.#stream = userFunction.open(dialect.path, this);
  }

  /** False while flow control holds the stream back: wait for `writable` before sending what can wait. */
  isWritable(): boolean {
    return this.#writable;
  }

  /** Whether the function may have got something of it; one that has answered has, whatever it says of that at the end. */
  get reached(): boolean {
    return this.#answered || this.#stream.reached;
  }

  /** Whether the function has sent anything yet. */
  get answered(): boolean {
    return this.#answered;
  }

  /** The id of the next command: 1, 2, 3 … */
  takeId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  send(frame: Uint8Array): void {
    if (this.#over || this.#halfClosed) return;
    this.#writable = this.#stream.write(frame);
  }

  halfClose(): void {
    if (this.#over || this.#halfClosed) return;
    this.#halfClosed = true;
    this.#stream.end();
    this.#limit();
  }

  /** Does not wait for the function as long as it would if nobody cared. */
  hurry(): void {
    if (this.#over || this.#wanted) return;
    this.#wanted = true;
    if (this.#halfClosed) this.#limit();
  }

  #limit(): void {
    this.#giveUp?.();
    this.#giveUp = this.#completion.await(this.#service, this.#wanted, () => {
      this.reset();
      this.#listener.closed();
    });
  }

  /** False when it was over already. */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#giveUp?.();
    return true;
  }

  /** Gives the stream up; the listener hears nothing more. */
  reset(): void {
    if (this.#end()) this.#stream.cancel();
  }

  message(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#answered = true;
    let message: Out;
    try {
      message = this.#dialect.decode(bytes);
    } catch (failure) {
      this.reset();
      this.#listener.broke(MassaError.from(failure, "protocol"));
      return;
    }
    this.#listener.message(message);
  }

  drain(): void {
    this.#writable = true;
    if (!this.#over) this.#listener.writable();
  }

  end(): void {
    if (!this.#end()) return;
    if (!this.#halfClosed) {
      this.#listener.broke(undefined);
      return;
    }
    this.#completion.completed(this.#service);
    this.#listener.closed();
  }

  fail(error: MassaError): void {
    if (this.#end()) this.#listener.broke(error);
  }
}
