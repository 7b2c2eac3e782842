import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { World } from "../core/world.ts";
import type { EntityKey } from "../store/store.ts";
import type { UserFunction } from "../user-function/user-function.ts";
import { Conversation, type ConversationListener } from "./conversation.ts";
import type { Completion } from "./completion.ts";
import type { CallOwner, EntityCall } from "./entity-call.ts";
import type { Instance, Seat } from "./host.ts";
import type { InstanceMeter } from "./instance-meter.ts";
import type { SerialStreamOut } from "../wire/serial-protocol.ts";
import type { Replay, SerialReply, SerialRules, SerialState } from "./serial-kind.ts";

export interface SerialOptions {
  /** How long a command may be out without a reply before the stream is given up: twice `relay.timeout`. */
  readonly giveUpMs: number;
}

/** What all entities of one kind share. */
export interface SerialParts<Reply extends SerialReply, Change> {
  readonly rules: SerialRules<Reply, Change>;
  readonly state: SerialState<Change>;
  readonly userFunction: UserFunction;
  readonly completion: Completion;
  readonly world: World;
  readonly log: Logger;
  readonly meterOf: (persistenceId: string) => InstanceMeter;
  readonly reportError: (message: string) => void;
  readonly options: SerialOptions;
}

/**
 * `starting` reads what is stored and replays it, `finishing` sends no more commands, `closing` waits for the function to
 * complete the stream, or for the store to confirm the last reply of a stream that is over.
 */
type Phase = "starting" | "running" | "finishing" | "closing" | "over";

