import { serve } from "../../lib/sdk/index.ts";
import { Caller } from "./call.ts";
import { discovered } from "./discovered.ts";
import { type Distortion, undistorted } from "./distortion.ts";
import { modelServices } from "./model/services.ts";
import type { Patience } from "./probe.ts";
import { answers, type RunningProxy, startProxy } from "./proxy-process.ts";
import { protocolServices, Recorder } from "./recorder.ts";
import { openRelay } from "./relay.ts";
import { freshIds, type ProxyStage, type Stage } from "./stage.ts";

export const usualPatience: Patience = { answerMs: 3_000, surplusMs: 10 };

export interface ArenaOptions {
  /** Another function, `host:port`; by default the model function runs in this process. */
  readonly function?: string;
  /** Another proxy, `host:port`, which was told that its function is the recorder. */
  readonly proxy?: string;
  /** Where the recorder listens; a free port by default. */
  readonly recorderPort?: number;
  /** How our proxy is started; by default as a process. */
  readonly start?: (functionPort: number) => Promise<RunningProxy>;
}

/** A function to be judged. */
export interface FunctionArena extends AsyncDisposable {
  readonly stage: Stage;
}

/** A proxy to be judged, between client and recorder. `distort` makes it a wrong one. */
export interface ProxyArena extends AsyncDisposable {
  readonly stage: ProxyStage;
  distort(distortion: Distortion): void;
}

/** Opens the model half: the function alone. */
export async function openFunctionArena(options: ArenaOptions = {}): Promise<FunctionArena> {
  await using opening = new AsyncDisposableStack();
  const caller = await openFunction(options, opening, () => usualPatience);
  const stage: Stage = { function: caller, fresh: freshIds() };
  const opened = opening.move();
  return { stage, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Opens the proxy half: function, recorder and proxy, in that order. */
export async function openProxyArena(options: ArenaOptions = {}): Promise<ProxyArena> {
  await using opening = new AsyncDisposableStack();
  let patience = usualPatience;
  const given = () => patience;
  const caller = await openFunction(options, opening, given);
  await discovered(caller);

  const recorder = new Recorder(given);
  const recorderPort = await recorder.listen(caller, options.recorderPort ?? 0);
  opening.defer(() => recorder.close());

  let distortion = undistorted;
  const towards = new Caller(`127.0.0.1:${recorderPort.toString()}`, given);
  opening.defer(() => towards.close());
  const wrong = options.proxy ? undefined : await openRelay(protocolServices, towards, (path) => distortion.tap(path));
  opening.defer(() => wrong?.close());

  const proxy = wrong && (await (options.start ?? startProxy)(wrong.port));
  opening.defer(() => proxy?.stop());
  const address = options.proxy ?? proxy!.address;
  if (!proxy) await answers(address, 60_000);
  const client = new Caller(address, given);
  opening.defer(() => client.close());
  // The discovery belongs to the start of the proxy, not to a case.
  const discovery = await recorder.connection(protocolServices[0]!.method["discover"]!);
  await discovery.in.next();
  await recorder.nothingMore();

  const stage: ProxyStage = {
    function: caller,
    client,
    recorder,
    fresh: freshIds(),
    get patience() {
      return patience;
    },
    set patience(changed: Patience) {
      patience = changed;
    },
  };
  const opened = opening.move();
  return {
    stage,
    distort: (chosen) => {
      distortion = chosen;
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function openFunction(
  options: ArenaOptions,
  opening: AsyncDisposableStack,
  patience: () => Patience,
): Promise<Caller> {
  let address = options.function;
  if (address === undefined) {
    // Wrong proxies make the model's streams fail on purpose; what it would report is judged from outside.
    const running = await serve({ services: modelServices, port: 0, name: "model", onError: () => undefined });
    opening.defer(() => running.stop(0));
    address = `127.0.0.1:${running.port.toString()}`;
  }
  const caller = new Caller(address, patience);
  opening.defer(() => caller.close());
  return caller;
}
