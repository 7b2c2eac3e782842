import {
  type Answer,
  type CancelContext,
  type Crdt,
  type CrdtContext,
  crdtEntity,
  type CrdtType,
  Failure,
  flag,
  forward,
  gCounter,
  gSet,
  lwwRegister,
  orMap,
  orSet,
  pnCounter,
  text,
  vote,
  type WriteConsistency,
} from "../../../lib/sdk/index.ts";
import { CrdtConfigured, CrdtTckModel, CrdtTwo, type Update, UpdateWriteConsistency } from "../gen/tck/crdt_pb.ts";
import { apply, isState, stateOf } from "./crdt-state.ts";

/** The type of an entity or of a map's value: what its name begins with. */
function typeOf(name: string): CrdtType<Crdt> {
  const type = types[name.slice(0, name.indexOf("-"))];
  if (!type) throw new TypeError(`there is no CRDT type for ${name}`);
  return type;
}

const types: Readonly<Record<string, CrdtType<Crdt>>> = {
  GCounter: gCounter,
  PNCounter: pnCounter,
  GSet: gSet(text),
  ORSet: orSet(text),
  LWWRegister: lwwRegister(text, ""),
  Flag: flag,
  ORMap: orMap(text, typeOf),
  Vote: vote,
};

/** Does what its requests ask for. */
export const crdtModel = crdtEntity(CrdtTckModel, {
  state: typeOf,
  handlers: {
    process(request, context) {
      let answer: Answer<typeof CrdtTckModel.method.process>;
      for (const { action } of request.actions) {
        switch (action.case) {
          case "update":
            update(action.value, context);
            break;
          case "delete":
            context.delete();
            break;
          case "forward":
            answer = forward(CrdtTwo.method.call, { id: action.value.id });
            break;
          case "fail":
            throw new Failure(action.value.message);
          case "effect":
            context.effect(CrdtTwo.method.call, { id: action.value.id }, { synchronous: action.value.synchronous });
            break;
          case undefined:
            break;
        }
      }
      return answer ?? { state: stateOf(context.state) };
    },

    processStreamed(request, context) {
      const { endState, cancelUpdate, effects, initialUpdate, empty } = request;
      if (initialUpdate) update(initialUpdate, context);
      context.onChange((change) => {
        for (const { id, synchronous } of effects) change.effect(CrdtTwo.method.call, { id }, { synchronous });
        if (endState && isState(change.state, endState)) change.end();
        return empty ? undefined : { state: stateOf(change.state) };
      });
      context.onCancel((cancel) => {
        if (cancelUpdate) update(cancelUpdate, cancel);
      });
      return empty ? undefined : { state: stateOf(context.state) };
    },
  },
});

/** The target of forwards and effects. */
export const crdtTwo = crdtEntity(CrdtTwo, {
  state: typeOf,
  handlers: {
    call(request, context) {
      if (request.actions.some(({ action }) => action.case === "delete")) context.delete();
      return {};
    },
  },
});

/** Passivates soon. */
export const crdtConfigured = crdtEntity(CrdtConfigured, {
  state: gCounter,
  passivationTimeoutMs: 100,
  handlers: { call: () => ({}) },
});

function update(change: Update, context: CrdtContext<Crdt> | CancelContext<Crdt>): void {
  apply(change, context.state);
  context.writeConsistency = consistencies[change.writeConsistency] ?? "local";
}

const consistencies: Readonly<Record<number, WriteConsistency>> = {
  [UpdateWriteConsistency.MAJORITY]: "majority",
  [UpdateWriteConsistency.ALL]: "all",
};
