import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  type Crdt,
  type CrdtType,
  flag,
  type GCounter,
  gCounter,
  type GSet,
  gSet,
  type LWWRegister,
  lwwRegister,
  type ORMap,
  orMap,
  type ORSet,
  orSet,
  type PNCounter,
  pnCounter,
  text,
  vote,
} from "../lib/sdk/index.ts";
import { CrdtDeltaSchema } from "../lib/wire/gen/cloudstate/crdt_pb.ts";
import { stateOf } from "./conformance/model/crdt-state.ts";
import { plain } from "./conformance/plain.ts";

/** One thing that a function does to its state. */
type Operation<View> = (view: View) => void;

const names = fc.constantFrom("", "a", "b", "c");
const amounts = fc.bigInt({ min: -9n, max: 9n });

const onCounter: fc.Arbitrary<Operation<PNCounter>> = amounts.map((by) => (view) => view.increment(by));
const onSet: fc.Arbitrary<Operation<ORSet<string>>> = fc.oneof(
  names.map(
    (name): Operation<ORSet<string>> =>
      (view) =>
        view.add(name),
  ),
  names.map(
    (name): Operation<ORSet<string>> =>
      (view) =>
        view.delete(name),
  ),
  fc.constant<Operation<ORSet<string>>>((view) => view.clear()),
);
const onMap = <Inner extends Crdt>(
  inner: fc.Arbitrary<Operation<Inner>>,
): fc.Arbitrary<Operation<ORMap<string, Inner>>> =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(names, inner).map(
        ([name, operate]): Operation<ORMap<string, Inner>> =>
          (view) =>
            operate(view.getOrCreate(name)),
      ),
    },
    {
      weight: 1,
      arbitrary: names.map(
        (name): Operation<ORMap<string, Inner>> =>
          (view) =>
            view.getOrCreate(name),
      ),
    },
    {
      weight: 2,
      arbitrary: names.map(
        (name): Operation<ORMap<string, Inner>> =>
          (view) =>
            view.delete(name),
      ),
    },
    { weight: 1, arbitrary: fc.constant<Operation<ORMap<string, Inner>>>((view) => view.clear()) },
  );

suite("the net delta of a command", () => {
  obeys<GCounter>(
    "GCounter",
    gCounter,
    fc.bigInt({ min: 0n, max: 9n }).map((by) => (view) => view.increment(by)),
  );
  obeys("PNCounter", pnCounter, onCounter);
  obeys<GSet<string>>(
    "GSet",
    gSet(text),
    names.map((name) => (view) => view.add(name)),
  );
  obeys("ORSet", orSet(text), onSet);
  obeys<LWWRegister<string>>(
    "LWWRegister",
    lwwRegister(text, "x"),
    names.map((name) => (view) => view.set(name)),
  );
  obeys(
    "Flag",
    flag,
    fc.constant((view) => view.enable()),
  );
  obeys("ORMap of ORSet", orMap(text, orSet(text)), onMap(onSet));
  obeys("ORMap of ORMap of PNCounter", orMap(text, orMap(text, pnCounter)), onMap(onMap(onCounter)));

  test("Vote: only the own vote is told, and only when it is another one than before", () => {
    const view = vote.create();
    view.vote(true);
    view.vote(false);
    assert.equal(view.pending(), undefined);
    view.vote(true);
    assert.deepEqual(view.pending()?.delta.value, { ...view.nothing().delta.value, selfVote: true });
    view.rollback();
    assert.deepEqual([view.selfVote, view.votesFor, view.totalVoters], [false, 0, 1]);
  });
});

suite("a view", () => {
  test("refuses a delta of another type by name", () => {
    assert.throws(() => pnCounter.create().receive(gCounter.create().nothing()), /a gcounter came for a pncounter/);
  });

  test("refuses to count a GCounter down", () => {
    assert.throws(() => gCounter.create().increment(-1), /cannot be incremented by -1/);
  });

  test("takes elements for what their bytes are, not for what they mean", () => {
    // Another SDK writes the empty string explicitly.
    const set = orSet(text).create();
    const other = { ...text.toAny(""), value: Uint8Array.of(0x0a, 0x00) };
    set.receive({ ...set.nothing(), delta: { case: "orset", value: { ...orSetDelta(set), added: [other] } } });
    assert.deepEqual([[...set], set.has("")], [[""], false]);
    set.add("");
    set.commit();
    set.delete("");
    const delta = set.pending()?.delta;
    assert.equal(delta?.case, "orset");
    assert.deepEqual([delta.value.removed.map(({ value }) => value.length), set.size], [[0], 1]);
  });

  test("forgets what was changed in a value that its map let go", () => {
    const map = orMap(text, pnCounter).create();
    const counter = map.getOrCreate("a");
    map.commit();
    map.delete("a");
    counter.increment(5);
    const delta = map.pending()?.delta;
    assert.equal(delta?.case, "ormap");
    assert.deepEqual([delta.value.removed.length, delta.value.updated.length], [1, 0]);
    map.commit();

    // The same when another node has put a new value at its key.
    const added = [mapEntry(map, "a")];
    map.receive({ ...map.nothing(), delta: { case: "ormap", value: { ...mapDelta(map), added } } });
    counter.increment(5);
    assert.equal(map.pending(), undefined);
    assert.equal(map.get("a")?.value, 0n);
  });
});

function mapDelta(map: ORMap<string, PNCounter>) {
  const { delta } = map.nothing();
  assert.equal(delta.case, "ormap");
  return delta.value;
}

/** What is told of a new counter at `key`. */
function mapEntry(map: ORMap<string, PNCounter>, key: string) {
  map.getOrCreate(key);
  const delta = map.pending()?.delta;
  map.rollback();
  assert.equal(delta?.case, "ormap");
  return delta.value.added[0]!;
}

function orSetDelta(set: ORSet<string>) {
  const { delta } = set.nothing();
  assert.equal(delta.case, "orset");
  return delta.value;
}

/**
 * What a proxy is told of a command makes, elsewhere, the very state that the function has; a command that is undone leaves no trace;
 * one that changes nothing says nothing.
 */
function obeys<View extends Crdt>(name: string, type: CrdtType<View>, operation: fc.Arbitrary<Operation<View>>): void {
  const commands = fc.array(fc.record({ operations: fc.array(operation, { maxLength: 6 }), undone: fc.boolean() }), {
    maxLength: 8,
  });
  test(`${name}: told elsewhere, gives the same state`, () => {
    fc.assert(
      fc.property(commands, (history) => {
        const [here, there] = [type.create(), type.create()];
        for (const { operations, undone } of history) {
          for (const operate of operations) operate(here);
          if (undone) {
            here.rollback();
          } else {
            const delta = here.pending();
            if (delta) there.receive(fromBinary(CrdtDeltaSchema, toBinary(CrdtDeltaSchema, delta)));
            here.commit();
            assert.equal(here.pending(), undefined);
          }
          assert.deepEqual(plain(stateOf(here)), plain(stateOf(there)));
        }
      }),
    );
  });
}
