import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { EntityType, Service } from "../discovery/service-table.ts";
import type { Call, Handler } from "../routing/command.ts";
import type { UserFunction } from "../user-function/user-function.ts";
import { CallBounds, EntityCall } from "./entity-call.ts";
import { createPressure, type Pressure } from "./pressure.ts";
import { type Waiting, WaitingRoom } from "./waiting-room.ts";

/** One running entity. It ends by itself, by `passivate` or by failing, and says so once through `Seat.ended`. */
export interface Instance {
  /** Takes a command over. The instance settles it, or gives it back when it ends. */
  accept(call: EntityCall): void;
  /** Commands waiting or out, open streams not counted. */
  readonly load: number;
  /** When it last had anything to do, on `Clock.monotonic`; undefined while it has. */
  readonly idleSinceMs: number | undefined;
  /** Whether the function has answered anything on its stream, or the stream is over. */
  readonly isServed: boolean;
  /** Finishes what is out and half-closes; may come again, also while it is under way. */
  passivate(): void;
  /** Fails calls that have waited for an answer since before `openedBeforeMs`. */
  expire(openedBeforeMs: number): void;
}

/** Called once when an instance is over, with the calls that it had not sent yet, in order. */
export type Ended = (left: readonly EntityCall[]) => void;

/** The place of an instance in its host. */
export interface Seat {
  readonly service: Service;
  readonly entityId: string;
  /** The instance has opened a stream to the function: until that is served, idle entities make room for it. */
  opened(instance: Instance): void;
  ended(left: readonly EntityCall[]): void;
}

/** One kind of entity, as the host knows it. */
export interface Kind {
  /** Idle time before an entity is passivated whose service names none. */
  readonly passivationMs: number;
  /** Starts an instance, which calls the seat only later. */
  activate(seat: Seat): Instance;
}

export interface HostOptions {
  /** Entities with an open stream; above it the longest idle of a sample is passivated, and who comes waits for that (`entities.maxActive`). */
  readonly activeMax: number;
  /** Commands waiting or out per entity; above it RESOURCE_EXHAUSTED (`entities.mailbox`). */
  readonly mailboxMax: number;
  /** Unread elements per streamed command (`entities.streamBuffer`). */
  readonly streamBufferMax: number;
  /** How long a stream may be unanswered before an idle one makes room for it (`entities.pressureAfter`). */
  readonly pressureAfterMs: number;
  /** How long a caller waits for an entity's answer (`relay.timeout`). */
  readonly relayTimeoutMs: number;
  /** How long the function may take at the end to complete all streams (`drain.timeout`). */
  readonly drainMs: number;
}

export interface HostParts {
  readonly kinds: Readonly<Partial<Record<EntityType, Kind>>>;
  readonly userFunction: Pick<UserFunction, "share">;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: HostOptions;
}

/** The entities on this node, of all kinds: activation, bounded mailboxes, passivation, pressure. */
export interface Host extends Handler, AsyncDisposable {
  readonly active: number;
  /** Calls to the function beside its entities, which idle ones make room for as well, though later and once. */
  readonly calls: Pick<Pressure, "watch" | "forget">;
  /** Passivates every instance of services for which `keep` is false. */
  retain(keep: (service: Service) => boolean): void;
}

const victimSample = 64;
/** A call may take its time; one that was not answered for so many times `entities.pressureAfter` may lack a thread. */
const callPatience = 5;
/** When it is learned again within so long that streams hang while others are served, the function has few threads. */
const fewThreadsAgainMs = 60_000;
/** Every instance is looked at once in so long, or four times within the relay's timeout. */
const sweepMs = 1_000;
const sweepSteps = 100;
/** So many idle entities at most go in a millisecond, or the commands beside them would wait for those that are due together. */
const passivationsPerMs = 10;
const timedOut = () => new MassaError("deadline", "the entity did not answer in time (relay.timeout)");
const tooMuch = () =>
  new MassaError(
    "exhausted",
    "too many bytes wait for the user function already (userFunction.buffer); try again later",
  );
const shuttingDown = () => new MassaError("unavailable", "the proxy is shutting down");

