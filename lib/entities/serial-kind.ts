import type { EntityKey } from "../store/store.ts";
import type { ClientAction, EntityCommand, SideEffect } from "../wire/protocol.ts";
import type { SerialStreamOut } from "../wire/serial-protocol.ts";
import type { Dialect } from "./conversation.ts";

/** What the replies of both kinds have in common. */
export interface SerialReply {
  readonly type: "reply";
  readonly commandId: number;
  readonly clientAction: ClientAction | undefined;
  readonly sideEffects: readonly SideEffect[];
}

/** What is to become of a reply. */
export type Verdict<Change> =
  | { readonly type: "answer" }
  /** Answered once the change is stored. */
  | { readonly type: "store"; readonly change: Change }
  /** Answered, nothing stored, and the function's copy is dirty: a new stream takes the place of this one. */
  | { readonly type: "restart" }
  /** The reply means nothing: the instance is torn down. */
  | { readonly type: "refuse"; readonly reason: string };

/** What callers are told when an instance is torn down: the one whose command is out, and those that wait. */
export interface SerialTexts {
  /** The function failed the whole entity, or its change could not be stored. */
  readonly failure: string;
  /** A reply without a command. */
  readonly reply: string;
  /** A message that says nothing or cannot be read. */
  readonly message: string;
  /** The function ended or broke the stream, or never answered. */
  readonly termination: string;
  /** What is stored could not be read. */
  readonly recovery: string;
  /** Said to those that waited. */
  readonly terminated: string;
}

/** The pure part of a kind of entity that carries out one command at a time. */
export interface SerialRules<Reply extends SerialReply, Change> {
  readonly dialect: Dialect<SerialStreamOut<Reply>>;
  readonly texts: SerialTexts;
  command(command: EntityCommand): Uint8Array;
  judge(reply: Reply): Verdict<Change>;
}

/** How the first messages of a stream are sent: init, then what is replayed. */
export interface Replay {
  readonly key: EntityKey;
  readonly serviceName: string;
  /** Nobody waits for it any more. */
  isOver(): boolean;
  /** Opens the stream with its init. */
  open(init: Uint8Array): void;
  send(frame: Uint8Array): void;
  /** Resolves when the stream takes more, or is over; undefined when it takes more now. */
  ready(): Promise<unknown> | undefined;
}

/** The stored part of such a kind. A position is the version of a value, or the sequence of the last event. */
export interface SerialState<Change> {
  /** Sends init and replay and gives the position that they lead to: at once when it is all in memory. */
  load(replay: Replay): number | Promise<number>;
  /** Gives the position after the change; rejects with `conflict` when the stored position is another one. */
  store(key: EntityKey, position: number, change: Change): Promise<number>;
  /** What is known of the entity may not be so any more. */
  forget(key: EntityKey): void;
}
