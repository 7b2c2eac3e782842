import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { action } from "../lib/sdk/index.ts";
import { Cluster } from "./cluster.ts";
import { ActionTckModel, ActionTwo, type ProcessGroupSchema } from "./conformance/gen/tck/action_pb.ts";
import { actionModel } from "./conformance/model/action.ts";

suite("a service that only another node hosts", () => {
  test("gets forwards and side effects of this one, whose node knows nothing of it; once that node is gone they fail", async () => {
    const heard: string[] = [];
    const other = action(ActionTwo, {
      call: ({ id }) => {
        heard.push(id);
        return {};
      },
    });
    await using cluster = await Cluster.open([[actionModel], [other]]);
    const { caller } = cluster.node(0);
    const process = (steps: Steps) => caller.unary(ActionTckModel.method.processUnary, { groups: [{ steps }] });
    // The nodes may still be getting to know each other.
    while (
      await process([{ step: { case: "forward", value: { id: "forwarded" } } }]).then(
        () => false,
        () => true,
      )
    ) {
      await new Promise((tick) => setTimeout(tick, 20));
    }
    assert.deepEqual(heard, ["forwarded"]);
    const answer = await process([
      { step: { case: "effect", value: { id: "effect", synchronous: true } } },
      { step: { case: "reply", value: { message: "after it" } } },
    ]);
    assert.equal(answer.message, "after it");
    assert.deepEqual(heard, ["forwarded", "effect"]);
    await cluster.node(1).kill();
    await assert.rejects(process([{ step: { case: "forward", value: { id: "lost" } } }]));
    assert.deepEqual(heard, ["forwarded", "effect"]);
  });
});

type Steps = NonNullable<MessageInitShape<typeof ProcessGroupSchema>["steps"]>;
