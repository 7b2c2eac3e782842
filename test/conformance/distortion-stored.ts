import { clone, create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  EventSourced,
  EventSourcedSnapshotSchema,
  type EventSourcedStreamIn,
  EventSourcedStreamInSchema,
  type EventSourcedStreamOut,
  EventSourcedStreamOutSchema,
} from "../../lib/wire/gen/cloudstate/event_sourced_pb.ts";
import {
  ValueEntity,
  type ValueEntityStreamIn,
  ValueEntityStreamInSchema,
  type ValueEntityStreamOut,
  ValueEntityStreamOutSchema,
} from "../../lib/wire/gen/cloudstate/value_entity_pb.ts";
import type { Distortion } from "./distortion.ts";
import { payload } from "./action-words.ts";
import { RequestSchema } from "./gen/tck/event_sourced_pb.ts";
import type { Tap } from "./relay.ts";
import { EntityTap, Passing, type Said } from "./taps.ts";

class ValueTap extends EntityTap<typeof ValueEntityStreamInSchema, typeof ValueEntityStreamOutSchema> {
  constructor() {
    super(ValueEntityStreamInSchema, ValueEntityStreamOutSchema);
  }
}

class EventSourcedTap extends EntityTap<typeof EventSourcedStreamInSchema, typeof EventSourcedStreamOutSchema> {
  constructor() {
    super(EventSourcedStreamInSchema, EventSourcedStreamOutSchema);
  }
}

class NoState extends ValueTap {
  protected override in(message: ValueEntityStreamIn): ValueEntityStreamIn[] {
    if (message.message.case === "init") delete message.message.value.state;
    return [message];
  }
}

class ForgottenValue extends ValueTap {
  protected override in(message: ValueEntityStreamIn): ValueEntityStreamIn[] {
    if (message.message.case === "init") delete message.message.value.state?.value;
    return [message];
  }
}

/** Sends each command twice, the second before the first was replied to. */
class TwoCommands extends ValueTap {
  readonly #added = new Set<bigint>();

  protected override in({ message }: ValueEntityStreamIn): ValueEntityStreamIn[] {
    if (message.case !== "command") return [create(ValueEntityStreamInSchema, { message })];
    message.value.id = message.value.id * 2n - 1n;
    const another = clone(ValueEntityStreamInSchema, create(ValueEntityStreamInSchema, { message }));
    if (another.message.case === "command") another.message.value.id += 1n;
    this.#added.add(message.value.id + 1n);
    return [create(ValueEntityStreamInSchema, { message }), another];
  }

  protected override out({ message }: ValueEntityStreamOut): Said<ValueEntityStreamIn, ValueEntityStreamOut> {
    if (message.case !== "reply") return { toProxy: [create(ValueEntityStreamOutSchema, { message })] };
    if (this.#added.has(message.value.commandId)) return { toProxy: [] };
    message.value.commandId = (message.value.commandId + 1n) / 2n;
    return { toProxy: [create(ValueEntityStreamOutSchema, { message })] };
  }
}

class EmptySnapshot extends EventSourcedTap {
  protected override in(message: EventSourcedStreamIn): EventSourcedStreamIn[] {
    if (message.message.case === "init") message.message.value.snapshot ??= create(EventSourcedSnapshotSchema);
    return [message];
  }
}

class SequenceFromZero extends EventSourcedTap {
  protected override in(message: EventSourcedStreamIn): EventSourcedStreamIn[] {
    if (message.message.case === "event") message.message.value.sequence -= 1n;
    return [message];
  }
}

/** Sends a command of its own before the stored events. */
class EarlyCommand extends EventSourcedTap {
  #entityId = "";
  #early = false;

