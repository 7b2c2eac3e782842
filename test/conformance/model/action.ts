import { action, type ActionContext, type Answer, Failure, forward } from "../../../lib/sdk/index.ts";
import { ActionTckModel, ActionTwo, type ProcessGroup } from "../gen/tck/action_pb.ts";

/** Does what its requests ask for. */
export const actionModel = action(ActionTckModel, {
  processUnary: (request, context) => respond(request.groups, context),

  async processStreamedIn(requests, context) {
    let answer: Answer<typeof ActionTckModel.method.processStreamedIn>;
    for await (const request of requests) answer = respond(request.groups, context) ?? answer;
    return answer;
  },

  async *processStreamedOut(request, context) {
    for (const group of request.groups) yield respond([group], context);
  },

  async *processStreamed(requests, context) {
    for await (const request of requests) {
      for (const group of request.groups) yield respond([group], context);
    }
  },
});

/** The target of forwards and effects. */
export const actionTwo = action(ActionTwo, { call: () => ({}) });

function respond(
  groups: readonly ProcessGroup[],
  context: ActionContext,
): Answer<typeof ActionTckModel.method.processUnary> {
  let answer: Answer<typeof ActionTckModel.method.processUnary>;
  for (const { step } of groups.flatMap((group) => group.steps)) {
    switch (step.case) {
      case "reply":
        answer = { message: step.value.message };
        break;
      case "forward":
        answer = forward(ActionTwo.method.call, { id: step.value.id });
        break;
      case "fail":
        answer = new Failure(step.value.message);
        break;
      case "effect":
        context.effect(ActionTwo.method.call, { id: step.value.id }, { synchronous: step.value.synchronous });
        break;
      case undefined:
        break;
    }
  }
  return answer;
}
