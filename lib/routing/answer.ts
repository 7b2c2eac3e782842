import { MassaError } from "../core/errors.ts";
import type { AnyValue, Forward, MetadataEntry, SideEffect } from "../wire/protocol.ts";
import type { Call, Caller, Element, ElementReceiver, Origin } from "./command.ts";

/** Elements held while an effect or a forward of an earlier one is under way; above it the service is paused. */
const heldElementsMax = 16;

/** How an answer starts the commands that its elements ask for. */
export interface Follow {
  /** Opens the target of a forward; refusals come through `caller.fail`. */
  forward(origin: Origin, forward: Forward, caller: Caller): Call;
  /** Starts a side effect; `done` comes once, at its very end, whatever became of it, perhaps before this returns. */
  effect(origin: Origin, effect: SideEffect, isAwaited: boolean, done: () => void): void;
  /** Whether so many effects run that nobody waits for that the next one must be awaited too. */
  crowded(): boolean;
}

/**
 * Carries out the elements of one answer strictly one after another: effects in list order, a synchronous one awaited
 * to its end, then the reply, failure or forward, a forward drained before the next element.
 */
export class Answer implements ElementReceiver, Call {
  readonly #origin: Origin;
  readonly #caller: Caller;
  readonly #follow: Follow;
  readonly #isStreamed: boolean;
  #service: Call | undefined;
  #forwarded: Call | undefined;
  #held: Element[] | undefined;
  #busy = false;
  #paused = false;
  /** The caller has gone or has its last word: effects still run, nothing is told any more. */
  #silent = false;
  #halfClosed = false;
  #ending: "open" | "end" | MassaError = "open";
  /** A failure that was the one answer of the service. */
  #refusal: MassaError | undefined;

  constructor(origin: Origin, isStreamed: boolean, caller: Caller, follow: Follow) {
    this.#origin = origin;
    this.#isStreamed = isStreamed;
    this.#caller = caller;
    this.#follow = follow;
  }

  /** Ties the answer to the service's end of the call. Elements may have come before. */
  attach(service: Call): this {
    this.#service = service;
    if (this.#silent) service.cancel();
    else if (this.#paused) service.pause();
    return this;
  }

  element(element: Element): void {
    if (this.#busy) {
      (this.#held ??= []).push(element);
      if (this.#held.length >= heldElementsMax) this.#service?.pause();
    } else if (element.effects.length === 0) {
      if (this.#act(element) && this.#held) this.#goOn();
    } else {
      this.#runEffects(element, 0);
    }
  }

  end(): void {
    this.#ending = "end";
    if (!this.#busy) this.#finish();
  }

  fail(error: MassaError): void {
    this.#ending = error;
    if (!this.#busy) this.#finish();
  }

  drain(): void {
    if (!this.#silent) this.#caller.drain();
  }

  send(payload: AnyValue, metadata?: readonly MetadataEntry[]): boolean {
    return this.#service?.send(payload, metadata) ?? true;
  }

  halfClose(): void {
    if (this.#halfClosed) return;
    this.#halfClosed = true;
    this.#service?.halfClose();
  }

  cancel(): void {
    if (this.#silent) return;
    this.#silent = true;
    this.#service?.cancel();
    this.#forwarded?.cancel();
  }

  pause(): void {
    this.#paused = true;
    (this.#forwarded ?? this.#service)?.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#forwarded) this.#forwarded.resume();
    else if (!this.#busy) this.#service?.resume();
  }

  /** Goes on in a loop where an effect is over at once: refusals in a row must not nest. */
  #runEffects(element: Element, from: number): void {
    for (let at = from; at < element.effects.length; at++) {
      const effect = element.effects[at]!;
      const isAwaited = effect.synchronous || this.#follow.crowded();
      if (!isAwaited) {
        this.#follow.effect(this.#origin, effect, false, () => undefined);
        continue;
      }
      this.#busy = true;
      const wait = { isOver: false, isBegun: false };
      this.#follow.effect(this.#origin, effect, true, () => {
        wait.isOver = true;
        if (wait.isBegun) this.#runEffects(element, at + 1);
      });
      if (wait.isOver) continue;
      wait.isBegun = true;
      return;
    }
    this.#busy = false;
    if (this.#act(element)) this.#goOn();
  }

  /** False when the element's forward is now under way. */
  #act({ action }: Element): boolean {
    if (this.#silent || action === undefined) return true;
    switch (action.type) {
      case "reply":
        if (action.payload !== undefined) this.#caller.reply(action.payload, action.metadata);
        return true;
      case "failure":
        this.#refuse(new MassaError("failed", action.description, { isReply: true }));
        return true;
      case "forward":
        return this.#open(action);
    }
  }

  /** True when the forward was over before this returned. */
  #open(forward: Forward): boolean {
    this.#busy = true;
    let opened = false;
    const over = () => {
      this.#forwarded = undefined;
      this.#busy = false;
      if (opened) this.#goOn();
    };
    const call = this.#follow.forward(this.#origin, forward, {
      reply: (payload, metadata) => {
        if (!this.#silent) this.#caller.reply(payload, metadata);
      },
      end: over,
      fail: (error) => {
        this.#refuse(error);
        over();
      },
      drain: () => undefined,
    });
    call.halfClose();
    opened = true;
    if (!this.#isBusy()) return true;
    this.#forwarded = call;
    if (this.#paused) call.pause();
    return false;
  }

  /** A method, because callbacks may change it from within calls, which the compiler cannot see. */
  #isBusy(): boolean {
    return this.#busy;
  }

  #goOn(): void {
    for (let next = this.#held?.shift(); next; next = this.#held?.shift()) {
      this.element(next);
      if (this.#isBusy()) return;
    }
    if (this.#ending !== "open") this.#finish();
    else if (!this.#paused) this.#service?.resume();
  }

  #finish(): void {
    if (this.#silent) return;
    this.#silent = true;
    if (this.#refusal) this.#caller.fail(this.#refusal);
    else if (this.#ending === "end") this.#caller.end();
    else this.#caller.fail(this.#ending as MassaError);
  }

  /** The service says no. A stream is over at that; a single answer comes to its end by itself, and a reset would count against the link. */
  #refuse(error: MassaError): void {
    if (this.#isStreamed) this.#conclude(error);
    else this.#refusal ??= error;
  }

  #conclude(error: MassaError): void {
    if (this.#silent) return;
    this.#silent = true;
    this.#caller.fail(error);
    this.#service?.cancel();
  }
}
