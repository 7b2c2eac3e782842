import { action, crdtEntity, pnCounter, reply } from "../../../lib/sdk/index.ts";
import { Extra, SharedLeft, SharedRight } from "../gen/massa/extra_pb.ts";

/** Answers what it is asked. */
export const extra = action(Extra, {
  look: (thing) => thing,
  tags: (thing) => thing,
  download: ({ name }) => ({ contentType: "text/x-name", data: Buffer.from(name) }),
  header: ({ name }, { metadata }) => reply({ name: metadata.get(name) ?? "" }, { "x-answer": `to ${name}` }),
});

const shared = { state: pnCounter, persistenceId: "massa-conformance-shared" } as const;

/** Counts, together with the other one. */
export const sharedLeft = crdtEntity(SharedLeft, {
  ...shared,
  handlers: {
    add({ amount }, { state }) {
      state.increment(amount);
      return { value: state.value };
    },
    remove(_, context) {
      context.delete();
      return { value: context.state.value };
    },
  },
});

/** Counts, together with the other one. */
export const sharedRight = crdtEntity(SharedRight, {
  ...shared,
  handlers: {
    add({ amount }, { state }) {
      state.increment(amount);
      return { value: state.value };
    },
  },
});
