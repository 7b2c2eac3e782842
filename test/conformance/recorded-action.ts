import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ActionCommand,
  ActionCommandSchema,
  ActionProtocol,
  type ActionResponse,
  ActionResponseSchema,
} from "../../lib/wire/gen/cloudstate/action_pb.ts";
import type { Response } from "./action-words.ts";
import { same } from "./plain.ts";
import type { Connection } from "./recorder.ts";
import type { ProxyStage } from "./stage.ts";

type Command = MessageInitShape<typeof ActionCommandSchema>;

/** Judges a command to an action, whole but for its metadata, which is free; gives it as it was. */
export async function expectIn(connection: Connection, wanted: Command): Promise<ActionCommand> {
  const command = (await connection.takeIn()) as ActionCommand;
  same(bare(command), create(ActionCommandSchema, wanted), `${connection.method.name}, to function`);
  return command;
}

/** Judges what an action says, whole but for metadata. */
export async function expectOut(connection: Connection, wanted: Response): Promise<void> {
  const { response, ...rest } = (await connection.takeOut()) as ActionResponse;
  const said = response.case === undefined ? response : { ...response, value: bare(response.value) };
  const sideEffects = rest.sideEffects.map(bare);
  const what = `${connection.method.name}, function to proxy`;
  same({ ...rest, response: said, sideEffects }, create(ActionResponseSchema, wanted), what);
}

/** The call was cancelled; a reset may look like a half-close first. */
export async function expectCancelled(connection: Connection): Promise<void> {
  const seen = await connection.in.next();
  const last = seen.type === "end" ? await connection.in.next() : seen;
  same(last, { type: "error", details: "cancelled" }, `${connection.method.name}, what the function sees`);
}

function bare<Message extends object>(message: Message): Message {
  const copy: Message & { metadata?: unknown } = { ...message };
  delete copy.metadata;
  return copy;
}

/** One recorded unary call, whole; gives the command with its metadata. */
export async function recordedUnary(stage: ProxyStage, wanted: Command, answered: Response): Promise<ActionCommand> {
  const connection = await stage.recorder.connection(ActionProtocol.method.handleUnary);
  const command = await expectIn(connection, wanted);
  await expectOut(connection, answered);
  await connection.closed();
  return command;
}
