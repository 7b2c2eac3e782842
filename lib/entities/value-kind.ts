import type { ValueStore } from "../store/store.ts";
import { encodeValueInit, type ValueReply } from "../wire/value-protocol.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Kind } from "./host.ts";
import { createInstanceMeter } from "./instance-meter.ts";
import { SerialEntity, type SerialParts } from "./serial-entity.ts";
import type { Replay, SerialState } from "./serial-kind.ts";
import type { StateCache } from "./state-cache.ts";
import { type ValueChange, valueRules } from "./value-rules.ts";

export interface ValueKindParts extends Omit<SerialParts<ValueReply, ValueChange>, "rules" | "state" | "meterOf"> {
  readonly telemetry: Telemetry;
  readonly values: ValueStore;
  readonly cache: StateCache;
  /** Idle time before passivation when the service names none (`value.passivationTimeout`). */
  readonly passivationMs: number;
}

/** Value entities: one value each, in the store. */
export function createValueKind(parts: ValueKindParts): Kind {
  const meter = createInstanceMeter(parts.telemetry, "value");
  const shared = { ...parts, rules: valueRules, state: valueState(parts), meterOf: () => meter };
  return {
    passivationMs: parts.passivationMs,
    activate: (seat) => new SerialEntity<ValueReply, ValueChange>(shared, seat),
  };
}

/** The position of a value entity is its version. */
function valueState({ values, cache }: ValueKindParts): SerialState<ValueChange> {
  async function read(replay: Replay): Promise<number> {
    using reading = cache.read("value", replay.key);
    const { version, value } = await values.get(replay.key);
    if (replay.isOver()) return version;
    reading.keep({ type: "value", version, value });
    replay.open(encodeValueInit(replay.serviceName, replay.key.entityId, value));
    return version;
  }
  return {
    load(replay) {
      const kept = cache.find("value", replay.key);
      if (kept?.type !== "value") return read(replay);
      replay.open(encodeValueInit(replay.serviceName, replay.key.entityId, kept.value));
      return kept.version;
    },
    async store(key, position, { value }) {
      const term = cache.term(key);
      await values.put(key, position, value);
      const version = position + 1;
      cache.keep(key, term, { type: "value", version, value });
      return version;
    },
    forget: (key) => cache.forget("value", key),
  };
}