export function createHost({ kinds, userFunction, world, log, telemetry, options }: HostParts): Host {
  const { clock } = world;
  const bounds = new CallBounds(options.streamBufferMax, () => reached("entities.streamBuffer"));
  const fits = userFunction.share(() => bounds.waitingBytes);
  /** Those for whom the longest idle ones were asked to go when as many as may be were active. */
  const outside = new WaitingRoom();
  const slots = new Map<string, Slot>();
  const activeOf = new Map<EntityType, number>();
  const afterMs = options.pressureAfterMs;
  const stepMs = Math.min(sweepMs, options.relayTimeoutMs / 4) / sweepSteps;
  const streams = { count: () => slots.size, learned: (served: number) => fewThreads(served) };
  const pressure = createPressure(clock, { afterMs, streams }, () => makeRoom("the user function"));
  const ofCalls = createPressure(clock, { afterMs: callPatience * afterMs }, () => makeRoom("a call"));
  const empty = Promise.withResolvers<undefined>();
  let fewThreadsAtMs = Number.NEGATIVE_INFINITY;
  let fewThreadsSaid = false;
  let closing = false;
  let sampled = slots.values();
  let swept = slots.values();
  let sweepShare = 1;
  let sweptAtMs = clock.monotonic();
  let passivationsLeft = 0;
  let stopSweep: Cancel | undefined;

  function open(...[method, command, receiver]: Parameters<Handler["open"]>): Call {
    const payload = command.payload ?? { typeUrl: method.inputUrl, value: new Uint8Array(0) };
    const hasRoom = fits(payload.value.byteLength);
    const call = new EntityCall(method, payload, receiver, clock.monotonic(), bounds);
    let entityId: string;
    try {
      entityId = method.key(payload.value);
    } catch (failure) {
      call.fail(MassaError.from(failure, "invalid"));
      return call;
    }
    if (closing) call.fail(shuttingDown());
    else if (!hasRoom) call.fail(tooMuch());
    else admit(method.service, entityId, call);
    return call;
  }

  function admit(service: Service, entityId: string, call: EntityCall): void {
    const key = `${service.name}|${entityId}`;
    const slot = slots.get(key);
    const waiting = slot ? undefined : outside.get(key);
    if ((slot ? slot.instance!.load : (waiting?.calls.length ?? 0)) >= options.mailboxMax) {
      refuse(call, "entities.mailbox", options.mailboxMax);
    } else if (slot) {
      if (!isSame(service, slot.service)) slot.instance!.passivate();
      slot.instance!.accept(call);
    } else if (waiting) {
      outside.accept(waiting, call);
    } else if (slots.size < options.activeMax) {
      enter({ key, entityId, service, calls: [call] });
    } else if (makeRoom("entities.maxActive")) {
      outside.add({ key, entityId, service, calls: [call] });
    } else {
      refuse(call, "entities.maxActive", options.activeMax);
    }
  }

  function refuse(call: EntityCall, limit: string, value: number): void {
    reached(limit);
    call.fail(new MassaError("exhausted", `${limit} of ${value} is reached; try again later or raise it`));
  }

  function reached(limit: string): void {
    telemetry.count("massa_limit_reached_total", { limit });
  }

  /** One instance, by its key: of an entity there is one at a time. */
  class Slot implements Seat {
    readonly key: string;
    readonly entityId: string;
    readonly service: Service;
    readonly kind: Kind;
    instance: Instance | undefined;

    constructor(key: string, entityId: string, service: Service, kind: Kind) {
      this.key = key;
      this.entityId = entityId;
      this.service = service;
      this.kind = kind;
    }

    opened(instance: Instance): void {
      pressure.watch(instance);
    }

    ended(left: readonly EntityCall[]): void {
      over(this, left);
    }
  }

  function enter({ key, entityId, service, calls }: Waiting): void {
    const { entityType } = service;
    const slot = new Slot(key, entityId, service, kinds[entityType]!);
    slots.set(key, slot);
    activeOf.set(entityType, (activeOf.get(entityType) ?? 0) + 1);
    slot.instance = slot.kind.activate(slot);
    telemetry.count("massa_entities_activated_total", { kind: entityType });
    stopSweep ??= clock.every(stepMs, sweep);
    for (const call of calls) slot.instance.accept(call);
  }

  function over({ key, entityId, service }: Slot, left: readonly EntityCall[]): void {
    slots.delete(key);
    activeOf.set(service.entityType, activeOf.get(service.entityType)! - 1);
    const calls = left.filter((call) => !call.abandoned);
    if (calls.length > 0) {
      if (closing) for (const call of calls) call.fail(shuttingDown());
      // The function may serve the service as another kind since. Who waited for room that this one has made comes first.
      else outside.add({ key, entityId, service: calls[0]!.method.service, calls });
    }
    while (outside.size > 0 && slots.size < options.activeMax) {
      const next = outside.take();
      if (next) enter(next);
    }
    if (outside.size > 0 && calls.length > 0) makeRoom("entities.maxActive");
    if (slots.size > 0) return;
    stopSweep?.();
    stopSweep = undefined;
    if (closing) empty.resolve(undefined);
  }

  function passivate(slot: Slot): void {
    telemetry.count("massa_entities_passivated_total", { kind: slot.service.entityType });
    slot.instance!.passivate();
  }

  /** Passivates the longest idle of the next few instances in turn; false when none of them is idle. */
  function makeRoom(reason: string): boolean {
    let victim: Slot | undefined;
    let victimSinceMs = Number.POSITIVE_INFINITY;
    for (let seen = 0; seen < Math.min(victimSample, slots.size); seen++) {
      let next = sampled.next();
      if (next.done) {
        sampled = slots.values();
        next = sampled.next();
        if (next.done) break;
      }
      const sinceMs = next.value.instance!.idleSinceMs;
      if (sinceMs === undefined || sinceMs >= victimSinceMs) continue;
      victim = next.value;
      victimSinceMs = sinceMs;
    }
    if (!victim) return false;
    log.debug({ service: victim.service.name, reason }, "passivating an idle entity to make room");
    passivate(victim);
    return true;
  }

  /** Says so once: when it is learned again soon, for once it may have been a function that was slow for a moment. */
  function fewThreads(served: number): void {
    const sinceMs = clock.monotonic() - fewThreadsAtMs;
    fewThreadsAtMs = clock.monotonic();
    if (fewThreadsSaid || sinceMs > fewThreadsAgainMs) return;
    fewThreadsSaid = true;
    log.warn(
      { streams: served },
      "the user function serves few streams at a time: idle entities make room; more threads would be faster",
    );
  }

  /** Looks at the next part of all instances, so that however many there are, no turn of the event loop pays for all. */
  function sweep(): void {
    const nowMs = clock.monotonic();
    passivationsLeft = Math.min(nowMs - sweptAtMs, 2 * stepMs) * passivationsPerMs;
    sweptAtMs = nowMs;
    outside.expire(clock.monotonic() - options.relayTimeoutMs, timedOut);
    for (let left = Math.max(sweepShare, Math.ceil(slots.size / sweepSteps)); left > 0; left--) {
      let next = swept.next();
      if (next.done) {
        swept = slots.values();
        // As many were there when the round began, or those that go meanwhile would make it ever slower.
        sweepShare = Math.ceil(slots.size / sweepSteps);
        next = swept.next();
        if (next.done) return;
      }
      look(next.value);
    }
  }

  function look(slot: Slot): void {
    const instance = slot.instance!;
    if (closing) instance.passivate();
    if (instance.load > 0) {
      instance.expire(clock.monotonic() - options.relayTimeoutMs);
      return;
    }
    const sinceMs = instance.idleSinceMs;
    const afterMs = slot.service.passivationMs ?? slot.kind.passivationMs;
    if (sinceMs === undefined || passivationsLeft <= 0 || clock.monotonic() - sinceMs < afterMs) return;
    passivationsLeft--;
    passivate(slot);
  }

  function commands(kind: string): number {
    let sum = 0;
    for (const { service, instance } of slots.values()) if (service.entityType === kind) sum += instance!.load;
    return sum;
  }

  for (const kind of Object.keys(kinds)) {
    telemetry.gauge("massa_entities_commands", () => commands(kind), { kind });
    telemetry.gauge("massa_entities_active", () => activeOf.get(kind as EntityType) ?? 0, { kind });
  }
  return {
    open,
    get active() {
      return slots.size;
    },
    calls: {
      watch(waiter) {
        if (slots.size > 0) ofCalls.watch(waiter);
      },
      forget: (waiter) => ofCalls.forget(waiter),
    },
    retain(keep) {
      for (const { service, instance } of slots.values()) if (!keep(service)) instance!.passivate();
    },
    async [Symbol.asyncDispose]() {
      closing = true;
      outside.close(shuttingDown);
      for (const { instance } of slots.values()) instance!.passivate();
      if (slots.size > 0) {
        const giveUp = clock.after(options.drainMs, () => {
          log.warn({ entities: slots.size }, "the function did not complete all entity streams at the end");
          empty.resolve(undefined);
        });
        await empty.promise;
        giveUp();
      }
      stopSweep?.();
      pressure.stop();
      ofCalls.stop();
    },
  };
}

/** Whether an entity of the one is an entity of the other, though they come from different discoveries. */
function isSame(one: Service, other: Service): boolean {
  return one === other || (one.entityType === other.entityType && one.persistenceId === other.persistenceId);
}
