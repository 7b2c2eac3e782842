import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Cancel, World } from "../core/world.ts";
import type { ClientSession, ClientStream, Http2Engine } from "../wire/http2.ts";
import { connectSession, spelled, type ConnectorOptions } from "./connector.ts";
import { Resets } from "./resets.ts";
import type { FunctionListener } from "./user-function.ts";

export interface PoolOptions extends ConnectorOptions {
  readonly sessionsMax: number;
  /** How long a stream waits for a session, and how many may wait. */
  readonly waitMs: number;
  readonly waitersMax: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

export interface PoolParts {
  readonly engine: Http2Engine;
  readonly world: World;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** A stream that waits for a session. One of the two is called, never from within `wait`. */
export interface Waiter {
  attach(session: ClientSession): void;
  refuse(error: MassaError): void;
}

/** A session that ends sooner than this after it was opened counts as a failed attempt: the next one waits. */
const shortLivedMs = 1_000;
/** A session beside the first one is closed when it has had no stream for so long. */
const spareMs = 60_000;

/**
 * The HTTP/2 sessions to the user function. More are opened before the peer's stream limit is met; one that ends is replaced;
 * *lost* is told when none is left and a new one failed.
 */
export class SessionPool {
  readonly #parts: PoolParts;
  readonly #options: PoolOptions;
  readonly #where: string;
  readonly #sessions: ClientSession[] = [];
  /** Sessions to the function as it was when `found` or `renewed` was told: opened then, or while one of them took streams. */
  readonly #known = new Set<ClientSession>();
  /** Of sessions on which a stream was reset. */
  readonly #resets = new Map<ClientSession, Resets>();
  /** Sessions that take no new streams, because too many of theirs are to be reset. */
  readonly #retired = new Set<ClientSession>();
  readonly #waiters = new Map<Waiter, number>();
  readonly #listeners = new Set<FunctionListener>();
  #cancelWaitTimer: Cancel | undefined;
  #cancelRetry: Cancel | undefined;
  #cancelSpareTimer: Cancel | undefined;
  #openedAtMs = Number.NEGATIVE_INFINITY;
  #giveUp: (() => void) | undefined;
  #attempts = 0;
  #reached = false;
  #lastError: MassaError | undefined;
  #closing: PromiseWithResolvers<undefined> | undefined;

  constructor(parts: PoolParts, options: PoolOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#where = spelled(options.address);
    this.#connect();
  }

  get sessions(): number {
    return this.#sessions.length;
  }

