import { MassaError } from "../core/errors.ts";
import type { Method } from "../discovery/service-table.ts";
import type { Call, Element, ElementReceiver } from "../routing/command.ts";
import { keptPayload } from "../wire/kept-payload.ts";
import type { AnyValue } from "../wire/protocol.ts";

/** Whoever answers a call now; it changes when a waiting call moves to the next stream of its entity. */
export interface CallOwner {
  cancelled(call: EntityCall): void;
}

/** Where a call stands: not yet sent, sent and not replied to, replied to and streaming, or done. */
export type CallState = "waiting" | "out" | "streaming" | "over";

/** The bounds of all calls of one host, and what counts towards them. */
export class CallBounds {
  /** Unread elements per streamed command (`entities.streamBuffer`). */
  readonly heldMax: number;
  /** Payloads of commands that are not sent yet. */
  waitingBytes = 0;
  readonly #streamGivenUp: () => void;

  constructor(heldMax: number, streamGivenUp: () => void) {
    this.heldMax = heldMax;
    this.#streamGivenUp = streamGivenUp;
  }

  streamGivenUp(): void {
    this.#streamGivenUp();
  }
}

/** One command to an entity, from its arrival to its last element. */
export class EntityCall implements Call {
  readonly method: Method;
  readonly openedAtMs: number;
  /** The command's id on its entity's stream; 0 while it waits. */
  id = 0;
  state: CallState = "waiting";
  /** The caller is gone: what is left of the command still takes effect, nobody is told. */
  abandoned = false;
  owner: CallOwner | undefined;
  /** Whether the function may still change state on this call's account, so that no delta may reach it. */
  mutating = false;
  /** Replied to and open since: no load of its entity. */
  streams = false;
  readonly #receiver: ElementReceiver;
  readonly #bounds: CallBounds;
  #payload: AnyValue | undefined;
  #held: Element[] | undefined;
  #paused = false;
  #blocked = false;
  #ending: MassaError | "end" | undefined;

  constructor(method: Method, payload: AnyValue, receiver: ElementReceiver, openedAtMs: number, bounds: CallBounds) {
    this.method = method;
    this.openedAtMs = openedAtMs;
    this.#payload = payload;
    this.#receiver = receiver;
    this.#bounds = bounds;
    bounds.waitingBytes += payload.value.byteLength;
  }

  /** The command has to wait: from here on it holds its input alone, and not all that was read together with it. */
  keepPayload(): void {
    if (this.#payload) this.#payload = keptPayload(this.#payload);
  }

  /** Its input, once: whoever sends the command takes it, and it is not held any longer. */
  takePayload(): AnyValue {
    const payload = this.#payload;
    if (!payload) throw new Error(`the payload of ${this.method.path} was taken before`);
    this.#release();
    return payload;
  }

  /**
   * Hands an element on. False when the caller has not read so many that it is given up: its stream then ends with
   * RESOURCE_EXHAUSTED, because holding back the entity's own stream would hold back every other caller of it.
   */
  element(element: Element): boolean {
    if ((!this.#paused && !this.#blocked) || this.abandoned) {
      this.#receiver.element(element);
      return true;
    }
    if ((this.#held?.length ?? 0) < this.#bounds.heldMax) {
      (this.#held ??= []).push(element);
      return true;
    }
    this.#held = undefined;
    this.#bounds.streamGivenUp();
    this.fail(
      new MassaError(
        "exhausted",
        `the caller left ${this.#bounds.heldMax} messages of this stream unread (entities.streamBuffer)`,
      ),
    );
    return false;
  }

  /** Keeps what comes until `release`: the first element waits for its confirmation, and the others behind it. */
  block(): void {
    this.#blocked = true;
  }

  release(first: Element): boolean {
    if (!this.#blocked) return this.element(first);
    this.#blocked = false;
    (this.#held ??= []).unshift(first);
    if (!this.#paused || this.abandoned) this.#flush();
    return true;
  }

  get isBlocked(): boolean {
    return this.#blocked;
  }

  end(): void {
    this.state = "over";
    if (this.#held || this.#blocked) this.#ending = "end";
    else this.#receiver.end();
  }

  /** What waits for a confirmation that will not come is dropped; what the caller has not read yet comes first. */
  fail(error: MassaError): void {
    this.state = "over";
    this.#release();
    if (this.#blocked) {
      this.#blocked = false;
      this.#held = undefined;
    }
    if (this.#held) this.#ending = error;
    else this.#receiver.fail(error);
  }

  /** An entity's call has its one message from the start. */
  send(): boolean {
    return true;
  }

  halfClose(): void {
    // Nothing to close: the command carried its only message.
  }

  cancel(): void {
    if (this.abandoned) return;
    this.abandoned = true;
    this.#held = undefined;
    if (this.state === "waiting") this.#release();
    if (this.state !== "over") this.owner?.cancelled(this);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (!this.#blocked) this.#flush();
  }

  #release(): void {
    if (this.#payload) this.#bounds.waitingBytes -= this.#payload.value.byteLength;
    this.#payload = undefined;
  }

  #flush(): void {
    for (let next = this.#held?.shift(); next; next = this.#held?.shift()) {
      this.#receiver.element(next);
      if (this.#isPaused()) return;
    }
    this.#held = undefined;
    if (this.#ending === "end") this.#receiver.end();
    else if (this.#ending) this.#receiver.fail(this.#ending);
    this.#ending = undefined;
  }

  /** A method, because the receiver may pause from within `element`, which the compiler cannot see. */
  #isPaused(): boolean {
    return this.#paused;
  }
}
