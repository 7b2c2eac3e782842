import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import {
  type ActionCommandSchema,
  type ActionResponse,
  type ActionResponseSchema,
} from "../../lib/wire/gen/cloudstate/action_pb.ts";
import {
  ActionTckModel,
  OtherRequestSchema,
  type ProcessStepSchema,
  RequestSchema,
  ResponseSchema,
} from "./gen/tck/action_pb.ts";

export type Step = MessageInitShape<typeof ProcessStepSchema>;
export type Groups = readonly (readonly Step[])[];
/** An answer by its fields. */
export type Response = Exclude<MessageInitShape<typeof ActionResponseSchema>, ActionResponse>;
type Command = MessageInitShape<typeof ActionCommandSchema>;

/** Steps: reply, forward, fail, and effects, of which `E` is a synchronous one. */
export const r = (message: string): Step => ({ step: { case: "reply", value: { message } } });
export const f = (id: string): Step => ({ step: { case: "forward", value: { id } } });
export const x = (message: string): Step => ({ step: { case: "fail", value: { message } } });
export const e = (id: string): Step => ({ step: { case: "effect", value: { id, synchronous: false } } });
export const E = (id: string): Step => ({ step: { case: "effect", value: { id, synchronous: true } } });

/** A message as the payload of a command or an answer. */
export function payload<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  const value = toBinary(schema, create(schema, init));
  return create(AnySchema, { typeUrl: `type.googleapis.com/${schema.typeName}`, value });
}

export function request(groups: Groups) {
  return { groups: groups.map((steps) => ({ steps: [...steps] })) };
}

/** The command of a call that is one message. */
export function command(name: string, groups: Groups): Command {
  return { ...opening(name), payload: payload(RequestSchema, request(groups)) };
}

/** The first command of a streamed input. */
export function opening(name: string): Command {
  return { serviceName: ActionTckModel.typeName, name };
}

/** A later command of a streamed input. */
export function following(groups: Groups): Command {
  return { payload: payload(RequestSchema, request(groups)) };
}

/** What the function should answer to steps, by the model's rules. */
export function answer(groups: Groups): Response {
  let response: Response["response"];
  const sideEffects = [];
  for (const { step } of groups.flat()) {
    if (step?.case === "reply") {
      response = { case: "reply", value: { payload: payload(ResponseSchema, { message: step.value.message! }) } };
    } else if (step?.case === "forward") {
      response = { case: "forward", value: { ...two(step.value.id!) } };
    } else if (step?.case === "fail") {
      response = { case: "failure", value: { description: step.value.message! } };
    } else if (step?.case === "effect") {
      sideEffects.push({ ...two(step.value.id!), synchronous: step.value.synchronous! });
    }
  }
  return response ? { response, sideEffects } : { sideEffects };
}

/** A call of the other action. */
export function two(id: string) {
  return {
    serviceName: "cloudstate.tck.model.action.ActionTwo",
    commandName: "Call",
    payload: payload(OtherRequestSchema, { id }),
  };
}

/** The command that a forward or an effect becomes. */
export function commandToTwo(id: string): Command {
  const { serviceName, commandName, payload } = two(id);
  return { serviceName, name: commandName, payload };
}

export const emptyReply: Response = { response: { case: "reply", value: { payload: payload(ResponseSchema, {}) } } };
