/** What a probe has seen. `end` and `error` come last. */
export type Seen<T> =
  | { readonly type: "message"; readonly message: T }
  | { readonly type: "end" }
  | { readonly type: "error"; readonly details: string };

/** How long a case waits, in ms. A wrong proxy is found out with less patience than a right one is given. */
export interface Patience {
  readonly answerMs: number;
  /** How long nothing more may come after a case. */
  readonly surplusMs: number;
}

/** What was seen, in order, to be taken one by one. */
export class Probe<T> {
  readonly #name: string;
  readonly #patience: () => Patience;
  readonly #seen: T[] = [];
  #waiting: ((seen: T) => void) | undefined;

  constructor(name: string, patience: () => Patience) {
    this.#name = name;
    this.#patience = patience;
  }

  push(seen: T): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting(seen);
    else this.#seen.push(seen);
  }

  /** The next thing seen; rejects when none comes in time. */
  async next(withinMs = this.#patience().answerMs): Promise<T> {
    const first = this.#seen.shift();
    if (first !== undefined) return first;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const timer = setTimeout(() => {
      this.#waiting = undefined;
      reject(new Error(`${this.#name}: nothing came within ${withinMs.toString()} ms`));
    }, withinMs);
    this.#waiting = (seen) => {
      clearTimeout(timer);
      resolve(seen);
    };
    return promise;
  }

  /** What comes within `withinMs`, if anything. It is taken. */
  async surplus(withinMs = this.#patience().surplusMs): Promise<T | undefined> {
    const nothing = Symbol("nothing");
    const { promise, resolve } = Promise.withResolvers<typeof nothing>();
    if (this.#seen.length > 0) return this.#seen.shift();
    const timer = setTimeout(() => resolve(nothing), withinMs);
    const came = await Promise.race([
      promise,
      new Promise<T>((arrived) => {
        this.#waiting = arrived;
      }),
    ]);
    clearTimeout(timer);
    this.#waiting = undefined;
    return came === nothing ? undefined : came;
  }

  clear(): void {
    this.#seen.length = 0;
  }
}
