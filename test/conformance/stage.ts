import type { Caller } from "./call.ts";
import type { Patience } from "./probe.ts";
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
  readonly recorder: Recorder;
  patience: Patience;
}

/** One case of spec/tck, by its number there. */
export type Case =
  | { readonly half: "model"; readonly number: string; readonly title: string; run(stage: Stage): Promise<void> }
  | { readonly half: "proxy"; readonly number: string; readonly title: string; run(stage: ProxyStage): Promise<void> };

/** A case that speaks the protocol with the function. */
export function modelCase(number: string, title: string, run: (stage: Stage) => Promise<void>): Case {
  return { half: "model", number, title, run };
}

/** A case that goes from a client through the proxy to the function. */
export function proxyCase(number: string, title: string, run: (stage: ProxyStage) => Promise<void>): Case {
  return { half: "proxy", number, title, run };
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
