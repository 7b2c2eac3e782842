import type { MassaError } from "../core/errors.ts";
import { Budget } from "../wire/http2-budget.ts";

/** A call of a client, whatever it speaks. */
export interface OpenCall {
  readonly service: string;
  /** Bytes that count for `frontend.buffer`. */
  readonly heldBytes: number;
  /** Ends the call from our side: the client gets `error`, the callee is told that nobody listens. */
  abort(error: MassaError): void;
}

/** The calls that are open on the front port, and what they hold together. */
export class OpenCalls {
  /** `frontend.buffer`, which all calls share. */
  readonly budget: Budget;
  readonly #open = new Set<OpenCall>();
  #refusing = false;
  #idle: (() => void) | undefined;

  constructor(bufferBytes: number) {
    this.budget = new Budget(bufferBytes, () => {
      let bytes = 0;
      for (const call of this.#open) bytes += call.heldBytes;
      return bytes;
    });
  }

  get size(): number {
    return this.#open.size;
  }

  /** Whether new calls get UNAVAILABLE. */
  get refusing(): boolean {
    return this.#refusing;
  }

  add(call: OpenCall): void {
    this.#open.add(call);
  }

  /** The call has closed, its answer delivered or not. */
  delete(call: OpenCall): void {
    if (this.#open.delete(call) && this.#open.size === 0) this.#idle?.();
  }

  refuse(): void {
    this.#refusing = true;
  }

  /** Ends the calls that are open; those of `service` only, if it is given. */
  abort(error: MassaError, service?: string): void {
    for (const call of [...this.#open]) if (service === undefined || call.service === service) call.abort(error);
  }

  /** Runs `callback` once no call is open. */
  onIdle(callback: () => void): void {
    this.#idle = callback;
    if (this.#open.size === 0) callback();
  }
}
