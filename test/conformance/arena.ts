import { serve } from "../../lib/sdk/index.ts";
import { EntityDiscovery, type EntitySpec, type ProxyInfo } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import { Caller } from "./call.ts";
import { discovered } from "./discovered.ts";
import { type Distortion, undistorted } from "./distortion.ts";
import { modelServices } from "./model/services.ts";
import type { Patience } from "./probe.ts";
import { answers, launchProxy, type RunningProxy, startProxy } from "./proxy-process.ts";
import { protocolServices, Recorder } from "./recorder.ts";
import { openRelay } from "./relay.ts";
import { freshIds, type ProxyStage, type StartStage } from "./stage.ts";

export const usualPatience: Patience = { answerMs: 3_000, surplusMs: 10 };

const functionStartedWithinMs = 60_000;

export interface ArenaOptions {
  /** Another function, `host:port`; by default the model function runs in this process. */
  readonly function?: string;
  /** Another proxy, `host:port`, which was told that its function is the recorder. */
  readonly proxy?: string;
  /** Where the recorder listens, on all interfaces; by default on a free port of this machine alone. */
  readonly recorderPort?: number;
  /** How our proxy is started; by default as a process. */
  readonly start?: (functionPort: number) => Promise<RunningProxy>;
}

/** A function to be judged, in front of which our proxy can be started. */
export interface FunctionArena extends AsyncDisposable {
  readonly stage: StartStage;
}

/** A proxy to be judged, between client and recorder. `distort` makes it a wrong one. */
export interface ProxyArena extends AsyncDisposable {
  readonly stage: ProxyStage;
  distort(distortion: Distortion): void;
}

/** Opens the model half, and that of starts: the function alone. */
export async function openFunctionArena(options: ArenaOptions = {}): Promise<FunctionArena> {
  await using opening = new AsyncDisposableStack();
  const caller = await openFunction(options, opening, () => usualPatience);
  const stage: StartStage = { function: caller, fresh: freshIds(), launch: launchProxy, patience: usualPatience };
  const opened = opening.move();
  return { stage, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Opens the proxy half: function, recorder and proxy, in that order. */
export async function openProxyArena(options: ArenaOptions = {}): Promise<ProxyArena> {
  await using opening = new AsyncDisposableStack();
  let patience = usualPatience;
  const given = () => patience;
  const caller = await openFunction(options, opening, given);

  const recorder = new Recorder(given);
  // A proxy in a container comes from elsewhere.
  const at = options.recorderPort === undefined ? undefined : { host: "0.0.0.0", port: options.recorderPort };
  const recorderPort = await recorder.listen(caller, at);
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
  const discovery = await discoveryOf(recorder);
  await recorder.nothingMore();

  const stage: ProxyStage = {
    function: caller,
    client,
    address,
    discovery,
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

async function discoveryOf(recorder: Recorder): Promise<ProxyStage["discovery"]> {
  const connection = await recorder.connection(EntityDiscovery.method.discover);
  return { info: (await connection.takeIn()) as ProxyInfo, spec: (await connection.takeOut()) as EntitySpec };
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
  await answering(caller, functionStartedWithinMs);
  return caller;
}

/** Waits until the function answers a discovery: it may have been started at the same time. */
async function answering(caller: Caller, withinMs: number): Promise<void> {
  const until = performance.now() + withinMs;
  for (;;) {
    try {
      await discovered(caller);
      return;
    } catch (failure) {
      if (performance.now() > until) throw failure;
      await new Promise((tick) => setTimeout(tick, 100));
    }
  }
}
