import type { Clock } from "../core/world.ts";
import type { ByteStream, StreamEvents } from "./carrier.ts";

/** What a pipe needs of its network. */
interface PipeNetwork {
  readonly scheduler: Pick<Clock, "now" | "after">;
  isCut(from: string, to: string): boolean;
  latencyMs(): number;
}

const windowBytes = 256 * 1024;

/** One direction of a connection: ordered and without loss; while it is cut, everything waits. */
export class SimulatedPipe {
  readonly writer: ByteStream;
  readonly reader: ByteStream;
  readonly #network: PipeNetwork;
  readonly #from: string;
  readonly #to: string;
  readonly #gone: () => void;
  readonly #queue: { readonly atMs: number; readonly deliver: () => void }[] = [];
  #writerEvents: StreamEvents | undefined;
  #readerEvents: StreamEvents | undefined;
  #inFlightBytes = 0;
  #lastMs = 0;
  #isClosed = false;

  constructor(network: PipeNetwork, from: string, to: string, gone: () => void) {
    this.#network = network;
    this.#from = from;
    this.#to = to;
    this.#gone = gone;
    const end = (reason: string, tell: () => StreamEvents | undefined) => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      this.#push(() => {
        this.#gone();
        tell()?.closed(reason);
      });
    };
    const closeWriter = () => end("the other node closed the link", () => this.#readerEvents);
    const closeReader = () => end("the other node closed the link", () => this.#writerEvents);
    this.writer = {
      write: (bytes) => this.#write(bytes),
      listen: (events) => void (this.#writerEvents = events),
      close: closeWriter,
      abort: closeWriter,
    };
    this.reader = {
      write: () => false,
      listen: (events) => void (this.#readerEvents = events),
      close: closeReader,
      abort: closeReader,
    };
  }

  /** Delivers what is due and not cut off. */
  flush(): void {
    while (
      this.#queue.length > 0 &&
      this.#queue[0]!.atMs <= this.#network.scheduler.now() &&
      !this.#network.isCut(this.#from, this.#to)
    ) {
      this.#queue.shift()!.deliver();
    }
  }

  #write(bytes: Uint8Array): boolean {
    if (this.#isClosed) return false;
    this.#inFlightBytes += bytes.length;
    this.#push(() => {
      const wasFull = this.#inFlightBytes >= windowBytes;
      this.#inFlightBytes -= bytes.length;
      this.#readerEvents?.chunk(bytes);
      if (wasFull && this.#inFlightBytes < windowBytes) this.#writerEvents?.drained();
    });
    return this.#inFlightBytes < windowBytes;
  }

  #push(deliver: () => void): void {
    const { scheduler } = this.#network;
    this.#lastMs = Math.max(this.#lastMs, scheduler.now() + this.#network.latencyMs());
    this.#queue.push({ atMs: this.#lastMs, deliver });
    scheduler.after(this.#lastMs - scheduler.now(), () => this.flush());
  }
}
