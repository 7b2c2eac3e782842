import type { EntitySpec, ProxyInfo } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import type { Caller } from "./call.ts";
import type { Patience } from "./probe.ts";
import type { LaunchedProxy } from "./proxy-process.ts";
import type { Recorder } from "./recorder.ts";

/** What every case can use. */
export interface Stage {
  /** Straight to the function. */
  readonly function: Caller;
  /** An id that no case has used. */
  fresh(type: string): string;
}

/** What the cases of a proxy can use as well: the client's way in, and what was recorded behind the proxy. */
export interface ProxyStage extends Stage {
  readonly client: Caller;
  /** Where the proxy is, `host:port`. */
  readonly address: string;
  /** What proxy and function said to each other when the proxy started. */
  readonly discovery: { readonly info: ProxyInfo; readonly spec: EntitySpec };
  readonly recorder: Recorder;
  patience: Patience;
}

/** What a case of a proxy's start can use. Only our own proxy can be started. */
export interface StartStage extends Stage {
  launch(functionPort: number): Promise<LaunchedProxy>;
  patience: Patience;
}

/** One case by its number. */
export type Case = Described &
  (
    | { readonly half: "model"; run(stage: Stage): Promise<void> }
    | { readonly half: "proxy"; run(stage: ProxyStage): Promise<void> }
    | { readonly half: "start"; run(stage: StartStage): Promise<void> }
  );

interface Described {
  readonly number: string;
  readonly title: string;
  /** Full names of the services that the function must offer. */
  readonly needs: readonly string[];
}

/** A case that speaks the protocol with the function. */
export function modelCase(number: string, title: string, run: (stage: Stage) => Promise<void>): Case {
  return { half: "model", number, title, needs: neededBy(number), run };
}

/** A case that goes from a client through the proxy to the function. */
export function proxyCase(number: string, title: string, run: (stage: ProxyStage) => Promise<void>): Case {
  return { half: "proxy", number, title, needs: neededBy(number), run };
}

/** A case of our own, of what the original suite does not look at. */
export function extraCase(
  number: string,
  title: string,
  needs: readonly { readonly typeName: string }[],
  run: (stage: ProxyStage) => Promise<void>,
): Case {
  return { half: "proxy", number, title, needs: needs.map(({ typeName }) => typeName), run };
}

/** A case of a proxy that starts, or does not. */
export function startCase(number: string, title: string, run: (stage: StartStage) => Promise<void>): Case {
  return { half: "start", number, title, needs: [], run };
}

const model = "cloudstate.tck.model";
const needed: Readonly<Record<string, readonly string[]>> = {
  A: ["action.ActionTckModel", "action.ActionTwo"],
  V: ["valueentity.ValueEntityTckModel", "valueentity.ValueEntityTwo"],
  E: ["EventSourcedTckModel", "EventSourcedTwo"],
  C: ["crdt.CrdtTckModel", "crdt.CrdtTwo"],
  G: ["eventlogeventing.EventLogSubscriberModel", "eventlogeventing.EventSourcedEntityOne"],
  V2: ["valueentity.ValueEntityConfigured"],
  V24: ["valueentity.ValueEntityConfigured"],
  E2: ["EventSourcedConfigured"],
  E26: ["EventSourcedConfigured"],
  C2: ["crdt.CrdtConfigured"],
  C88: ["crdt.CrdtConfigured"],
  G3: ["eventlogeventing.EventSourcedEntityTwo"],
};

/** What a case of the original suite talks to, by the letter of its number. */
function neededBy(number: string): readonly string[] {
  const names = [...(needed[number.slice(0, 1)] ?? []), ...(needed[number] ?? [])];
  return names.map((name) => `${model}.${name}`);
}

/** Ids `<type>-1`, `<type>-2`, … */
export function freshIds(): (type: string) => string {
  const used = new Map<string, number>();
  return (type) => {
    const number = (used.get(type) ?? 0) + 1;
    used.set(type, number);
    return `${type}-${number.toString()}`;
  };
}
