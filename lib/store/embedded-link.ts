import type { Worker } from "node:worker_threads";
import { MassaError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { errorOf, type FromThread, type Read, type ToThread } from "./embedded-messages.ts";
import type { Write } from "./embedded-tables.ts";
import { startThread } from "./embedded-thread.ts";

export interface LinkOptions {
  readonly file: string;
  /** Requests not answered yet. */
  readonly waitingMax: number;
  /** Bytes of writes not answered yet. One write alone is always taken. */
  readonly waitingBytesMax: number;
  /** Writes in one commit; the next ones wait for the next commit. */
  readonly commitMax: number;
}

export interface LinkParts {
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: LinkOptions;
  /** The store is gone for good, unasked, after it had been open. */
  readonly lost?: (error: MassaError) => void;
}

interface Waiting<R> {
  readonly request: R;
  readonly bytes: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: MassaError) => void;
}

/** Bytes in one commit, unless a single write has more: longer ones would hold up everybody. */
const commitBytes = 16 * 1024 * 1024;

/**
 * The way to the thread that has the file. Questions of one turn travel together. Writes gather while a commit is under way, and
 * form the next one: the busier the store, the larger its commits.
 */
export class Link implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #log: Logger;
  readonly #telemetry: Telemetry;
  readonly #options: LinkOptions;
  readonly #lost: LinkParts["lost"];
  #wasOpened = false;
  readonly #opened = Promise.withResolvers<string>();
  readonly #closed = Promise.withResolvers<undefined>();
  #reads: Waiting<Read>[] = [];
  #writes: Waiting<Write>[] = [];
  /** Where the next commit begins among the writes that wait. */
  #next = 0;
  #asked: Waiting<Read>[][] = [];
  #committing: readonly Waiting<Write>[] = [];
  #waiting = 0;
  #waitingBytes = 0;
  #isScheduled = false;
  #isFailing = false;
  #isEnding = false;
  /** Why nothing is taken any more. */
  #ended: MassaError | undefined;

  constructor({ log, telemetry, options, lost }: LinkParts) {
    this.#lost = lost;
    this.#log = log;
    this.#telemetry = telemetry;
    this.#options = options;
    this.#worker = startThread(options.file);
    this.#worker.on("message", (message: FromThread) => this.#receive(message));
    this.#worker.on("error", (failure) => this.#lose(MassaError.from(failure)));
    this.#worker.on("exit", () => this.#lose(new MassaError("unavailable", "the store's thread has ended")));
    telemetry.gauge("massa_store_waiting", () => this.#waiting);
  }

  /** The full path of the file, once it is open; rejects with why it is not. */
  get opened(): Promise<string> {
    return this.#opened.promise;
  }

  /** Rejects once nothing is taken any more. */
  check(): void {
    if (this.#ended) throw this.#ended;
  }

  read(request: Read): Promise<unknown> {
    return this.#wait(this.#reads, request, 0);
  }

  /** Resolves with why it was a conflict, or with undefined once it is on the disk. */
  async write(request: Write, bytes: number): Promise<string | undefined> {
    return (await this.#wait(this.#writes, request, bytes)) as string | undefined;
  }

  /** What was taken is answered first. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) {
      this.#ended = new MassaError("unavailable", "the store is closed");
      this.#isEnding = true;
      this.#schedule();
    }
    await this.#closed.promise;
  }

  #wait<R>(queue: Waiting<R>[], request: R, bytes: number): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#ended);
    const { waitingMax, waitingBytesMax } = this.#options;
    if (this.#waiting >= waitingMax) return this.#refuse("store.waiting", `${waitingMax} requests`);
    if (bytes > 0 && this.#waitingBytes > 0 && this.#waitingBytes + bytes > waitingBytesMax) {
      return this.#refuse("store.waitingBytes", `${waitingBytesMax} bytes`);
    }
    this.#waiting += 1;
    this.#waitingBytes += bytes;
    return new Promise((resolve, reject) => {
      queue.push({ request, bytes, resolve, reject });
      this.#schedule();
    });
  }

  #refuse(limit: string, amount: string): Promise<never> {
    this.#telemetry.count("massa_limit_reached_total", { limit });
    return Promise.reject(new MassaError("exhausted", `the store is behind: ${limit} of ${amount} wait for it`));
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#reads.length > 0) {
      const asked = this.#reads;
      this.#reads = [];
      this.#asked.push(asked);
      this.#post({ type: "read", reads: asked.map(({ request }) => request) });
    }
    if (this.#committing.length === 0 && this.#writes.length > 0) {
      this.#committing = this.#take();
      this.#post({ type: "commit", writes: this.#committing.map(({ request }) => request) });
    }
    if (this.#isEnding && this.#waiting === 0) {
      this.#isEnding = false;
      this.#post({ type: "close" });
    }
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  /** The writes of the next commit. */
  #take(): readonly Waiting<Write>[] {
    const begin = this.#next;
    const end = Math.min(this.#writes.length, begin + this.#options.commitMax);
    let bytes = 0;
    do bytes += this.#writes[this.#next++]!.bytes;
    while (this.#next < end && bytes + this.#writes[this.#next]!.bytes <= commitBytes);
    const taken = this.#writes.slice(begin, this.#next);
    if (this.#next === this.#writes.length || this.#next >= this.#options.waitingMax) {
      this.#writes = this.#writes.slice(this.#next);
      this.#next = 0;
    }
    return taken;
  }

  #receive(message: FromThread): void {
    switch (message.type) {
      case "opened":
        this.#wasOpened = true;
        return this.#opened.resolve(message.path);
      case "refused":
        this.#ended = errorOf(message.error);
        return this.#opened.reject(this.#ended);
      case "answers":
        for (const [index, { resolve, reject }] of this.#asked.shift()!.entries()) {
          const answer = message.answers[index]!;
          this.#waiting -= 1;
          if ("error" in answer) reject(errorOf(answer.error));
          else resolve(answer.value);
        }
        break;
      case "committed":
        this.#recovered();
        this.#telemetry.observe("massa_store_commit_seconds", message.seconds);
        this.#telemetry.observe("massa_store_commit_writes", message.conflicts.length);
        this.#settle(({ resolve }, index) => resolve(message.conflicts[index]));
        break;
      case "failed": {
        const error = errorOf(message.error);
        this.#failing(error);
        this.#telemetry.count("massa_store_writes_total", { outcome: "failed" }, this.#committing.length);
        this.#settle(({ reject }) => reject(error));
        break;
      }
      case "closed":
        if (message.error) this.#log.warn({ reason: message.error.message }, "store did not close well");
        return;
    }
    this.#flush();
  }

  #settle(each: (waiting: Waiting<Write>, index: number) => void): void {
    const committed = this.#committing;
    this.#committing = [];
    for (const [index, waiting] of committed.entries()) {
      this.#waiting -= 1;
      this.#waitingBytes -= waiting.bytes;
      each(waiting, index);
    }
  }

  #failing({ message, cause }: MassaError): void {
    if (!this.#isFailing) this.#log.error({ reason: message, cause }, "store cannot write");
    this.#isFailing = true;
  }

  #recovered(): void {
    if (this.#isFailing) this.#log.info({}, "store writes again");
    this.#isFailing = false;
  }

  /** The thread is gone: because it was closed, because the file would not do, or because something is wrong with us. */
  #lose(error: MassaError): void {
    if (!this.#ended && this.#wasOpened) this.#lost?.(error);
    if (!this.#ended || this.#waiting > 0) this.#log.error({ reason: error.message, cause: error }, "store is lost");
    this.#ended ??= error;
    this.#opened.reject(error);
    for (const { reject } of [
      ...this.#asked.flat(),
      ...this.#reads,
      ...this.#committing,
      ...this.#writes.slice(this.#next),
    ]) {
      reject(error);
    }
    [this.#asked, this.#reads, this.#committing, this.#writes] = [[], [], [], []];
    this.#waiting = 0;
    this.#closed.resolve(undefined);
  }
}
