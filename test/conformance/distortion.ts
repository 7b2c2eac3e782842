import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ActionCommand,
  ActionCommandSchema,
  ActionProtocol,
  ActionResponseSchema,
} from "../../lib/wire/gen/cloudstate/action_pb.ts";
import {
  Crdt,
  CrdtDeltaSchema,
  type CrdtStreamIn,
  CrdtStreamInSchema,
  type CrdtStreamOut,
  CrdtStreamOutSchema,
} from "../../lib/wire/gen/cloudstate/crdt_pb.ts";
import { MetadataSchema } from "../../lib/wire/gen/cloudstate/entity_pb.ts";
import type { Passage, Tap } from "./relay.ts";
import { EntityTap, Passing } from "./taps.ts";

/** A way in which a proxy can be wrong, and the case that must find it out. */
export interface Distortion {
  readonly title: string;
  readonly foundBy: string;
  /** What its error must say, so that the case is red for this and not for another reason. */
  readonly shows: RegExp;
  /** A tap for one call between the proxy and the function. */
  tap(path: string): Tap;
}

/** Passes everything on as it is. */
export const undistorted: Distortion = { title: "none", foundBy: "", shows: /^/, tap: () => new Passing() };

/** Changes what goes over the stream of a CRDT entity. */
class CrdtTap extends EntityTap<typeof CrdtStreamInSchema, typeof CrdtStreamOutSchema> {
  constructor() {
    super(CrdtStreamInSchema, CrdtStreamOutSchema);
  }
}

const onCrdts = (make: () => Tap) => (path: string) =>
  path === `/${Crdt.typeName}/${Crdt.method.handle.name}` ? make() : new Passing();

class MetadataOnCommand extends CrdtTap {
  protected override in(message: CrdtStreamIn): CrdtStreamIn[] {
    if (message.message.case === "command") {
      const entries = [{ key: "user-agent", value: { case: "stringValue" as const, value: "somebody" } }];
      message.message.value.metadata = create(MetadataSchema, { entries });
    }
    return [message];
  }
}

class EmptyInitialDelta extends CrdtTap {
  protected override in(message: CrdtStreamIn): CrdtStreamIn[] {
    if (message.message.case === "init") message.message.value.delta ??= create(CrdtDeltaSchema);
    return [message];
  }
}

/** Moves all command ids of a stream by what `offset` says. */
class MovedIds extends CrdtTap {
  readonly #offset: (entity: string) => bigint;
  readonly #seen: (entity: string, id: bigint) => void;
  #entity = "";
  #moved = 0n;

  constructor(offset: (entity: string) => bigint, seen: (entity: string, id: bigint) => void) {
    super();
    this.#offset = offset;
    this.#seen = seen;
  }

  protected override in({ message }: CrdtStreamIn): CrdtStreamIn[] {
    if (message.case === "init") {
      this.#entity = `${message.value.serviceName}/${message.value.entityId}`;
      this.#moved = this.#offset(this.#entity);
    }
    if (message.case === "command" || message.case === "streamCancelled") {
      message.value.id += this.#moved;
      this.#seen(this.#entity, message.value.id);
    }
    return [create(CrdtStreamInSchema, { message })];
  }

  protected override out({ message }: CrdtStreamOut) {
    if (message.case !== undefined) message.value.commandId -= this.#moved;
    return { toProxy: [create(CrdtStreamOutSchema, { message })], toFunction: [] };
  }
}

class ResetAtEnd extends Passing {
  override proxyEnded(): ReturnType<Tap["proxyEnded"]> {
    return { then: "cancel", before: [] };
  }
}

class EchoedDelta extends CrdtTap {
  protected override out(message: CrdtStreamOut) {
    const reply = message.message.case === "reply" ? message.message.value : undefined;
    const action = reply?.stateAction?.action;
    const echo =
      action?.case === "update"
        ? [create(CrdtStreamInSchema, { message: { case: "delta", value: action.value } })]
        : [];
    return { toProxy: [message], toFunction: echo };
  }
}

class CancelledTwice extends CrdtTap {
  readonly #answered = new Set<bigint>();

  protected override in(message: CrdtStreamIn): CrdtStreamIn[] {
    return message.message.case === "streamCancelled" ? [message, message] : [message];
  }

