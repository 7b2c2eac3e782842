import { Refusal } from "../../crdt/index.ts";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Cancel, World } from "../core/world.ts";
import type { Service } from "../discovery/service-table.ts";
import type { ReplicaGroup } from "../replication/port.ts";
import type { UserFunction } from "../user-function/user-function.ts";
import {
  type CrdtReply,
  type CrdtStateAction,
  type CrdtStreamOut,
  encodeCrdtCommand,
  encodeCrdtDelete,
  encodeCrdtDelta,
  encodeCrdtInit,
  encodeCrdtStreamCancelled,
} from "../wire/crdt-protocol.ts";
import { CancelledStreams, type HeedlessMethods } from "./cancelled-streams.ts";
import type { Completion } from "./completion.ts";
import { Conversation, type ConversationListener } from "./conversation.ts";
import { crdtDialect, deltaOf, operationOf } from "./crdt-dialect.ts";
import { Knowledge, type KnowledgeListener } from "./crdt-knowledge.ts";
import type { EntityCall } from "./entity-call.ts";
import type { Ended, Instance } from "./host.ts";

export interface CrdtEntityOptions {
  /** How long remote changes may be withheld before new commands wait for the catch-up (`crdt.catchUpAfter`). */
  readonly catchUpAfterMs: number;
  /** How long a cancelled stream's response is waited for before deltas go on without it (`crdt.cancelGrace`). */
  readonly cancelGraceMs: number;
  /** A command that is out for twice as long as its caller waited is given up with its stream (`relay.timeout`). */
  readonly relayTimeoutMs: number;
}

export interface CrdtEntityParts {
  readonly service: Service;
  readonly entityId: string;
  readonly group: ReplicaGroup;
  readonly userFunction: UserFunction;
  readonly completion: Completion;
  readonly heedless: HeedlessMethods;
  readonly world: World;
  readonly log: Logger;
  readonly reportError: (message: string) => void;
  readonly options: CrdtEntityOptions;
  readonly ended: Ended;
}

/** `starting` reads the state, `closing` has half-closed and waits for the function to complete. */
type Phase = "starting" | "running" | "finishing" | "closing" | "over";

/** What is said of a change that was not confirmed in time. */
function unconfirmed(action: CrdtStateAction | undefined): string {
  const what = action?.action?.type === "delete" ? "delete" : "update";
  return `Failed to ${what} CRDT at requested write consistency`;
}

/** One CRDT entity on this node, from its first command to the end of its stream. */
export class CrdtEntity implements Instance, ConversationListener<CrdtStreamOut>, KnowledgeListener {
  readonly #parts: CrdtEntityParts;
  #phase: Phase = "starting";
  #conversation: Conversation<CrdtStreamOut> | undefined;
  #knowledge: Knowledge | undefined;
  /** Commands not yet sent, in order. */
  #waiting: EntityCall[] = [];
  /** Commands that the function still has something to say to, by id. */
  readonly #calls = new Map<number, EntityCall>();
  /** Commands out and cancelled streams not yet responded to: while there are any, the function is told no deltas. */
  #mutating = 0;
  /** How many of them stream; they are no load. */
  #streaming = 0;
  #cancelled: CancelledStreams | undefined;
  /** Remote changes have waited too long: new commands wait until the function has caught up. */
  #holding = false;
  #withheld: Cancel | undefined;
  #lastUsedMs: number;
  /** Said to open streams when the entity starts again because a change cannot be put into a delta. */
  #restarting = false;

  constructor(parts: CrdtEntityParts) {
    this.#parts = parts;
    this.#lastUsedMs = parts.world.clock.monotonic();
    parts.group.read(parts.entityId).then(
      () => this.#start(),
      (failure: unknown) => this.#crash(`Reading the state failed: ${MassaError.from(failure).message}`),
    );
  }

  get load(): number {
    return this.#waiting.length + this.#calls.size - this.#streaming;
  }

  get idleSinceMs(): number | undefined {
    const busy = this.#phase !== "running" || this.#calls.size > 0 || this.#waiting.length > 0 || this.#mutating > 0;
    return busy ? undefined : this.#lastUsedMs;
  }

  get isServed(): boolean {
    return this.#phase === "closing" || this.#phase === "over" || this.#conversation?.answered === true;
  }

