import type { EventEmitter } from "node:events";
import { create, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  type ActionCommand,
  ActionProtocol,
  type ActionResponse,
  ActionResponseSchema,
} from "../wire/gen/cloudstate/action_pb.ts";
import type { ActionContext, ActionService } from "./action.ts";
import { actionOf, type Answer, Effects, Failure } from "./answer.ts";
import { definitionOf, send } from "./grpc.ts";
import { CallMetadata } from "./metadata.ts";
import type { Protocol, Report } from "./protocol.ts";
import { type BoundMethod, inputOf } from "./service.ts";

type Iterated = AsyncIterable<Answer<DescMethod>>;
type UnaryLike = ServerUnaryCall<ActionCommand, ActionResponse> | ServerReadableStream<ActionCommand, ActionResponse>;
type Streaming =
  ServerWritableStream<ActionCommand, ActionResponse> | ServerDuplexStream<ActionCommand, ActionResponse>;

/** Serves actions: one RPC for each call, its kind that of the method. */
export function actionProtocol(services: readonly ActionService[], report: Report): Protocol {
  const byName = new Map(services.map((service) => [service.descriptor.typeName, service]));

  const find = (command: ActionCommand): BoundMethod => {
    const bound = byName.get(command.serviceName)?.methods.get(command.name);
    if (bound) return bound;
    throw new Unknown(`there is no action ${command.serviceName}.${command.name}`);
  };

  const single = async (call: UnaryLike, answer: sendUnaryData<ActionResponse>, opened: Opened): Promise<void> => {
    try {
      const { bound, input, first } = await opened(find);
      const context = contextOf(call, first);
      answer(null, await answered(bound, input, context));
    } catch (failure) {
      if (!call.cancelled) answer(refusalOf(failure, report));
    }
  };

  const streamed = async (call: Streaming, opened: Opened): Promise<void> => {
    try {
      const { bound, input, first } = await opened(find);
      const context = contextOf(call, first);
      await stream(call, bound, bound.handler(input as never, context as never) as Iterated, context);
      call.end();
    } catch (failure) {
      if (!call.cancelled) call.emit("error", refusalOf(failure, report));
    }
  };

  const implementation: UntypedServiceImplementation = {
    handleUnary: (call: ServerUnaryCall<ActionCommand, ActionResponse>, answer: sendUnaryData<ActionResponse>) =>
      void single(call, answer, openedBy(call.request)).catch(report),
    handleStreamedIn: (
      call: ServerReadableStream<ActionCommand, ActionResponse>,
      answer: sendUnaryData<ActionResponse>,
    ) => void single(call, answer, openedFrom(call)).catch(report),
    handleStreamedOut: (call: ServerWritableStream<ActionCommand, ActionResponse>) =>
      void streamed(call, openedBy(call.request)).catch(report),
    handleStreamed: (call: ServerDuplexStream<ActionCommand, ActionResponse>) =>
      void streamed(call, openedFrom(call)).catch(report),
  };
  return { definition: definitionOf(ActionProtocol), implementation };
}

/** A call whose method is known: its input is a message, or the messages of a method that streams in. */
type Opened = (find: (command: ActionCommand) => BoundMethod) => Promise<{
  readonly bound: BoundMethod;
  readonly input: Message | AsyncIterable<Message>;
  readonly first: ActionCommand;
}>;

function openedBy(command: ActionCommand): Opened {
  return async (find) => {
    const bound = find(command);
    return { bound, input: inputOf(bound.method, command.payload), first: command };
  };
}

/** The first command names the method, those after it carry the input. */
function openedFrom(call: AsyncIterable<ActionCommand>): Opened {
  return async (find) => {
    const commands = call[Symbol.asyncIterator]();
    const opening = await commands.next();
    if (opening.done) throw new Unknown("the call ended before it named its method");
    const first = opening.value;
    const bound = find(first);
    async function* inputs() {
      if (first.payload) yield inputOf(bound.method, first.payload);
      for (let next = await commands.next(); !next.done; next = await commands.next()) {
        yield inputOf(bound.method, next.value.payload);
      }
    }
    return { bound, input: inputs(), first };
  };
}

interface Context extends ActionContext {
  readonly effects: Effects;
}

function contextOf(call: EventEmitter, first: ActionCommand): Context {
  const gone = new AbortController();
  call.once("cancelled", () => gone.abort());
  const effects = new Effects();
  return {
    metadata: new CallMetadata(first.metadata),
    signal: gone.signal,
    effects,
    effect: (method, input, options) => effects.add(method, input, options),
  };
}

async function answered(bound: BoundMethod, input: unknown, context: Context): Promise<ActionResponse> {
  try {
    const answer = (await bound.handler(input as never, context as never)) as Answer<DescMethod>;
    return responseOf(bound.method, answer, context);
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    return responseOf(bound.method, failure, context);
  }
}

async function stream(call: Streaming, bound: BoundMethod, answers: Iterated, context: Context): Promise<void> {
  try {
    for await (const answer of answers) {
      if (call.cancelled) return;
      await send(call, responseOf(bound.method, answer, context));
    }
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    await send(call, responseOf(bound.method, failure, context));
    return;
  }
  const rest = responseOf(bound.method, undefined, context);
  if (rest.sideEffects.length > 0) await send(call, rest);
}

function responseOf(method: DescMethod, answer: Answer<DescMethod>, context: Context): ActionResponse {
  const response = actionOf(method, answer);
  const init: MessageInitShape<typeof ActionResponseSchema> = { sideEffects: context.effects.take() };
  return create(ActionResponseSchema, response ? { ...init, response } : init);
}

/** The call named nothing that is served here. */
class Unknown extends Error {}

function refusalOf(failure: unknown, report: Report): { code: status; details: string } & Error {
  const unknown = failure instanceof Unknown;
  if (!unknown) report(failure);
  const details = unknown ? failure.message : "the action ended by an error of its own";
  return Object.assign(new Error(details), { code: unknown ? status.UNIMPLEMENTED : status.INTERNAL, details });
}
