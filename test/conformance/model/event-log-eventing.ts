import { EmptySchema } from "@bufbuild/protobuf/wkt";
import {
  action,
  type ActionContext,
  type Answer,
  eventSourcedEntity,
  Failure,
  forward,
  json,
} from "../../../lib/sdk/index.ts";
import {
  EventLogSubscriberModel,
  EventOneSchema,
  EventSourcedEntityOne,
  EventSourcedEntityTwo,
  EventTwoSchema,
  type ProcessStep,
} from "../gen/tck/event_log_eventing_pb.ts";

const jsonEvent = json<{ readonly message: string }>("JsonEvent");

/** Answers events, or forwards them, under the id of the entity that they are of. */
export const subscriber = action(EventLogSubscriberModel, {
  processEventOne: ({ step }, context) => step && respond(step, context),
  async *processEventTwo({ step: steps }, context) {
    for (const step of steps) yield respond(step, context);
  },
  effect: ({ id, message }) => ({ id, message }),
  processAnyEvent: (event, context) => ({ id: subjectOf(context), message: jsonEvent.fromAny(event).message }),
});

const nothing = { state: EmptySchema, initial: () => ({}), apply: () => ({}), snapshotEvery: 0 } as const;

/** Emits the message that it is given. */
export const entityOne = eventSourcedEntity(EventSourcedEntityOne, {
  ...nothing,
  persistenceId: "eventlogeventing-one",
  events: [EventOneSchema, EventTwoSchema],
  handlers: {
    emitEvent({ event }, { emit }) {
      if (event.case === "eventOne") emit(EventOneSchema, event.value);
      if (event.case === "eventTwo") emit(EventTwoSchema, event.value);
      return {};
    },
  },
});

/** Emits a JSON document. */
export const entityTwo = eventSourcedEntity(EventSourcedEntityTwo, {
  ...nothing,
  persistenceId: "eventlogeventing-two",
  events: [jsonEvent],
  handlers: {
    emitJsonEvent({ message }, { emit }) {
      emit(jsonEvent, { message });
      return {};
    },
  },
});

function respond({ step }: ProcessStep, context: ActionContext): Answer<typeof EventLogSubscriberModel.method.effect> {
  const id = subjectOf(context);
  switch (step.case) {
    case "reply":
      return { id, message: step.value.message };
    case "forward":
      return forward(EventLogSubscriberModel.method.effect, { id, message: step.value.message });
    case undefined:
      return undefined;
  }
}

function subjectOf({ metadata }: ActionContext): string {
  const subject = metadata.get("ce-subject");
  if (subject === undefined) throw new Failure("the event has no subject");
  return subject;
}
