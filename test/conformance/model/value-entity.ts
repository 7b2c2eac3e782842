import { type Answer, Failure, forward, type ValueContext, valueEntity } from "../../../lib/sdk/index.ts";
import {
  PersistedSchema,
  type Request,
  ValueEntityConfigured,
  ValueEntityTckModel,
  ValueEntityTwo,
} from "../gen/tck/value_entity_pb.ts";

const state = { state: PersistedSchema, initial: () => ({}) };

/** Does what its requests ask for, in order. */
export const valueModel = valueEntity(ValueEntityTckModel, {
  ...state,
  persistenceId: "value-entity-tck-model",
  handlers: { process: (request, context) => process(request, context) },
});

/** The target of forwards and effects. */
export const valueTwo = valueEntity(ValueEntityTwo, {
  ...state,
  persistenceId: "value-entity-tck-model-two",
  handlers: { call: () => ({}) },
});

/** Passivates soon. */
export const valueConfigured = valueEntity(ValueEntityConfigured, {
  ...state,
  persistenceId: "value-entity-configured",
  passivationTimeoutMs: 100,
  handlers: { call: () => ({}) },
});

function process(
  { actions }: Request,
  context: ValueContext<typeof PersistedSchema>,
): Answer<typeof ValueEntityTckModel.method.process> {
  let answer: Answer<typeof ValueEntityTckModel.method.process>;
  for (const { action } of actions) {
    switch (action.case) {
      case "update":
        context.update({ value: action.value.value });
        break;
      case "delete":
        context.delete();
        break;
      case "forward":
        answer = forward(ValueEntityTwo.method.call, { id: action.value.id });
        break;
      case "effect":
        context.effect(ValueEntityTwo.method.call, { id: action.value.id }, { synchronous: action.value.synchronous });
        break;
      case "fail":
        throw new Failure(action.value.message);
      case undefined:
        break;
    }
  }
  return answer ?? { message: context.state.value };
}
