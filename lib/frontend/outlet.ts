import { messageOf } from "../../eventing/cloud-event.ts";
import { eventOfReply } from "../../eventing/event-payload.ts";
import type { Publisher } from "../../eventing/publisher.ts";
import { MassaError } from "../core/errors.ts";
import type { World } from "../core/world.ts";
import type { Method, ServiceTable } from "../discovery/service-table.ts";
import type { Call, Caller, Command, Router } from "../routing/command.ts";
import type { AnyValue, MetadataEntry } from "../wire/protocol.ts";

export interface OutletParts {
  readonly router: Router;
  readonly publisher: Publisher;
  /** The services served at the time. */
  readonly tableOf: () => ServiceTable | undefined;
  readonly world: World;
}

interface Pending {
  readonly payload: AnyValue;
  readonly metadata: readonly MetadataEntry[];
  isConfirmed: boolean;
}

const parallelMax = 4;

/**
 * A router for those who call from outside: replies of methods that declare `out` are published, and confirmed, before they are
 * delivered. All other calls are the inner router's own.
 */
export function createOutlet(parts: OutletParts): Router {
  const { router, tableOf } = parts;
  return {
    open(command, caller) {
      const method = tableOf()?.services.get(command.service)?.methods.get(command.method);
      const topic = method?.eventing?.out?.topic;
      if (method === undefined || topic === undefined) return router.open(command, caller);
      return new PublishedCall(parts, command, method, topic, caller);
    },
  };
}

class PublishedCall implements Call, Caller {
  readonly #parts: OutletParts;
  readonly #method: Method;
  readonly #topic: string;
  readonly #key: string;
  readonly #caller: Caller;
  readonly #call: Call;
  /** Replies in order: the first `#started` are being published or confirmed. */
  readonly #pending: Pending[] = [];
  #started = 0;
  #ending: { readonly error: MassaError | undefined } | undefined;
  #isPausedByCaller = false;
  #isOver = false;

  constructor(parts: OutletParts, command: Command, method: Method, topic: string, caller: Caller) {
    this.#parts = parts;
    this.#method = method;
    this.#topic = topic;
    this.#caller = caller;
    this.#key = keyOf(method, command);
    this.#call = parts.router.open(command, this);
  }

  send(payload: AnyValue, metadata?: readonly MetadataEntry[]): boolean {
    return this.#call.send(payload, metadata);
  }

  halfClose(): void {
    this.#call.halfClose();
  }

  cancel(): void {
    this.#isOver = true;
    this.#call.cancel();
  }

  pause(): void {
    this.#isPausedByCaller = true;
    this.#call.pause();
  }

  resume(): void {
    this.#isPausedByCaller = false;
    this.#deliver();
    this.#resumeInner();
  }

  reply(payload: AnyValue, metadata: readonly MetadataEntry[]): void {
    if (this.#isOver) return;
    this.#pending.push({ payload, metadata, isConfirmed: false });
    this.#publish();
    // The inner call may not be in hand yet when it answers from within its opening.
    if (this.#isCrowded) queueMicrotask(() => this.#isCrowded && this.#call.pause());
  }

  end(): void {
    this.#ending = { error: undefined };
    this.#deliver();
  }

  fail(error: MassaError): void {
    this.#ending = { error };
    this.#deliver();
  }

  drain(): void {
    this.#caller.drain();
  }

  get #isCrowded(): boolean {
    return this.#pending.length >= parallelMax;
  }

  /** A caller may have paused again from within what it was just given. */
  #resumeInner(): void {
    if (!this.#isCrowded && !this.#isPausedByCaller) this.#call.resume();
  }

  #publish(): void {
    while (!this.#isOver && this.#started < Math.min(parallelMax, this.#pending.length)) {
      const reply = this.#pending[this.#started]!;
      this.#started += 1;
      this.#confirmed(reply).then(
        () => {
          reply.isConfirmed = true;
          this.#deliver();
        },
        (reason: unknown) => this.#refuse(MassaError.from(reason, "unavailable")),
      );
    }
  }

  async #confirmed({ payload, metadata }: Pending): Promise<void> {
    const { publisher, world } = this.#parts;
    const event = eventOfReply(payload, metadata, {
      id: uuidOf(world.random.bytes(16)),
      source: this.#method.service.name,
      time: new Date(world.clock.now()).toISOString(),
    });
    const key = event.partitionKey ?? event.subject ?? this.#key;
    await publisher.publish(this.#topic, messageOf(event, key));
  }

  #deliver(): void {
    while (!this.#isOver && !this.#isPausedByCaller && this.#pending[0]?.isConfirmed === true) {
      const { payload, metadata } = this.#pending.shift()!;
      this.#started -= 1;
      this.#caller.reply(payload, metadata);
      this.#publish();
      this.#resumeInner();
    }
    if (this.#isOver || this.#pending.length > 0 || !this.#ending) return;
    this.#isOver = true;
    if (this.#ending.error) this.#caller.fail(this.#ending.error);
    else this.#caller.end();
  }

  #refuse(error: MassaError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#call.cancel();
    const message = `reply not published to topic ${this.#topic}: ${error.message}`;
    this.#caller.fail(new MassaError(error.code, message, { cause: error }));
  }
}

/** What orders a reply that names no key of its own: the entity that gives it. */
function keyOf(method: Method, { payload }: Command): string {
  try {
    return payload ? method.key(payload.value) : "";
  } catch {
    return ""; // The call itself fails for this input, and says so.
  }
}

function uuidOf(bytes: Uint8Array): string {
  const fixed = Uint8Array.from(bytes, (byte, at) =>
    at === 6 ? (byte & 0x0f) | 0x40 : at === 8 ? (byte & 0x3f) | 0x80 : byte,
  );
  return Buffer.from(fixed)
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
