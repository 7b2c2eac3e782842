import type { Cancel, World } from "../core/world.ts";
import type { Neighbour } from "./hello.ts";

/** What became of dialling an address. */
export type Dialled =
  | { readonly type: "peer"; readonly id: string }
  | { readonly type: "self" }
  | { readonly type: "failed"; readonly reason: string };

/** What a dialler needs of its surroundings. */
interface DiallerOptions {
  readonly world: World;
  /** `host:port` each, from configuration; tried for ever. */
  readonly addresses: readonly string[];
  /** Links up to which neighbours of others are dialled, too. */
  readonly linksMax: number;
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
  /** The `ip:port` list behind a `host:port`; rejects when it does not resolve. */
  readonly resolve: (address: string) => Promise<readonly string[]>;
  readonly dial: (endpoint: string) => Promise<Dialled>;
  readonly isLinked: (peerId: string) => boolean;
  readonly links: () => number;
  readonly failed: (address: string, attempt: number, reason: string, retryMs: number) => void;
}

interface Target {
  readonly address: string;
  readonly endpoints: readonly string[];
  readonly configured: boolean;
  /** Who answered at which endpoint. */
  readonly found: Map<string, Dialled>;
  failures: number;
  dialling: boolean;
  cancel: Cancel | undefined;
}

const neighbourTargetsMax = 256;
const neighbourFailuresMax = 8;
const resolveAgainMs = 30_000;

/** Keeps dialling whoever there should be a link to, each address by itself, with backoff and jitter. */
export class Dialler {
  readonly #options: DiallerOptions;
  readonly #targets = new Map<string, Target>();
  #stopped = false;

  constructor(options: DiallerOptions) {
    this.#options = options;
    for (const address of options.addresses) this.#add(address, [], true);
  }

  start(): void {
    for (const target of this.#targets.values()) this.#schedule(target, 0);
  }

  stop(): void {
    this.#stopped = true;
    for (const target of this.#targets.values()) target.cancel?.();
    this.#targets.clear();
  }

  /** Configured addresses that did not turn out to be this process. */
  get others(): number {
    const own = (target: Target) => [...target.found.values()].some(({ type }) => type === "self");
    return [...this.#targets.values()].filter((target) => target.configured && !own(target)).length;
  }

  /** A node to have a link to, if there are not enough. */
  learn(neighbour: Neighbour): void {
    const { isLinked, links, linksMax } = this.#options;
    const enough = links() >= linksMax || this.#targets.size >= neighbourTargetsMax + this.#options.addresses.length;
    if (
      this.#stopped ||
      enough ||
      neighbour.addresses.length === 0 ||
      isLinked(neighbour.id) ||
      this.#targets.has(neighbour.id)
    )
      return;
    this.#schedule(
      this.#add(neighbour.id, neighbour.addresses.slice(0, 8), false),
      this.#jitter(this.#options.redialMinMs),
    );
  }

  /** The link to a node is gone: whoever led to it is dialled again, and it itself where it said it could be. */
  lost(neighbour: Neighbour): void {
    let known = false;
    for (const target of this.#targets.values()) {
      if (![...target.found.values()].some((found) => found.type === "peer" && found.id === neighbour.id)) continue;
      known = true;
      if (!target.dialling) this.#schedule(target, this.#jitter(this.#options.redialMinMs));
    }
    if (!known) this.learn(neighbour);
  }

  #add(address: string, endpoints: readonly string[], configured: boolean): Target {
    const target = {
      address,
      endpoints,
      configured,
      found: new Map<string, Dialled>(),
      failures: 0,
      dialling: false,
      cancel: undefined,
    };
    this.#targets.set(address, target);
    return target;
  }

  #schedule(target: Target, delayMs: number): void {
    target.cancel?.();
    if (this.#stopped) return;
    target.cancel = this.#options.world.clock.after(delayMs, () => {
      this.#attempt(target).catch((failure: unknown) => this.#again(target, String(failure)));
    });
  }

  async #attempt(target: Target): Promise<void> {
    target.dialling = true;
    const reason = await this.#reach(target);
    target.dialling = false;
    if (this.#stopped) return;
    if (reason !== undefined) return this.#again(target, reason);
    target.failures = 0;
    if (!target.configured) this.#targets.delete(target.address);
    else if (![...target.found.values()].some(({ type }) => type === "self") || target.found.size > 1)
      this.#schedule(target, this.#jitter(resolveAgainMs));
  }

  /** Dials every endpoint behind the target that nobody is known at, or of a neighbour the first that answers; why it failed, if it did. */
  async #reach(target: Target): Promise<string | undefined> {
    const { resolve, dial, isLinked } = this.#options;
    if (!target.configured && isLinked(target.address)) return undefined;
    let endpoints: readonly string[];
    try {
      endpoints = target.configured ? await resolve(target.address) : target.endpoints;
    } catch (failure) {
      return failure instanceof Error ? failure.message : String(failure);
    }
    let reason: string | undefined;
    for (const endpoint of target.found.keys()) if (!endpoints.includes(endpoint)) target.found.delete(endpoint);
    for (const endpoint of endpoints) {
      const before = target.found.get(endpoint);
      if (before?.type === "self" || (before?.type === "peer" && isLinked(before.id)) || this.#stopped) continue;
      const dialled = await dial(endpoint);
      target.found.set(endpoint, dialled);
      if (dialled.type === "failed") reason = dialled.reason;
      else if (!target.configured) return undefined;
    }
    return reason;
  }

  #again(target: Target, reason: string): void {
    const { redialMinMs, redialMaxMs, failed } = this.#options;
    target.dialling = false;
    target.failures += 1;
    if (!target.configured && target.failures >= neighbourFailuresMax) {
      this.#targets.delete(target.address);
      return;
    }
    const delayMs = this.#jitter(Math.min(redialMaxMs, redialMinMs * 2 ** Math.min(16, target.failures - 1)));
    failed(target.address, target.failures, reason, delayMs);
    this.#schedule(target, delayMs);
  }

  #jitter(delayMs: number): number {
    return delayMs / 2 + this.#options.world.random.int(Math.max(1, Math.ceil(delayMs / 2)));
  }
}