  protected override out(message: CrdtStreamOut) {
    if (message.message.case !== "streamCancelledResponse") return { toProxy: [message], toFunction: [] };
    const { commandId } = message.message.value;
    const first = !this.#answered.has(commandId);
    this.#answered.add(commandId);
    return { toProxy: first ? [message] : [], toFunction: [] };
  }
}

class CommandBeforeInit extends CrdtTap {
  #init: CrdtStreamIn | undefined;

  protected override in(message: CrdtStreamIn): CrdtStreamIn[] {
    if (message.message.case === "init") {
      this.#init = message;
      return [];
    }
    const late = this.#init ? [message, this.#init] : [message];
    this.#init = undefined;
    return late;
  }
}

/** The proxy believes that no effect is synchronous, and so it does not wait. */
class NoWaiting extends Passing {
  override fromFunction(bytes: Buffer): Passage {
    const response = fromBinary(ActionResponseSchema, bytes);
    for (const effect of response.sideEffects) effect.synchronous = false;
    return { toProxy: [Buffer.from(toBinary(ActionResponseSchema, response))], toFunction: [] };
  }
}

class PayloadInOpening extends Passing {
  #opening: ActionCommand | undefined;
  #opened = false;

  override fromProxy(bytes: Buffer): readonly Buffer[] {
    if (this.#opened) return [bytes];
    const command = fromBinary(ActionCommandSchema, bytes);
    if (!this.#opening) {
      this.#opening = command;
      return [];
    }
    this.#opened = true;
    return [written({ ...this.#opening, ...(command.payload && { payload: command.payload }) })];
  }

  override proxyEnded(): ReturnType<Tap["proxyEnded"]> {
    const held = this.#opening && !this.#opened ? [written(this.#opening)] : [];
    return { then: "end", before: held };
  }
}

function written(command: ActionCommand): Buffer {
  return Buffer.from(toBinary(ActionCommandSchema, command));
}

const actionPath = (name: string) => `/${ActionProtocol.typeName}/${name}`;

/** Proxies that are wrong with actions and CRDT entities, each in its own way. */
export const distortions: readonly Distortion[] = [
  {
    title: "metadata on a command",
    foundBy: "C83",
    shows: /user-agent/,
    tap: onCrdts(() => new MetadataOnCommand()),
  },
  {
    title: "an empty initial delta instead of none",
    foundBy: "C83",
    shows: /Process: .* came instead of a message/,
    tap: onCrdts(() => new EmptyInitialDelta()),
  },
  {
    title: "command ids from 0",
    foundBy: "C83",
    shows: /id: 0n/,
    tap: onCrdts(
      () =>
        new MovedIds(
          () => -1n,
          () => undefined,
        ),
    ),
  },
  {
    title: "a reset instead of a half-close",
    foundBy: "C88",
    shows: /cancelled/,
    tap: onCrdts(() => new ResetAtEnd()),
  },
  { title: "a delta echoed", foundBy: "C83", shows: /PNCounterValue/, tap: onCrdts(() => new EchoedDelta()) },
  {
    title: "two stream_cancelled",
    foundBy: "C86",
    shows: /streamCancelled/,
    tap: onCrdts(() => new CancelledTwice()),
  },
  {
    title: "a command before init",
    foundBy: "C83",
    shows: /Process: .* came instead of a message/,
    tap: onCrdts(() => new CommandBeforeInit()),
  },
  { title: "ids that go on after passivation", foundBy: "C88", shows: /id: 2n/, tap: idsThatGoOn() },
  {
    title: "an answer before a synchronous effect",
    foundBy: "A39",
    shows: /should say nothing/,
    tap: (path) => (path === actionPath("handleUnary") ? new NoWaiting() : new Passing()),
  },
  {
    title: "a payload in the opening command of a streamed input",
    foundBy: "A36",
    shows: /payload/,
    tap: (path) =>
      path === actionPath("handleStreamedIn") || path === actionPath("handleStreamed")
        ? new PayloadInOpening()
        : new Passing(),
  },
];

function idsThatGoOn(): (path: string) => Tap {
  const last = new Map<string, bigint>();
  return onCrdts(
    () =>
      new MovedIds(
        (entity) => last.get(entity) ?? 0n,
        (entity, id) => last.set(entity, id),
      ),
  );
}
