import type { Clock } from "../core/world.ts";
import type { ByteStream } from "./carrier.ts";
import { Link } from "./link.ts";
import type { LinkLimits } from "./link-limits.ts";
import type { Hello, MeshListener, Peer } from "./mesh.ts";
import { decodeHello } from "./hello.ts";

/** What a session needs of its surroundings. */
interface SessionOptions {
  readonly limits: LinkLimits;
  readonly clock: Pick<Clock, "after">;
  readonly listener: MeshListener;
  /** Runs `flush` soon, once for all that is queued in this turn of the event loop. */
  readonly soon: (flush: () => void) => void;
  /** Why this node cannot be in one mesh with a node that says this of itself; undefined: it can. */
  readonly refusal: (theirs: Hello) => string | undefined;
  /** A bound of the link was met, by its name in the configuration. */
  readonly limited: (limit: string) => void;
  /** Both streams stand; called before the listener is told. */
  readonly up: () => void;
  /** The session is over; called once, after the listener was told. */
  readonly ended: (reason: string) => void;
}

const batchBytes = 64 * 1024;

/** An admitted peer: its link over one stream in each direction. It is up, and its listener told, once both streams stand. */
export class Session implements Peer {
  readonly id: string;
  readonly link: Link;
  readonly #options: SessionOptions;
  #hello: Hello;
  #outgoing: ByteStream | undefined;
  #incoming: ByteStream | undefined;
  #state: "opening" | "up" | "over" = "opening";
  #writable = true;
  #scheduled = false;
  #aged = false;
  #claimed = false;

  constructor(id: string, hello: Hello, options: SessionOptions) {
    this.id = id;
    this.#hello = hello;
    this.#options = options;
    this.link = new Link(options.limits, options.clock, {
      wake: () => this.#schedule(),
      frame: (channel, body) => options.listener.frame(this, channel, body),
      request: (request) => options.listener.request(this, request),
      hello: (bytes) => this.#changed(bytes),
      broken: (reason) => this.end(reason),
      limited: (limit) => options.limited(limit),
    });
  }

  get hello(): Hello {
    return this.#hello;
  }

  get isUp(): boolean {
    return this.#state === "up";
  }

  /** Whether the caller is to open the stream to the peer: true once. */
  claimOutgoing(): boolean {
    const isFirst = !this.#claimed;
    this.#claimed = true;
    return isFirst;
  }

  /** The stream to the peer stands; false: it is not wanted. */
  outgoing(stream: ByteStream): boolean {
    if (this.#state === "over" || this.#outgoing) return false;
    this.#outgoing = stream;
    this.#rise();
    return true;
  }

  /** The stream from the peer stands; false: it is not wanted. */
  incoming(stream: ByteStream): boolean {
    if (this.#state === "over" || this.#incoming) return false;
    this.#incoming = stream;
    this.#rise();
    return true;
  }

  /** Whether a link made anew by the peer means that this one is dead, not that both dialled at the same time. */
  get isStale(): boolean {
    return this.#aged;
  }

  age(): void {
    this.#aged = true;
  }

  /** Whether nothing waits to be written. */
  get isIdle(): boolean {
    return this.#state !== "up" || (this.#writable && this.link.isIdle);
  }

  /** Writes what waits, as far as it goes at once, and ends the session. */
  finish(reason: string): void {
    this.#flush();
    this.end(reason);
  }

  /** Ends the session: everything open fails, `lost` is told. */
  end(reason: string): void {
    if (this.#state === "over") return;
    const wasUp = this.#state === "up";
    this.#state = "over";
    this.link.close(reason);
    this.#outgoing?.close(); // Only this one: the peer must read what was sent before it hears of the end.
    if (wasUp) this.#options.listener.lost(this, reason);
    this.#options.ended(reason);
  }

  #rise(): void {
    if (!this.#outgoing || !this.#incoming) return;
    this.#state = "up";
    this.#options.up();
    this.#options.listener.admitted(this);
    const closed = (reason: string) => this.end(reason);
    this.#outgoing.listen({
      chunk: () => this.end("sent on the wrong stream"),
      drained: () => this.#drained(),
      closed,
    });
    if (!this.isUp) return; // It was closed before it was listened to.
    this.#incoming.listen({ chunk: (bytes) => this.link.receive(bytes), drained: () => undefined, closed });
    if (!this.judge()) return;
    this.#schedule();
  }

  /** Ends the session if what the two nodes say of themselves by now keeps them apart; false: it did. */
  judge(): boolean {
    const reason = this.isUp ? this.#options.refusal(this.#hello) : undefined;
    if (reason !== undefined) this.finish(reason);
    return reason === undefined;
  }

  #drained(): void {
    this.#writable = true;
    this.#flush();
  }

  #changed(bytes: Uint8Array): void {
    const introduction = decodeHello(bytes);
    if (!introduction || introduction.hello.replica !== this.#hello.replica)
      return this.end("sent a hello that cannot be its own");
    this.#hello = introduction.hello;
    if (!this.judge()) return;
    this.#options.listener.changed(this);
  }

  #schedule(): void {
    if (this.#scheduled || this.#state !== "up" || !this.#writable) return;
    this.#scheduled = true;
    this.#options.soon(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#state === "up" && this.#writable) {
      const bytes = this.link.take(batchBytes);
      if (!bytes) return;
      this.#writable = this.#outgoing!.write(bytes);
    }
  }
}
