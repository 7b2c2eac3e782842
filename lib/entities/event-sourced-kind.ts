import { MassaError } from "../core/errors.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { EventStore } from "../store/store.ts";
import { encodeEvent, encodeEventSourcedInit, type EventSourcedReply } from "../wire/event-sourced-protocol.ts";
import type { AnyValue } from "../wire/protocol.ts";
import { type EventsChange, eventSourcedRules } from "./event-sourced-rules.ts";
import type { Kind } from "./host.ts";
import { createEventMeters, type EventMeter } from "./instance-meter.ts";
import { SerialEntity, type SerialParts } from "./serial-entity.ts";
import type { Replay, SerialState } from "./serial-kind.ts";
import { createSnapshots, type Snapshots } from "./snapshots.ts";
import type { KeptEvents, StateCache } from "./state-cache.ts";

export interface EventSourcedKindParts extends Omit<
  SerialParts<EventSourcedReply, EventsChange>,
  "rules" | "state" | "meterOf"
> {
  readonly telemetry: Telemetry;
  readonly events: EventStore;
  readonly cache: StateCache;
  /** Idle time before passivation when the service names none (`eventSourced.passivationTimeout`). */
  readonly passivationMs: number;
}

/** Events read from the store at once, while the function takes them. */
const pageMax = 100;

/** Event-sourced entities: the events of each, and the snapshots that shorten their replay, in the store. Closing waits for snapshots. */
export function createEventSourcedKind(parts: EventSourcedKindParts): Kind & AsyncDisposable {
  const snapshots = createSnapshots(parts);
  const meterOf = createEventMeters(parts.telemetry);
  const shared = { ...parts, rules: eventSourcedRules, state: eventSourcedState(parts, meterOf, snapshots), meterOf };
  return {
    passivationMs: parts.passivationMs,
    activate: (seat) => new SerialEntity<EventSourcedReply, EventsChange>(shared, seat),
    [Symbol.asyncDispose]: () => snapshots.settled(),
  };
}

/** The position of an event-sourced entity is the sequence of its last event. */
function eventSourcedState(
  { events: store, cache, telemetry, world }: EventSourcedKindParts,
  meterOf: (persistenceId: string) => EventMeter,
  snapshots: Snapshots,
): SerialState<EventsChange> {
  async function read(replay: Replay): Promise<number> {
    const startedAtMs = world.clock.monotonic();
    const meter = meterOf(replay.key.persistenceId);
    using reading = cache.read("event-sourced", replay.key);
    const { sequence, snapshot } = await store.head(replay.key);
    if (replay.isOver()) return sequence;
    if (snapshot && snapshot.sequence > sequence) {
      throw damaged(`its last event is ${sequence}, but its snapshot holds ${snapshot.sequence}`);
    }
    replay.open(encodeEventSourcedInit(replay.serviceName, replay.key.entityId, snapshot));
    if (snapshot) meter.snapshotLoaded(snapshot.payload);
    const from = snapshot?.sequence ?? 0;
    /** What was read, for the cache; a history that is too long for that is not gathered. */
    let kept: AnyValue[] | undefined = [];
    let bytes = 0;
    for (let at = from; at < sequence;) {
      const page = await store.read(replay.key, at, Math.min(pageMax, sequence - at));
      if (page.length === 0) throw damaged(`event ${at + 1} of ${sequence} is missing`);
      meter.eventsLoaded(page);
      await sendAll(replay, at, page);
      if (replay.isOver()) return sequence;
      at += page.length;
      for (const { value } of page) bytes += value.byteLength;
      if (kept && cache.fits(at - from, bytes)) kept.push(...page);
      else kept = undefined;
    }
    if (kept) reading.keep({ type: "event-sourced", snapshot, events: kept });
    telemetry.observe("massa_entities_recovery_seconds", (world.clock.monotonic() - startedAtMs) / 1_000);
    return sequence;
  }

  return {
    load(replay) {
      const kept = cache.find("event-sourced", replay.key);
      return kept?.type === "event-sourced" ? replayed(replay, kept) : read(replay);
    },
    async store(key, position, { events, snapshot }) {
      const term = cache.term(key);
      await store.append(key, position, events);
      const meter = meterOf(key.persistenceId);
      meter.eventsStored(events);
      const sequence = position + events.length;
      if (snapshot === undefined) {
        cache.extend(key, term, position, events);
      } else {
        cache.keep(key, term, { type: "event-sourced", snapshot: { sequence, payload: snapshot }, events: [] });
        meter.snapshotStored(snapshot);
        snapshots.save(key, sequence, snapshot);
      }
      return sequence;
    },
    forget: (key) => cache.forget("event-sourced", key),
  };
}

function damaged(what: string): MassaError {
  return new MassaError("internal", `the events of an entity are damaged in the store, restore a backup: ${what}`);
}

/** Sends events that follow `afterSequence`, not faster than the function takes them. */
async function sendAll(replay: Replay, afterSequence: number, events: readonly AnyValue[]): Promise<void> {
  let sequence = afterSequence;
  for (const event of events) {
    sequence += 1;
    replay.send(encodeEvent(sequence, event));
    const ready = replay.ready();
    if (ready) await ready;
    if (replay.isOver()) return;
  }
}

/** A short history is in the function's hands before anybody waits for it. */
function replayed(replay: Replay, { snapshot, events }: KeptEvents): number | Promise<number> {
  const from = snapshot?.sequence ?? 0;
  const sequence = from + events.length;
  replay.open(encodeEventSourcedInit(replay.serviceName, replay.key.entityId, snapshot));
  return events.length === 0 ? sequence : sendAll(replay, from, [...events]).then(() => sequence);
}
