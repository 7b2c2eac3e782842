import type { Cancel, Clock } from "../core/world.ts";
import type { ClientSession, ClientStream } from "../wire/http2.ts";

/**
 * How many streams of one session may be reset at once, and how many a second from then on. Servers end a connection, and with it
 * all its streams, on which more are reset (against CVE-2023-44487): Node's after 1,000 at once and 33 a second, Akka's after 400
 * in ten seconds.
 */
const burst = 300;
const perSecond = 10;

/** Resets the streams of one session no faster than servers bear it. Those that wait for it are dead to the proxy already. */
export class Resets {
  readonly #session: ClientSession;
  readonly #clock: Clock;
  /** In the order of their coming, with the code that each is to be reset by. */
  readonly #waiting = new Map<ClientStream, number>();
  #left = burst;
  #atMs: number;
  #cancel: Cancel | undefined;

  constructor(session: ClientSession, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
    this.#atMs = clock.monotonic();
  }

  /** Resets the stream, or makes it wait: then the answer is true, and the session had better take no new streams. */
  reset(stream: ClientStream, code: number): boolean {
    if (this.#waiting.size === 0 && this.#take()) {
      stream.reset(code);
      return false;
    }
    this.#waiting.set(stream, code);
    this.#arm();
    return true;
  }

  /** The stream has closed by itself, before it was reset. */
  closed(stream: ClientStream): void {
    if (this.#waiting.delete(stream)) this.settle();
  }

  /** Ends the session once nothing is left on it but streams that wait to be reset. */
  settle(): void {
    if (this.#waiting.size > 0 && this.#session.streams <= this.#waiting.size) this.#session.destroy();
  }

  stop(): void {
    this.#cancel?.();
  }

  #arm(): void {
    this.#cancel ??= this.#clock.after(1_000 / perSecond, () => {
      this.#cancel = undefined;
      for (const [stream, code] of this.#waiting) {
        if (!this.#take()) break;
        this.#waiting.delete(stream);
        stream.reset(code);
      }
      this.settle();
      if (this.#waiting.size > 0) this.#arm();
    });
  }

  #take(): boolean {
    const nowMs = this.#clock.monotonic();
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#atMs) * perSecond) / 1_000);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