  accept(call: EntityCall): void {
    call.owner = this;
    this.#lastUsedMs = this.#parts.world.clock.monotonic();
    const send = this.#phase === "running" && !this.#holding && this.#waiting.length === 0;
    if (send && this.#conversation!.isWritable()) this.#send(call);
    else {
      call.keepPayload();
      this.#waiting.push(call);
      if (this.#phase === "closing") this.#conversation?.hurry();
    }
  }

  cancelled(call: EntityCall): void {
    switch (call.state) {
      case "waiting":
        this.#waiting = this.#waiting.filter((other) => other !== call);
        return;
      case "streaming":
        this.#cancelStream(call);
        return;
      case "out": // A reply is still to come and takes effect; a streamed one is cancelled then.
      case "over":
        return;
    }
  }

  passivate(): void {
    if (this.#phase === "running") this.#finish();
    else if (this.#phase === "closing") this.#conversation!.hurry();
  }

  expire(openedBeforeMs: number): void {
    const timedOut = () => new MassaError("deadline", "the entity did not answer in time (relay.timeout)");
    for (const call of this.#waiting.filter((waiting) => waiting.openedAtMs < openedBeforeMs)) {
      this.#waiting = this.#waiting.filter((other) => other !== call);
      call.fail(timedOut());
    }
    // A command out for twice the time is not waited for any more: it would count as the entity's load for ever.
    const forgottenMs = openedBeforeMs - this.#parts.options.relayTimeoutMs;
    for (const call of this.#calls.values()) {
      if (call.state !== "out" || call.openedAtMs >= openedBeforeMs) continue;
      if (call.openedAtMs < forgottenMs) {
        this.#crash(`The function did not reply to ${call.method.path} in time`);
        return;
      }
      if (!call.abandoned) {
        call.fail(timedOut());
        call.state = "out"; // A late reply still takes effect.
        call.abandoned = true;
      }
      this.#settle(call);
    }
    this.#goOn();
    this.#finishIfDone();
  }

  #occupy(call: EntityCall): void {
    call.mutating = true;
    this.#mutating += 1;
  }

  #settle(call: EntityCall): void {
    if (!call.mutating) return;
    call.mutating = false;
    this.#mutating -= 1;
  }

  #start(): void {
    if (this.#phase !== "starting") return;
    const { group, entityId, service } = this.#parts;
    this.#phase = "running";
    this.#knowledge = new Knowledge(group, entityId, this);
    this.#conversation = new Conversation(this.#parts, service, crdtDialect, this);
    const initial = this.#knowledge.initial();
    this.#conversation.send(encodeCrdtInit(service.name, entityId, initial && deltaOf(initial)));
    this.#goOn();
  }

  #send(call: EntityCall): void {
    call.id = this.#conversation!.takeId();
    call.state = "out";
    this.#calls.set(call.id, call);
    this.#occupy(call);
    const { name, streamedOut } = call.method;
    const { entityId } = this.#parts;
    const command = { entityId, id: call.id, name, payload: call.takePayload(), streamed: streamedOut };
    this.#conversation!.send(encodeCrdtCommand(command));
  }

  /** Tells what was withheld, then sends what waited: after each reply, and when the stream takes messages again. */
  #goOn(): void {
    const conversation = this.#conversation;
    if (this.#phase !== "running" || conversation?.isWritable() !== true) return;
    if (this.#mutating === 0 && !this.#catchUp()) return;
    while (this.#waiting.length > 0 && !this.#holding && conversation.isWritable()) this.#send(this.#waiting.shift()!);
  }

  /** False when the entity starts again instead. */
  #catchUp(): boolean {
    this.#holding = false;
    this.#withheld?.();
    this.#withheld = undefined;
    const news = this.#knowledge!.catchUp();
    if (news === "restart") {
      this.#restarting = true;
      this.#finish();
      return false;
    }
    if (news !== undefined) this.#conversation!.send(encodeCrdtDelta(deltaOf(news)));
    return true;
  }

  remoteChange(): void {
    if (this.#phase !== "running") return;
    if (this.#mutating === 0 && this.#conversation!.isWritable()) {
      this.#goOn();
      return;
    }
    this.#withheld ??= this.#parts.world.clock.after(this.#parts.options.catchUpAfterMs, () => {
      if (this.#phase === "running" && this.#mutating > 0) this.#holding = true;
    });
  }

  deletedElsewhere(): void {
    if (this.#phase !== "running" && this.#phase !== "finishing") return;
    this.#conversation!.send(encodeCrdtDelete());
    this.#leave();
  }

  /** The entity is gone: commands still out get `Entity deleted`, open streams end, and the stream is closed in good order. */
  #leave(): void {
    for (const call of this.#calls.values()) {
      if (call.state === "streaming") call.end();
      else call.fail(new MassaError("failed", "Entity deleted"));
    }
    this.#calls.clear();
    // What a response that is still to come would change is gone.
    this.#cancelled?.clear();
    this.#streaming = 0;
    this.#halfClose();
  }

  writable(): void {
    this.#goOn();
  }

  closed(): void {
    this.#end();
  }

  message(message: CrdtStreamOut): void {
    this.#lastUsedMs = this.#parts.world.clock.monotonic();
    switch (message.type) {
      case "reply":
        this.#reply(message);
        return;
      case "streamed-message": {
        const call = this.#calls.get(message.commandId);
        if (call?.state !== "streaming") {
          if (this.#phase !== "closing") this.#unknownStream(message.commandId);
          return;
        }
        // The function has ended it: what the element does to its caller cancels nothing any more.
        if (message.endStream) this.#forget(call);
        const taken = call.element({ action: message.clientAction, effects: message.sideEffects });
        if (message.endStream) {
          if (taken) call.end();
          this.#goOn();
          this.#finishIfDone();
        } else if (!taken) {
          this.#cancelStream(call);
        }
        return;
      }
      case "stream-cancelled-response":
        this.#cancelResponse(message.commandId, message.stateAction, message.sideEffects);
        return;
      case "failure":
        this.#failure(message.commandId, message.description);
        return;
      case "empty":
        this.#parts.log.warn({ service: this.#parts.service.name }, "empty message on an entity stream");
        return;
    }
  }

  #reply(reply: CrdtReply): void {
    const call = this.#calls.get(reply.commandId);
    if (call?.state !== "out") {
      if (this.#phase === "closing") return; // Failed already, with the entity it was for.
      this.#crash(`Received reply for entity id ${this.#parts.entityId} for unknown command ${reply.commandId}`);
      return;
    }
    if (reply.streamed && !call.method.streamedOut) {
      this.#crash(`Streamed reply to non streamed command ${reply.commandId}`);
      return;
    }
    const number = this.#apply(reply.stateAction);
    if (number === "refused") return;
    this.#settle(call);
    const deleting = reply.stateAction?.action?.type === "delete";
    if (reply.streamed && !deleting) {
      call.state = "streaming";
      call.streams = true;
      this.#streaming += 1;
    } else {
      this.#calls.delete(call.id);
    }
    if (deleting) this.#leave();
    this.#answerWhenSafe(call, reply, number);
    this.#goOn();
    this.#finishIfDone();
  }

  #answer(call: EntityCall, reply: CrdtReply): void {
    const first = { action: reply.clientAction, effects: reply.sideEffects };
    if (call.state === "over") {
      // It streamed to its end while its first element waited.
      if (call.isBlocked) call.release(first);
      return;
    }
    const streaming = call.state === "streaming";
    if (!streaming) call.state = "over";
    const taken = call.release(first);
    if (!streaming) call.end();
    else if (call.abandoned || !taken) this.#cancelStream(call);
  }

  /** Hands the reply to its caller, once what it changed is as safe as it asked for. */
  #answerWhenSafe(call: EntityCall, reply: CrdtReply, number: number | undefined): void {
    const consistency = reply.stateAction?.writeConsistency ?? "local";
    if (number === undefined || consistency === "local") {
      this.#answer(call, reply);
      return;
    }
    call.block();
    this.#parts.group.confirm(number, consistency, (ok) => {
      if (ok) {
        this.#answer(call, reply);
        return;
      }
      const text = unconfirmed(reply.stateAction);
      // One that streamed to its end meanwhile is over, and its caller still waits.
      if (call.state !== "over" || call.isBlocked) call.fail(new MassaError("failed", text));
      this.#crash(text);
    });
  }

  /** Applies what the function changed; the last number it took, undefined without a change. */
  #apply(action: CrdtStateAction | undefined): number | undefined | "refused" {
    const change = action?.action;
    if (change === undefined) return undefined;
    try {
      return change.type === "delete"
        ? this.#knowledge!.delete()
        : this.#knowledge!.update(operationOf(change.operation), this.#parts.world.clock.now());
    } catch (failure) {
      if (!(failure instanceof Refusal)) throw failure;
      this.#crash(failure.message);
      return "refused";
    }
  }

  #cancelStream(call: EntityCall): void {
    if (this.#phase === "closing" || this.#phase === "over" || this.#cancelled?.isAwaited(call.id) === true) return;
    if (this.#calls.get(call.id) !== call) return;
    const { world, options, heedless, entityId } = this.#parts;
    this.#cancelled ??= new CancelledStreams(world.clock, options.cancelGraceMs, heedless);
    this.#conversation!.send(encodeCrdtStreamCancelled(entityId, call.id));
    if (this.#cancelled.await(call, () => this.#cancelIgnored(call))) this.#occupy(call);
    else this.#cancelIgnored(call);
  }

  /** An SDK may leave a cancellation unanswered: deltas go on, and a response that comes late is still taken. */
  #cancelIgnored(call: EntityCall): void {
    this.#forget(call);
    call.state = "over";
    this.#goOn();
    this.#finishIfDone();
  }

  #cancelResponse(id: number, action: CrdtStateAction | undefined, effects: CrdtReply["sideEffects"]): void {
    const call = this.#cancelled?.isAwaited(id) === true ? this.#calls.get(id) : this.#cancelled?.takeLate(id);
    if (!call) {
      if (this.#phase !== "closing") this.#unknownStream(id);
      return;
    }
    this.#cancelled?.answered(call);
    const number = this.#apply(action);
    if (number === "refused") return;
    this.#forget(call);
    call.state = "over";
    if (action?.action?.type === "delete") this.#leave();
    const consistency = action?.writeConsistency ?? "local";
    const runEffects = () => call.element({ action: undefined, effects });
    if (number === undefined || consistency === "local") runEffects();
    else {
      this.#parts.group.confirm(number, consistency, (ok) => {
        if (ok) runEffects();
        else this.#crash(unconfirmed(action));
      });
    }
    this.#goOn();
    this.#finishIfDone();
  }

  #failure(id: number, description: string): void {
    const call = this.#calls.get(id);
    if (!call) {
      const { log, service } = this.#parts;
      log.warn({ service: service.name, commandId: id, description }, "failure without a command");
      return;
    }
    this.#forget(call);
    call.fail(new MassaError("failed", description));
    this.#goOn();
    this.#finishIfDone();
  }

  /** The function has nothing more to say to the call. */
  #forget(call: EntityCall): void {
    if (!this.#calls.delete(call.id)) return;
    if (call.streams) this.#streaming -= 1;
    this.#cancelled?.settled(call.id);
    this.#settle(call);
  }

  #unknownStream(id: number): void {
    this.#parts.reportError(`Received streamed message for unknown command id: ${id}`);
  }

  /** No more commands are sent; once those out are replied to, the stream is half-closed. */
  #finish(): void {
    this.#phase = "finishing";
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    if (this.#phase !== "finishing") return;
    for (const call of this.#calls.values()) if (call.state === "out") return;
    const ending = this.#restarting ? new MassaError("unavailable", "Entity restarted") : undefined;
    for (const call of [...this.#calls.values()]) {
      if (call.state !== "streaming") continue;
      if (ending) call.fail(ending);
      else call.end();
    }
    this.#halfClose();
  }

  #halfClose(): void {
    this.#phase = "closing";
    if (this.#waiting.length > 0) this.#conversation!.hurry();
    this.#conversation!.halfClose();
  }

  broke(error: MassaError | undefined): void {
    if (this.#phase === "closing") {
      this.#end();
      return;
    }
    if (error?.code === "unavailable" && this.#calls.size === 0 && this.#waiting.length === 0) {
      const { log, service } = this.#parts;
      log.debug({ service: service.name, reason: error.message }, "the stream of an idle entity is over");
      this.#end();
    } else if (error?.code === "unavailable" && this.#conversation?.reached !== true) {
      // Nothing was lost on the way to a function that was never reached: its callers may try again.
      this.#fall(error);
    } else {
      this.#crash(error ? `Entity crashed: ${error.message}` : "Unexpected entity termination due to stream closure");
    }
  }

  #crash(report: string): void {
    if (this.#phase === "over") return;
    const { log, service, entityId, reportError } = this.#parts;
    log.warn({ service: service.name, entityId, report }, "entity crashed");
    reportError(report);
    this.#fall(new MassaError("failed", "Entity terminating"));
  }

  #fall(error: MassaError): void {
    this.#conversation?.reset();
    const calls = [...this.#calls.values(), ...this.#waiting];
    this.#calls.clear();
    this.#waiting = [];
    for (const call of calls) if (call.state !== "over") call.fail(error);
    this.#end();
  }

  #end(): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#withheld?.();
    this.#cancelled?.clear();
    this.#knowledge?.close();
    this.#parts.ended(this.#waiting);
  }
}
