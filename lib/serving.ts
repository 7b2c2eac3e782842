import { MassaError } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Clock } from "./core/world.ts";
import type { Discovered } from "./discovery/discovery.ts";
import type { Service, ServiceTable } from "./discovery/service-table.ts";
import type { Host } from "./entities/host.ts";
import type { Front } from "./frontend/front.ts";
import type { Mesh } from "./mesh/mesh.ts";
import type { Replication } from "./replication/port.ts";
import type { SwitchingRouter } from "./routing/router.ts";
import type { Sharing } from "./sharing.ts";
import type { UserFunction } from "./user-function/user-function.ts";

/** The consumers of topics and event logs, as far as this room steers them. */
export interface Topics extends AsyncDisposable {
  setTable(table: ServiceTable): void;
  /** Which of them get nothing from their broker, and why. */
  readonly reasons: readonly string[];
}

export interface ServingParts {
  readonly userFunction: UserFunction;
  /** Asks until the function answers with something that is a table or is refused for good; rejects when `signal` aborts. */
  readonly discover: (signal: AbortSignal) => Promise<Discovered>;
  /** Why the function has not been understood yet, for `/readyz`. */
  readonly discovering: () => string | undefined;
  readonly router: SwitchingRouter;
  readonly hosts: readonly Host[];
  readonly mesh: Mesh;
  readonly replication: Replication;
  readonly openFront: (table: ServiceTable) => Promise<Front>;
  readonly openTopics: (table: ServiceTable) => Topics;
  readonly sharing: Sharing;
  /** How long topics and calls together may take to come to their end (`drain.timeout`). */
  readonly drainMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something that no retry mends, such as a front port that is taken. */
  readonly fatal: (error: MassaError) => void;
}

/**
 * What is served now: follows the user function as it comes, goes and comes back different. The front port opens after
 * discovery and once the node has its peers' state, and closes only when a later discovery is rejected.
 */
export class Serving implements AsyncDisposable {
  readonly #parts: ServingParts;
  readonly #stop = new AbortController();
  #unwatch: (() => void) | undefined;
  #isFound = false;
  #asking: AbortController | undefined;
  #rejected: string | undefined;
  #table: ServiceTable | undefined;
  #front: Front | undefined;
  #topics: Topics | undefined;
  /** Tables are taken one after another. */
  #work: Promise<void> = Promise.resolve();

  constructor(parts: ServingParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#unwatch = this.#parts.userFunction.watch({
      found: () => {
        this.#isFound = true;
        this.#rejected = undefined;
        this.#ask();
      },
      // A function that came back before it counted as lost may serve something else by now, so that it is asked, too.
      renewed: () => {
        this.#rejected = undefined;
        this.#ask();
      },
      lost: (reason) => {
        this.#isFound = false;
        this.#parts.log.warn({ reason: reason.message }, "the user function is away");
        this.#front?.setServing(false);
      },
    });
    this.#ask();
  }

  /** Why the proxy is not ready; empty when it is. */
  get reasons(): readonly string[] {
    if (this.#stop.signal.aborted) return ["the proxy is shutting down"];
    const { discovering, userFunction, replication } = this.#parts;
    if (this.#rejected !== undefined) {
      const away = this.#isFound ? [] : [`the user function at ${userFunction.address} is away`];
      return [`the user function was rejected: ${this.#rejected}`, ...away];
    }
    if (!this.#isFound) return [discovering() ?? `the user function at ${userFunction.address} is away`];
    if (this.#asking) return [discovering() ?? `asking the user function at ${userFunction.address} what it serves`];
    if (replication.notReady !== undefined) return [replication.notReady];
    return this.#front ? (this.#topics?.reasons ?? []) : ["the front port is not open yet"];
  }

  get frontPort(): number | undefined {
    return this.#front?.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new MassaError("canceled", "the proxy is shutting down"));
    this.#unwatch?.();
    await this.#work;
    this.#front?.setServing(false);
    await this.#drain(this.#topics, this.#front);
  }

  /** What topics have in hand comes to its end before calls do; both share one time. */
  async #drain(topics: Topics | undefined, front: Front | undefined): Promise<void> {
    const { clock, drainMs } = this.#parts;
    const endMs = clock.monotonic() + drainMs;
    await topics?.[Symbol.asyncDispose]();
    // An entity that is passivated ends the streams of its clients in good order.
    const endStreams = () => this.#parts.hosts.forEach((host) => host.retain(() => false));
    await front?.drain(Math.max(0, endMs - clock.monotonic()), endStreams);
    await front?.[Symbol.asyncDispose]();
  }

  /** Whoever is being asked may be another one by now: what it still answers does not count. */
  #ask(): void {
    if (this.#stop.signal.aborted) return;
    this.#asking?.abort(new MassaError("canceled", "the user function is asked anew"));
    const asking = new AbortController();
    this.#asking = asking;
    this.#parts.discover(AbortSignal.any([this.#stop.signal, asking.signal])).then(
      (discovered) => {
        if (this.#asking !== asking) return;
        this.#asking = undefined;
        this.#isFound = true;
        this.#take(() =>
          discovered.type === "table" ? this.#serve(discovered.table) : this.#refuse(discovered.message),
        );
      },
      (failure: unknown) => {
        if (this.#asking !== asking) return;
        this.#asking = undefined;
        if (!this.#stop.signal.aborted) this.#parts.fatal(MassaError.from(failure));
      },
    );
  }

  #take(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((failure: unknown) => {
      if (!this.#stop.signal.aborted) this.#parts.fatal(MassaError.from(failure));
    });
  }

  async #serve(table: ServiceTable): Promise<void> {
    const { router, mesh, replication, hosts, openFront, openTopics, sharing, log } = this.#parts;
    const refusal = await sharing.refusal(table, this.#stop.signal);
    if (refusal) return this.#parts.fatal(refusal);
    const services = [...table.services.values()];
    const kept = (service: Service) => table.services.has(service.name);
    this.#table = table;
    router.setTable(table);
    for (const host of hosts) host.retain(kept);
    mesh.announce({ services: services.map(({ name }) => name), unsharedServices: sharing.unsharedOf(table) });
    replication.hosted([...new Set(services.filter(isReplicated).map(({ persistenceId }) => persistenceId))]);
    await this.#replicated();
    if (this.#stop.signal.aborted || this.#table !== table) return;
    if (this.#front) this.#front.setTable(table);
    else this.#front = await openFront(table);
    this.#front.setServing(true);
    if (this.#topics) this.#topics.setTable(table);
    else this.#topics = openTopics(table);
    log.info({ services: services.map(({ name }) => name), port: this.#front.port }, "serving");
  }

  async #refuse(message: string): Promise<void> {
    this.#rejected = message;
    this.#table = undefined;
    const [front, topics] = [this.#front, this.#topics];
    this.#front = undefined;
    this.#topics = undefined;
    // What is in hand comes to its end, its forwards included, before its services go.
    await this.#drain(topics, front);
    this.#parts.router.setTable(undefined);
    this.#parts.mesh.announce({ services: [], unsharedServices: [] });
  }

  async #replicated(): Promise<void> {
    const { signal } = this.#stop;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const over = () => resolve(undefined);
    signal.addEventListener("abort", over, { once: true });
    this.#parts.replication.onReady(over);
    await promise;
    signal.removeEventListener("abort", over);
  }
}

function isReplicated({ entityType }: Service): boolean {
  return entityType === "crdt";
}
