import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Crdt,
  Flag,
  GCounter,
  GSet,
  LWWRegister,
  ORMap,
  ORSet,
  PNCounter,
  type RegisterClock,
  Vote,
} from "../../../lib/sdk/index.ts";
import {
  type LWWRegisterClock,
  RegisterClockType,
  type ORMapUpdate,
  type ORSetUpdate,
  type State,
  StateSchema,
  type Update,
} from "../gen/tck/crdt_pb.ts";

type StateInit = MessageInitShape<typeof StateSchema>;

/** The state as the model answers it: sets and maps sorted. */
export function stateOf(view: Crdt): StateInit {
  if (view instanceof GCounter) return { value: { case: "gcounter", value: { value: view.value } } };
  if (view instanceof PNCounter) return { value: { case: "pncounter", value: { value: view.value } } };
  if (view instanceof GSet) return { value: { case: "gset", value: { elements: sorted(view) } } };
  if (view instanceof ORSet) return { value: { case: "orset", value: { elements: sorted(view) } } };
  if (view instanceof LWWRegister) {
    return { value: { case: "lwwregister", value: { value: (view as LWWRegister<string>).value } } };
  }
  if (view instanceof Flag) return { value: { case: "flag", value: { value: view.value } } };
  if (view instanceof Vote) {
    const { selfVote, votesFor, totalVoters } = view;
    return { value: { case: "vote", value: { selfVote, votesFor, totalVoters } } };
  }
  const entries = Array.from(expect(ORMap, view) as ORMap<string, Crdt>, ([key, value]) => ({
    key,
    value: stateOf(value),
  }));
  entries.sort((left, right) => (left.key < right.key ? -1 : 1));
  return { value: { case: "ormap", value: { entries } } };
}

/** True when the model would answer `wanted` for this state. */
export function isState(view: Crdt, wanted: State): boolean {
  return equals(StateSchema, create(StateSchema, stateOf(view)), wanted);
}

/** Does one update; throws a TypeError when it is for another type. */
export function apply({ update }: Update, view: Crdt): void {
  switch (update.case) {
    case "gcounter":
      return expect(GCounter, view).increment(update.value.increment);
    case "pncounter":
      return expect(PNCounter, view).increment(update.value.change);
    case "gset":
      (expect(GSet, view) as GSet<string>).add(update.value.add);
      return;
    case "orset":
      return applyToSet(update.value, expect(ORSet, view) as ORSet<string>);
    case "lwwregister":
      return (expect(LWWRegister, view) as LWWRegister<string>).set(update.value.value, clockOf(update.value.clock));
    case "flag":
      return expect(Flag, view).enable();
    case "ormap":
      return applyToMap(update.value, expect(ORMap, view) as ORMap<string, Crdt>);
    case "vote":
      return expect(Vote, view).vote(update.value.selfVote);
    case undefined:
  }
}

function applyToSet({ action }: ORSetUpdate, set: ORSet<string>): void {
  if (action.case === "add") set.add(action.value);
  if (action.case === "remove") set.delete(action.value);
  if (action.case === "clear" && action.value) set.clear();
}

function applyToMap({ action }: ORMapUpdate, map: ORMap<string, Crdt>): void {
  if (action.case === "add") map.getOrCreate(action.value);
  if (action.case === "update" && action.value.update) apply(action.value.update, map.getOrCreate(action.value.key));
  if (action.case === "remove") map.delete(action.value);
  if (action.case === "clear" && action.value) map.clear();
}

function clockOf(clock: LWWRegisterClock | undefined): RegisterClock {
  const value = clock?.customClockValue ?? 0n;
  switch (clock?.clockType) {
    case RegisterClockType.REVERSE:
      return { type: "reverse" };
    case RegisterClockType.CUSTOM:
      return { type: "custom", value };
    case RegisterClockType.CUSTOM_AUTO_INCREMENT:
      return { type: "custom-auto-increment", value };
    default:
      return { type: "default" };
  }
}

function sorted(elements: Iterable<unknown>): string[] {
  return Array.from(elements, String).sort();
}

function expect<View extends Crdt>(type: new (...settings: never[]) => View, view: Crdt): View {
  if (view instanceof type) return view;
  throw new TypeError(`the update is for a ${type.name}, but the entity is a ${view.constructor.name}`);
}
