import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { World } from "../core/world.ts";
import type { Service } from "../discovery/service-table.ts";
import type { Call, Handler } from "../routing/command.ts";
import { EntityCall } from "./entity-call.ts";

/** One running entity. It ends by itself, by `passivate` or by failing, and says so once through `Ended`. */
export interface Instance {
  /** Takes a command over. The instance settles it, or gives it back when it ends. */
  accept(call: EntityCall): void;
  /** Commands waiting or out, open streams not counted. */
  readonly load: number;
  /** When it last had anything to do, on `Clock.monotonic`; undefined while it has. */
  readonly idleSinceMs: number | undefined;
  /** Whether the function has not answered anything on this stream although commands wait for it. */
  readonly unanswered: boolean;
  /** Finishes what is out and half-closes; a no-op once under way. */
  passivate(): void;
  /** Fails calls that have waited for an answer since before `openedBeforeMs`. */
  expire(openedBeforeMs: number): void;
}

/** Called once when an instance is over, with the calls that it had not sent yet, in order. */
export type Ended = (left: readonly EntityCall[]) => void;

/** Starts an instance of one kind of entity. */
export type Activate = (service: Service, entityId: string, ended: Ended) => Instance;

export interface HostOptions {
  /** Entities with an open stream; above it the longest idle of a sample is passivated (`entities.maxActive`). */
  readonly activeMax: number;
  /** Commands waiting or out per entity; above it RESOURCE_EXHAUSTED (`entities.mailbox`). */
  readonly mailboxMax: number;
  /** Unread elements per streamed command (`entities.streamBuffer`). */
  readonly streamBufferMax: number;
  /** How long a stream may be unanswered before an idle one makes room for it (`entities.pressureAfter`). */
  readonly pressureAfterMs: number;
  /** How long a caller waits for an entity's answer (`relay.timeout`). */
  readonly relayTimeoutMs: number;
}

/** The entities of one kind on this node: activation, bounded mailboxes, passivation, pressure. */
export interface Host extends Handler, AsyncDisposable {
  readonly active: number;
  /** Passivates every instance of services for which `keep` is false. */
  retain(keep: (service: Service) => boolean): void;
}

interface Slot {
  readonly service: Service;
  readonly entityId: string;
  instance: Instance;
}

const victimSample = 64;

export function createHost(
  activate: Activate,
  world: World,
  log: Logger,
  telemetry: Telemetry,
  options: HostOptions,
): Host {
  const slots = new Map<string, Slot>();
  const empty = new Set<() => void>();
  let closing = false;
  let sampled: Iterator<Slot> = slots.values();
  const sweepMs = Math.min(1000, options.relayTimeoutMs / 4);
  const stopSweep = world.clock.every(sweepMs, sweep);

  function open(...[method, command, receiver]: Parameters<Handler["open"]>): Call {
    const payload = command.payload ?? { typeUrl: method.inputUrl, value: new Uint8Array(0) };
    const call = new EntityCall(method, payload, receiver, world.clock.monotonic(), options.streamBufferMax);
    let entityId: string;
    try {
      entityId = method.key(payload.value);
    } catch (failure) {
      call.fail(MassaError.from(failure, "invalid"));
      return call;
    }
    if (closing) call.fail(new MassaError("unavailable", "the proxy is shutting down"));
    else admit(method.service, entityId, call);
    return call;
  }

  function admit(service: Service, entityId: string, call: EntityCall): void {
    const key = `${service.name}|${entityId}`;
    const slot = slots.get(key);
    if (!slot) {
      if (slots.size >= options.activeMax && !makeRoom()) return refuse(call, "entities.maxActive", options.activeMax);
      start(key, service, entityId, [call]);
    } else if (slot.instance.load >= options.mailboxMax) {
      refuse(call, "entities.mailbox", options.mailboxMax);
    } else {
      slot.instance.accept(call);
    }
  }

  function refuse(call: EntityCall, limit: string, value: number): void {
    telemetry.count("massa_limit_reached_total", { limit });
    call.fail(new MassaError("exhausted", `${limit} of ${value} is reached; try again later or raise it`));
  }

  function start(key: string, service: Service, entityId: string, calls: readonly EntityCall[]): void {
    const instance = activate(service, entityId, (left) => {
      const waiting = left.filter((call) => !call.abandoned);
      if (waiting.length > 0 && !closing) {
        start(key, service, entityId, waiting);
        return;
      }
      slots.delete(key);
      for (const call of waiting) call.fail(new MassaError("unavailable", "the proxy is shutting down"));
      if (slots.size === 0) for (const tell of empty) tell();
    });
    const slot = slots.get(key);
    if (slot) slot.instance = instance;
    else slots.set(key, { service, entityId, instance });
    for (const call of calls) instance.accept(call);
    watchPressure(instance, slots.get(key)!);
  }

  /** A function with few threads takes the stream and answers nothing until another one ends (design: pressure). */
  function watchPressure(instance: Instance, slot: Slot): void {
    world.clock.after(options.pressureAfterMs, () => {
      if (slot.instance !== instance || !instance.unanswered) return;
      if (makeRoom()) log.debug({ service: slot.service.name }, "passivated an idle entity for one that waits");
      watchPressure(instance, slot);
    });
  }

  /** Passivates the longest idle of the next few instances in turn; false when none of them is idle. */
  function makeRoom(): boolean {
    let victim: Instance | undefined;
    for (let seen = 0; seen < Math.min(victimSample, slots.size); seen++) {
      let next = sampled.next();
      if (next.done) {
        sampled = slots.values();
        next = sampled.next();
        if (next.done) break;
      }
      const { instance } = next.value;
      if (instance.idleSinceMs === undefined) continue;
      if (victim === undefined || instance.idleSinceMs < victim.idleSinceMs!) victim = instance;
    }
    victim?.passivate();
    return victim !== undefined;
  }

  function sweep(): void {
    const openedBeforeMs = world.clock.monotonic() - options.relayTimeoutMs;
    for (const { instance } of slots.values()) if (instance.load > 0) instance.expire(openedBeforeMs);
  }

  return {
    open,
    get active() {
      return slots.size;
    },
    retain(keep) {
      for (const { service, instance } of slots.values()) if (!keep(service)) instance.passivate();
    },
    async [Symbol.asyncDispose]() {
      closing = true;
      stopSweep();
      if (slots.size === 0) return;
      await new Promise<void>((resolve) => {
        empty.add(resolve);
        for (const { instance } of slots.values()) instance.passivate();
      });
    },
  };
}