  get isThere(): boolean {
    return this.#sessions.some(({ usable }) => usable);
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** A session with room for one more stream, if nobody waits for one. */
  free(): ClientSession | undefined {
    return this.#waiters.size > 0 ? undefined : this.#withRoom();
  }

  /** Must follow every stream opened on a session: opens another session before this one is full. */
  opened(session: ClientSession): void {
    if ((session.streams + 1) * 10 >= session.streamsMax * 9) this.#grow();
  }

  /** Resets a stream of a session, perhaps later: the session is not to be ended by the server for too many resets. */
  reset(session: ClientSession, stream: ClientStream, code: number): void {
    let resets = this.#resets.get(session);
    if (!resets) this.#resets.set(session, (resets = new Resets(session, this.#parts.world.clock)));
    if (!resets.reset(stream, code) || this.#retired.has(session)) return;
    this.#retired.add(session);
    this.#grow();
  }

  /** A stream that was to be reset has closed by itself. */
  closed(session: ClientSession, stream: ClientStream): void {
    this.#resets.get(session)?.closed(stream);
  }

  wait(waiter: Waiter): void {
    const { clock } = this.#parts.world;
    const refusal = this.#refusal();
    if (refusal) {
      process.nextTick(() => waiter.refuse(refusal));
      return;
    }
    this.#waiters.set(waiter, clock.monotonic() + this.#options.waitMs);
    this.#cancelWaitTimer ??= clock.after(this.#options.waitMs, () => this.#expire());
    this.#grow();
  }

  forget(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  watch(listener: FunctionListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closing ??= Promise.withResolvers<undefined>();
    this.#cancelRetry?.();
    this.#cancelSpareTimer?.();
    this.#cancelWaitTimer?.();
    this.#giveUp?.();
    const waiters = [...this.#waiters.keys()];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.refuse(new MassaError("unavailable", "the proxy is shutting down"));
    for (const session of [...this.#sessions]) session.destroy();
    if (this.#sessions.length === 0) this.#closing.resolve(undefined);
    await this.#closing.promise;
  }

  /** Why nobody may wait at the moment. */
  #refusal(): MassaError | undefined {
    if (this.#closing) return new MassaError("unavailable", "the proxy is shutting down");
    if (this.#waiters.size < this.#options.waitersMax) return undefined;
    this.#limitReached("userFunction.waiting");
    const message = `${this.#waiters.size} streams already wait for the user function at ${this.#where}`;
    return new MassaError("exhausted", message);
  }

  #withRoom(): ClientSession | undefined {
    for (const session of this.#sessions) {
      if (this.#takes(session) && session.streams < session.streamsMax) return session;
    }
    return undefined;
  }

  /** Opens one more session unless one is being opened, or there is room for more than the next stream. */
  #grow(): void {
    if (this.#giveUp ?? this.#cancelRetry ?? this.#closing) return;
    const roomy = this.#sessions.some(
      (session) => this.#takes(session) && (session.streams + 1) * 10 < session.streamsMax * 9,
    );
    if (roomy && this.#waiters.size === 0) return;
    if (this.#sessions.length >= this.#options.sessionsMax) {
      this.#limitReached("userFunction.sessions");
      return;
    }
    this.#connect();
  }

  #connect(): void {
    this.#giveUp = connectSession(this.#parts.engine, this.#parts.world, this.#options, {
      ready: (session) => this.#ready(session),
      failed: (error) => this.#failed(error),
      changed: () => this.#changed(),
      closed: (session, error) => this.#closed(session, error),
    });
  }

  #ready(session: ClientSession): void {
    this.#giveUp = undefined;
    this.#attempts = 0;
    const isKnown = this.#sessions.some((other) => other.usable && this.#known.has(other));
    this.#sessions.push(session);
    if (isKnown) this.#known.add(session);
    this.#openedAtMs = this.#parts.world.clock.monotonic();
    if (!this.#reached) {
      this.#reached = true;
      this.#known.add(session);
      this.#parts.log.info({ address: this.#where, streamsMax: session.streamsMax }, "user function reached");
      for (const listener of [...this.#listeners]) listener.found();
    } else this.#renew();
    this.#changed();
  }

  /** Tells once the last session to the function as it was has ended and others stand: whoever is there now may be another one. */
  #renew(): void {
    if (this.#known.size > 0 || this.#sessions.length === 0 || !this.#reached) return;
    for (const session of this.#sessions) this.#known.add(session);
    for (const listener of [...this.#listeners]) listener.renewed?.();
  }

  #failed(error: MassaError): void {
    this.#giveUp = undefined;
    if (this.#closing) return;
    this.#attempts += 1;
    this.#lastError = error;
    this.#parts.log.warn(
      { address: this.#where, attempt: this.#attempts, reason: error.message },
      "user function not reached",
    );
    this.#retryLater();
    if (!this.#reached || this.#sessions.length > 0) return;
    this.#reached = false;
    for (const listener of [...this.#listeners]) listener.lost(error);
  }

  #retryLater(): void {
    const { backoffMinMs, backoffMaxMs } = this.#options;
    const { clock, random } = this.#parts.world;
    const delayMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#attempts - 1, 20));
    this.#cancelRetry?.();
    this.#cancelRetry = clock.after(delayMs * (0.8 + random.int(400) / 1000), () => {
      this.#cancelRetry = undefined;
      if (this.#sessions.length === 0 || this.#waiters.size > 0) this.#connect();
    });
  }

  #takes(session: ClientSession): boolean {
    return session.usable && !this.#retired.has(session);
  }

  #changed(): void {
    if (this.#retired.size > 0) for (const session of [...this.#retired]) this.#resets.get(session)?.settle();
    for (const waiter of this.#waiters.keys()) {
      const session = this.#withRoom();
      if (!session) break;
      this.#waiters.delete(waiter);
      waiter.attach(session);
    }
    if (!this.#sessions.some((session) => this.#takes(session))) this.#replace();
    else if (this.#waiters.size > 0) this.#grow();
    else if (this.#sessions.length > 1)
      this.#cancelSpareTimer ??= this.#parts.world.clock.after(spareMs, () => this.#closeSpare());
  }

  /** Closes the sessions beside the first one that have no stream. */
  #closeSpare(): void {
    this.#cancelSpareTimer = undefined;
    for (const session of this.#sessions.slice(1)) if (session.streams === 0) session.close();
  }

  /** No session takes streams any more: opens another at once, or after a moment if the last one had been opened just now. */
  #replace(): void {
    if (this.#giveUp ?? this.#cancelRetry ?? this.#closing) return;
    if (this.#parts.world.clock.monotonic() - this.#openedAtMs >= shortLivedMs) {
      this.#connect();
      return;
    }
    this.#attempts += 1;
    this.#retryLater();
  }

  #closed(session: ClientSession, error: Error | undefined): void {
    this.#sessions.splice(this.#sessions.indexOf(session), 1);
    this.#known.delete(session);
    this.#retired.delete(session);
    this.#resets.get(session)?.stop();
    this.#resets.delete(session);
    if (this.#closing) {
      if (this.#sessions.length === 0) this.#closing.resolve(undefined);
      return;
    }
    this.#parts.log.debug({ address: this.#where, reason: error?.message }, "session to the user function ended");
    this.#renew();
    if (!this.#sessions.some((other) => this.#takes(other))) this.#replace();
  }

  #expire(): void {
    this.#cancelWaitTimer = undefined;
    const { clock } = this.#parts.world;
    for (const [waiter, untilMs] of this.#waiters) {
      const leftMs = untilMs - clock.monotonic();
      if (leftMs > 0) {
        this.#cancelWaitTimer = clock.after(leftMs, () => this.#expire());
        return;
      }
      this.#waiters.delete(waiter);
      waiter.refuse(this.#unavailable());
    }
  }

  #unavailable(): MassaError {
    const { waitMs } = this.#options;
    if (this.#sessions.length === 0) {
      const reason = this.#lastError?.message ?? `no session to ${this.#where} within ${waitMs} ms`;
      return new MassaError("unavailable", `the user function is away: ${reason}`, { cause: this.#lastError });
    }
    const streams = this.#sessions.reduce((sum, session) => sum + session.streams, 0);
    this.#limitReached("userFunction.sessions");
    const message = `no free stream to the user function at ${this.#where} within ${waitMs} ms: ${streams} are open on ${this.#sessions.length} sessions`;
    return new MassaError("unavailable", message);
  }

  #limitReached(limit: string): void {
    this.#parts.telemetry.count("massa_limit_reached_total", { limit });
  }
}
