import { create, type DescMessage, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type ClientActionSchema, type SideEffect, SideEffectSchema } from "../wire/gen/cloudstate/entity_pb.ts";
import { metadataOf, type MetadataInit } from "./metadata.ts";
import { packed } from "./serializer.ts";

/**
 * The function's "no": its caller gets `message` as the description. Thrown, or given as an answer.
 * What the command changed is undone; any other error is a defect of the function and ends the entity's stream.
 */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** The answer is what another method answers. Made by `forward`. */
export class Forward {
  readonly method: DescMethod;
  readonly payload: Any;
  readonly metadata: MetadataInit | undefined;

  constructor(method: DescMethod, payload: Any, metadata: MetadataInit | undefined) {
    this.method = method;
    this.payload = payload;
    this.metadata = metadata;
  }
}

/** An answer with metadata. Made by `reply`. */
export class Reply<Output extends DescMessage> {
  readonly output: MessageInitShape<Output>;
  readonly metadata: MetadataInit;

  constructor(output: MessageInitShape<Output>, metadata: MetadataInit) {
    this.output = output;
    this.metadata = metadata;
  }
}

/** What a handler may answer; undefined is no message at all. */
export type Answer<M extends DescMethod> =
  MessageInitShape<M["output"]> | Reply<M["output"]> | Forward | Failure | undefined;

/** Lets `method` answer `input` instead. */
export function forward<M extends DescMethod>(
  method: M,
  input: MessageInitShape<M["input"]>,
  metadata?: MetadataInit,
): Forward {
  return new Forward(method, payloadOf(method.input, input), metadata);
}

/** Answers with `output` and metadata: response headers, or the attributes of a published event. */
export function reply<Output extends DescMessage>(
  output: MessageInitShape<Output>,
  metadata: MetadataInit,
): Reply<Output> {
  return new Reply(output, metadata);
}

export interface EffectOptions {
  /** The answer waits until the effect has ended. */
  readonly synchronous?: boolean;
  readonly metadata?: MetadataInit;
}

/** Has `method` called as a side effect. */
export type Effect = <M extends DescMethod>(
  method: M,
  input: MessageInitShape<M["input"]>,
  options?: EffectOptions,
) => void;

/** Side effects of one answer, in order. */
export class Effects {
  #effects: SideEffect[] = [];

  add<M extends DescMethod>(method: M, input: MessageInitShape<M["input"]>, options: EffectOptions = {}): void {
    const metadata = metadataOf(options.metadata);
    this.#effects.push(
      create(SideEffectSchema, {
        ...targetOf(method),
        payload: payloadOf(method.input, input),
        synchronous: options.synchronous ?? false,
        ...(metadata && { metadata }),
      }),
    );
  }

  /** The effects since the last time. */
  take(): SideEffect[] {
    return this.#effects.splice(0);
  }
}

/** The answer of a handler, a thrown failure included; any other error is thrown on. */
export async function answered(run: () => Promise<Answer<DescMethod>>): Promise<Answer<DescMethod>> {
  try {
    return await run();
  } catch (failure) {
    if (failure instanceof Failure) return failure;
    throw failure;
  }
}

type Action = NonNullable<MessageInitShape<typeof ClientActionSchema>["action"]>;

/** An answer as it travels; undefined when there is none. */
export function actionOf(method: DescMethod, answer: Answer<DescMethod>, commandId = 0n): Action | undefined {
  if (answer === undefined) return undefined;
  if (answer instanceof Failure) return { case: "failure", value: { commandId, description: answer.message } };
  if (answer instanceof Forward) {
    const metadata = metadataOf(answer.metadata);
    return {
      case: "forward",
      value: { ...targetOf(answer.method), payload: answer.payload, ...(metadata && { metadata }) },
    };
  }
  const { output, metadata } = answer instanceof Reply ? answer : { output: answer, metadata: undefined };
  const sent = metadataOf(metadata);
  return { case: "reply", value: { payload: payloadOf(method.output, output), ...(sent && { metadata: sent }) } };
}

function targetOf(method: DescMethod): { serviceName: string; commandName: string } {
  return { serviceName: method.parent.typeName, commandName: method.name };
}

function payloadOf<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return packed(schema, create(schema, init));
}