/** One entity that carries out one command at a time, from its first command to the end of its last stream. */
export class SerialEntity<Reply extends SerialReply, Change>
  implements Instance, CallOwner, Replay, ConversationListener<SerialStreamOut<Reply>>
{
  readonly key: EntityKey;
  readonly #parts: SerialParts<Reply, Change>;
  readonly #seat: Seat;
  readonly #meter: InstanceMeter;
  #phase: Phase = "starting";
  /** Until the stream is over. */
  #conversation: Conversation<SerialStreamOut<Reply>> | undefined;
  /** Commands not yet sent, in order. */
  #waiting: EntityCall[] | undefined;
  /** The one command that is out, until it is answered. */
  #current: EntityCall | undefined;
  /** When that command was sent or replied to, or the start began. */
  #sinceMs = 0;
  #startedMs = 0;
  /** The reply to it has come, and its change is being stored. */
  #storing = false;
  /** Version of the value, or sequence of the last event. */
  #position = 0;
  #lastUsedMs: number;
  /** What comes once the stream is completed. */
  #next: "end" | "restart" = "end";
  /** To be passivated as soon as it runs. */
  #unwanted = false;
  #held: PromiseWithResolvers<undefined> | undefined;

  constructor(parts: SerialParts<Reply, Change>, seat: Seat) {
    this.#parts = parts;
    this.#seat = seat;
    this.#meter = parts.meterOf(seat.service.persistenceId);
    this.key = { persistenceId: seat.service.persistenceId, entityId: seat.entityId };
    this.#lastUsedMs = parts.world.clock.monotonic();
    this.#start();
  }

  get serviceName(): string {
    return this.#seat.service.name;
  }

  get load(): number {
    return (this.#waiting?.length ?? 0) + (this.#current ? 1 : 0);
  }

  get idleSinceMs(): number | undefined {
    return this.#phase === "running" && this.load === 0 ? this.#lastUsedMs : undefined;
  }

  get isServed(): boolean {
    return this.#phase === "closing" || this.#phase === "over" || this.#conversation?.answered === true;
  }

  isOver(): boolean {
    return this.#phase !== "starting";
  }

  accept(call: EntityCall): void {
    call.owner = this;
    this.#meter.received();
    if (this.#waiting === undefined && this.#isFree()) this.#send(call);
    else {
      this.#meter.queued();
      call.keepPayload();
      (this.#waiting ??= []).push(call);
      if (this.#phase === "closing") this.#conversation?.hurry();
    }
  }

  /** A command that is out is replied to all the same, and what it changes is stored. */
  cancelled(call: EntityCall): void {
    if (call.state === "waiting") this.#drop((waiting) => waiting === call);
  }

  passivate(): void {
    switch (this.#phase) {
      case "starting":
        this.#unwanted = true;
        return;
      case "running":
        this.#phase = "finishing";
        this.#finishIfDone();
        return;
      case "closing":
        this.#next = "end";
        this.#conversation?.hurry();
        return;
      case "finishing":
      case "over":
        return;
    }
  }

  expire(openedBeforeMs: number): void {
    for (const call of this.#drop(({ openedAtMs }) => openedAtMs < openedBeforeMs)) call.fail(timedOut());
    const outMs = Math.round(this.#parts.world.clock.monotonic() - this.#sinceMs);
    const isTooLong = outMs >= this.#parts.options.giveUpMs;
    if (this.#phase === "starting" && isTooLong) {
      this.#unreadable(new MassaError("unavailable", `not read and replayed within ${outMs} ms`));
      return;
    }
    const current = this.#current;
    if (!current || current.openedAtMs >= openedBeforeMs) return;
    if (!current.abandoned) {
      current.fail(timedOut());
      current.state = "out"; // A late reply still takes effect.
      current.abandoned = true;
    }
    if (!isTooLong) return;
    const whose = this.#storing ? "the store has not confirmed" : "the function has not replied to";
    if (this.#storing) this.#parts.state.forget(this.key);
    this.#storing = false;
    this.#crash(this.#parts.rules.texts.termination, `${whose} ${current.method.path} within ${outMs} ms`);
  }

  open(init: Uint8Array): void {
    this.#conversation = new Conversation(this.#parts, this.#seat.service, this.#parts.rules.dialect, this);
    this.#conversation.send(init);
    this.#seat.opened(this);
  }

  send(frame: Uint8Array): void {
    this.#conversation?.send(frame);
  }

  ready(): Promise<unknown> | undefined {
    if (this.isOver() || this.#conversation?.isWritable() !== false) return undefined;
    this.#held ??= Promise.withResolvers<undefined>();
    return this.#held.promise;
  }

  writable(): void {
    this.#release();
    this.#goOn();
  }

  message(message: SerialStreamOut<Reply>): void {
    const { texts } = this.#parts.rules;
    if (this.#phase === "closing") return; // Said before the function saw that the stream is to end.
    switch (message.type) {
      case "reply":
        this.#reply(message);
        return;
      case "failure":
        this.#crash(texts.failure, `the function failed the entity: ${message.description}`);
        return;
      case "empty":
        this.#crash(texts.message, "a message in which nothing is set");
        return;
    }
  }

  closed(): void {
    this.#completed();
  }

  broke(error: MassaError | undefined): void {
    const { rules, log } = this.#parts;
    if (this.#phase === "closing") {
      this.#completed();
    } else if (error?.code === "unavailable" && this.load === 0) {
      log.debug({ service: this.serviceName, reason: error.message }, "the stream of an idle entity is over");
      this.#end();
    } else if (error?.code === "unavailable" && !this.#conversation!.reached) {
      // Nothing was lost on the way to a function that was never reached: its callers may try again.
      this.#fall(error, error);
    } else if (error?.code === "protocol") {
      this.#crash(rules.texts.message, error.message);
    } else {
      this.#crash(rules.texts.termination, error?.message ?? "the function ended the stream");
    }
  }

  #start(): void {
    this.#meter.started();
    this.#startedMs = this.#parts.world.clock.monotonic();
    this.#sinceMs = this.#startedMs;
    const position = this.#parts.state.load(this);
    if (typeof position === "number") this.#run(position);
    else
      position.then(
        (read) => this.#run(read),
        (failure: unknown) => this.#unreadable(MassaError.from(failure)),
      );
  }

  #run(position: number): void {
    if (this.#phase !== "starting") return;
    this.#meter.recovered(this.#lapMs());
    this.#position = position;
    this.#phase = "running";
    this.#lastUsedMs = this.#sinceMs;
    if (this.#unwanted) this.passivate();
    else this.#goOn();
  }

  #unreadable(error: MassaError): void {
    if (this.#phase !== "starting") return;
    const { texts } = this.#parts.rules;
    this.#tell(`${texts.recovery}: ${error.message}`);
    const told = this.#told(error, texts.recovery);
    this.#fall(told, told);
  }

  #isFree(): boolean {
    return this.#phase === "running" && this.#current === undefined && this.#conversation!.isWritable();
  }

  #goOn(): void {
    if (!this.#waiting || !this.#isFree()) return;
    const call = this.#waiting.shift()!;
    if (this.#waiting.length === 0) this.#waiting = undefined;
    this.#meter.unqueued(this.#parts.world.clock.monotonic() - call.openedAtMs);
    this.#send(call);
  }

  #send(call: EntityCall): void {
    call.id = this.#conversation!.takeId();
    call.state = "out";
    this.#current = call;
    this.#sinceMs = this.#parts.world.clock.monotonic();
    const { id, method } = call;
    const payload = call.takePayload();
    const command = { entityId: this.key.entityId, id, name: method.name, payload, streamed: false };
    this.#conversation!.send(this.#parts.rules.command(command));
  }

  #reply(reply: Reply): void {
    const { rules, state } = this.#parts;
    const call = this.#current;
    if (call?.id !== reply.commandId || this.#storing) {
      const report = `Received reply for entity id ${this.key.entityId} for unknown command ${reply.commandId}`;
      this.#crash(rules.texts.reply, report);
      return;
    }
    this.#meter.replied(this.#lapMs());
    const verdict = rules.judge(reply);
    switch (verdict.type) {
      case "answer":
        this.#answer(call, reply);
        return;
      case "restart":
        this.#next = this.#phase === "running" ? "restart" : "end";
        this.#phase = "finishing";
        this.#answer(call, reply);
        return;
      case "store":
        this.#storing = true;
        state.store(this.key, this.#position, verdict.change).then(
          (position) => this.#stored(call, reply, position),
          (failure: unknown) => this.#unstored(call, MassaError.from(failure)),
        );
        return;
      case "refuse":
        this.#crash(rules.texts.failure, verdict.reason);
        return;
    }
  }

  #stored(call: EntityCall, reply: Reply, position: number): void {
    if (this.#current !== call) {
      this.#parts.state.forget(this.key);
      return;
    }
    this.#meter.stored(this.#lapMs());
    this.#position = position;
    this.#answer(call, reply);
  }

  /** Since the start began, the command was sent, or the last call. */
  #lapMs(): number {
    const nowMs = this.#parts.world.clock.monotonic();
    const ms = nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    return ms;
  }

  #unstored(call: EntityCall, error: MassaError): void {
    const { state, rules, log } = this.#parts;
    state.forget(this.key);
    if (this.#current !== call) return;
    this.#storing = false;
    if (error.code !== "conflict") {
      this.#tell(`the change could not be stored: ${error.message}`);
      this.#fall(this.#told(error, rules.texts.failure), new MassaError("failed", rules.texts.terminated));
      return;
    }
    // What the function knows is old; those that wait begin again with what is stored.
    log.warn({ service: this.serviceName }, "another writer changed an entity; it begins anew");
    this.#meter.conflicted();
    this.#meter.completed(this.#parts.world.clock.monotonic() - call.openedAtMs, true);
    this.#current = undefined;
    if (!call.abandoned) {
      call.fail(new MassaError("unavailable", "another writer changed the entity; nothing was stored, try again"));
    }
    this.#conversation?.reset();
    this.#end();
  }

  /** Hands the reply on, whose change is stored, and goes on to the next command. */
  #answer(call: EntityCall, reply: Reply): void {
    this.#current = undefined;
    this.#storing = false;
    this.#lastUsedMs = this.#parts.world.clock.monotonic();
    call.state = "over";
    this.#meter.completed(this.#lastUsedMs - call.openedAtMs, reply.clientAction?.type === "failure");
    call.element({ action: reply.clientAction, effects: reply.sideEffects });
    call.end();
    if (this.#phase === "closing" && !this.#conversation) this.#end();
    else if (this.#phase === "finishing") this.#finishIfDone();
    else this.#goOn();
  }

  #finishIfDone(): void {
    if (this.#current || this.#phase !== "finishing") return;
    this.#phase = "closing";
    if (this.#waiting !== undefined || this.#next === "restart") this.#conversation!.hurry();
    this.#conversation!.halfClose();
  }

  /** The stream is over in good order. */
  #completed(): void {
    this.#conversation = undefined;
    if (this.#next === "end") {
      this.#end();
      return;
    }
    this.#next = "end";
    this.#phase = "starting";
    this.#meter.stopped(this.#parts.world.clock.monotonic() - this.#startedMs);
    this.#start();
  }

  #crash(text: string, report: string): void {
    this.#tell(report === "" ? text : `${text}: ${report}`);
    const { terminated } = this.#parts.rules.texts;
    this.#fall(new MassaError("failed", text), new MassaError("failed", terminated));
  }

  #tell(report: string): void {
    const { log, reportError } = this.#parts;
    log.warn({ service: this.serviceName, entityId: this.key.entityId, report }, "entity crashed");
    this.#meter.failed();
    reportError(report);
  }

  /** A store that is away or full is no answer of the entity: the caller may try again. */
  #told(error: MassaError, text: string): MassaError {
    const isOurs = error.code === "unavailable" || error.code === "exhausted";
    return new MassaError(isOurs ? error.code : "failed", text, { cause: error });
  }

  /** Fails what is out and what waits; but a command whose reply has come is answered by the store. */
  #fall(error: MassaError, queued: MassaError): void {
    this.#conversation?.reset();
    this.#conversation = undefined;
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    if (this.#storing) {
      this.#phase = "closing";
    } else {
      const current = this.#current;
      this.#current = undefined;
      if (current) this.#meter.completed(this.#parts.world.clock.monotonic() - current.openedAtMs, true);
      if (current?.abandoned === false) current.fail(error);
      this.#end();
    }
    for (const call of waiting) call.fail(queued);
  }

  /** Takes waiting commands out. */
  #drop(which: (call: EntityCall) => boolean): EntityCall[] {
    const dropped = this.#waiting?.filter(which) ?? [];
    if (dropped.length === 0) return dropped;
    this.#waiting = this.#waiting!.filter((call) => !which(call));
    if (this.#waiting.length === 0) this.#waiting = undefined;
    return dropped;
  }

  #release(): void {
    this.#held?.resolve(undefined);
    this.#held = undefined;
  }

  #end(): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#meter.stopped(this.#parts.world.clock.monotonic() - this.#startedMs);
    this.#release();
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    this.#seat.ended(waiting);
  }
}

function timedOut(): MassaError {
  return new MassaError("deadline", "the entity did not answer in time (relay.timeout)");
}