  protected override in(message: EventSourcedStreamIn): EventSourcedStreamIn[] {
    if (message.message.case === "init") this.#entityId = message.message.value.entityId;
    if (message.message.case !== "event" || this.#early) return [message];
    this.#early = true;
    const request = payload(RequestSchema, { id: this.#entityId });
    const value = { entityId: this.#entityId, id: 1n, name: "Process", payload: request };
    return [create(EventSourcedStreamInSchema, { message: { case: "command", value } }), message];
  }

  protected override out(message: EventSourcedStreamOut): Said<EventSourcedStreamIn, EventSourcedStreamOut> {
    return { toProxy: this.#early ? [] : [message] };
  }
}

class EchoedEvents extends EventSourcedTap {
  #sequence = 0n;

  protected override out(message: EventSourcedStreamOut): Said<EventSourcedStreamIn, EventSourcedStreamOut> {
    const events = message.message.case === "reply" ? message.message.value.events : [];
    const echoes = events.map((event) => {
      const value = { sequence: ++this.#sequence, payload: create(AnySchema, event) };
      return create(EventSourcedStreamInSchema, { message: { case: "event", value } });
    });
    return { toProxy: [message], toFunction: echoes };
  }
}

/** Answers, but stores nothing: what the function emits does not come to the proxy. */
class LostEvents extends EventSourcedTap {
  protected override out(message: EventSourcedStreamOut): Said<EventSourcedStreamIn, EventSourcedStreamOut> {
    if (message.message.case === "reply") message.message.value.events = [];
    return { toProxy: [message] };
  }
}

class LostSnapshots extends EventSourcedTap {
  protected override out(message: EventSourcedStreamOut): Said<EventSourcedStreamIn, EventSourcedStreamOut> {
    if (message.message.case === "reply") delete message.message.value.snapshot;
    return { toProxy: [message] };
  }
}

/** Goes on counting commands where the last stream of the entity stopped. */
class IdsThatGoOn extends EventSourcedTap {
  readonly #last: Map<string, bigint>;
  #offset = 0n;

  constructor(last: Map<string, bigint>) {
    super();
    this.#last = last;
  }

  protected override in(message: EventSourcedStreamIn): EventSourcedStreamIn[] {
    if (message.message.case === "init") this.#offset = this.#last.get(message.message.value.entityId) ?? 0n;
    if (message.message.case === "command") {
      message.message.value.id += this.#offset;
      this.#last.set(message.message.value.entityId, message.message.value.id);
    }
    return [message];
  }

  protected override out(message: EventSourcedStreamOut): Said<EventSourcedStreamIn, EventSourcedStreamOut> {
    if (message.message.case !== undefined) message.message.value.commandId -= this.#offset;
    return { toProxy: [message] };
  }
}

class NoHalfClose extends Passing {
  override proxyEnded(): ReturnType<Tap["proxyEnded"]> {
    return { then: "nothing", before: [] };
  }
}

class Reset extends Passing {
  override proxyEnded(): ReturnType<Tap["proxyEnded"]> {
    return { then: "cancel", before: [] };
  }
}

const on = (service: { readonly typeName: string }, make: () => Tap) => (path: string) =>
  path === `/${service.typeName}/handle` ? make() : new Passing();

const onValues = (make: () => Tap) => on(ValueEntity, make);
const onEventSourced = (make: () => Tap) => on(EventSourced, make);

/** Proxies that are wrong with value and event-sourced entities, each in its own way. */
export const storedDistortions: readonly Distortion[] = [
  {
    title: "no state in the init of a value entity",
    foundBy: "V20",
    shows: /-\s+state: \{/,
    tap: onValues(() => new NoState()),
  },
  {
    title: "a value that is lost with its stream",
    foundBy: "X2",
    shows: /ValueEntityInitState/,
    tap: onValues(() => new ForgottenValue()),
  },
  {
    title: "two commands out at once",
    foundBy: "X3",
    shows: /what goes to the function[^]*id: 2n/,
    tap: onValues(() => new TwoCommands()),
  },
  { title: "a reset of a value entity's stream", foundBy: "V24", shows: /cancelled/, tap: onValues(() => new Reset()) },
  {
    title: "an empty snapshot instead of none",
    foundBy: "E22",
    shows: /EventSourcedSnapshot/,
    tap: onEventSourced(() => new EmptySnapshot()),
  },
  {
    title: "event sequences from 0",
    foundBy: "E24",
    shows: /sequence: 0n/,
    tap: onEventSourced(() => new SequenceFromZero()),
  },
  {
    title: "a command before the replay has ended",
    foundBy: "E24",
    shows: /case: 'command'/,
    tap: onEventSourced(() => new EarlyCommand()),
  },
  {
    title: "events echoed to the function that emitted them",
    foundBy: "E22",
    shows: /Unexpected entity|case: 'event'/,
    tap: onEventSourced(() => new EchoedEvents()),
  },
  {
    title: "events that are not stored",
    foundBy: "X7",
    shows: /EventSourcedEvent/,
    tap: onEventSourced(() => new LostEvents()),
  },
  {
    title: "a snapshot that is not stored",
    foundBy: "X9",
    shows: /snapshotSequence: 5n/,
    tap: onEventSourced(() => new LostSnapshots()),
  },
  {
    title: "a restart that leaves the old stream open",
    foundBy: "E24",
    shows: /nothing came within/,
    tap: onEventSourced(() => new NoHalfClose()),
  },
  {
    title: "a restart that resets the old stream",
    foundBy: "E24",
    shows: /cancelled/,
    tap: onEventSourced(() => new Reset()),
  },
  { title: "ids that go on after a restart", foundBy: "E24", shows: /id: 5n/, tap: idsThatGoOn() },
];

function idsThatGoOn(): (path: string) => Tap {
  const last = new Map<string, bigint>();
  return onEventSourced(() => new IdsThatGoOn(last));
}
