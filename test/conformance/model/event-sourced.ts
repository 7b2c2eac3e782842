import { type Answer, type EventSourcedContext, eventSourcedEntity, Failure, forward } from "../../../lib/sdk/index.ts";
import {
  EventSourcedConfigured,
  EventSourcedTckModel,
  EventSourcedTwo,
  type Persisted,
  PersistedSchema,
  type Request,
} from "../gen/tck/event_sourced_pb.ts";

/** The state is what the values of all events are one after the other. */
const persisted = {
  state: PersistedSchema,
  initial: () => ({}),
  events: [PersistedSchema],
  apply: (state: Persisted, event: Persisted) => ({ value: state.value + event.value }),
} as const;

/** Does what its requests ask for, in order. */
export const eventSourcedModel = eventSourcedEntity(EventSourcedTckModel, {
  ...persisted,
  persistenceId: "event-sourced-tck-model",
  snapshotEvery: 5,
  handlers: { process: (request, context) => process(request, context) },
});

/** The target of forwards and effects. */
export const eventSourcedTwo = eventSourcedEntity(EventSourcedTwo, {
  ...persisted,
  persistenceId: "event-sourced-two",
  handlers: { call: () => ({}) },
});

/** Passivates soon. */
export const eventSourcedConfigured = eventSourcedEntity(EventSourcedConfigured, {
  ...persisted,
  persistenceId: "event-sourced-configured",
  passivationTimeoutMs: 100,
  handlers: { call: () => ({}) },
});

function process(
  { actions }: Request,
  context: EventSourcedContext<typeof PersistedSchema, typeof PersistedSchema>,
): Answer<typeof EventSourcedTckModel.method.process> {
  let answer: Answer<typeof EventSourcedTckModel.method.process>;
  for (const { action } of actions) {
    switch (action.case) {
      case "emit":
        context.emit(PersistedSchema, { value: action.value.value });
        break;
      case "forward":
        answer = forward(EventSourcedTwo.method.call, { id: action.value.id });
        break;
      case "effect":
        context.effect(EventSourcedTwo.method.call, { id: action.value.id }, { synchronous: action.value.synchronous });
        break;
      case "fail":
        throw new Failure(action.value.message);
      case undefined:
        break;
    }
  }
  return answer ?? { message: context.state.value };
}
