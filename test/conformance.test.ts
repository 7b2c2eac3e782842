import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import {
  type FunctionArena,
  openFunctionArena,
  openProxyArena,
  type ProxyArena,
  usualPatience,
} from "./conformance/arena.ts";
import { distortions, undistorted } from "./conformance/distortion.ts";
import { cases, judge } from "./conformance/suite.ts";

suite("conformance of the model function", () => {
  let arena: FunctionArena;
  before(async () => {
    arena = await openFunctionArena();
  });
  after(() => arena[Symbol.asyncDispose]());

  for (const one of cases.filter(({ half }) => half === "model")) {
    test(`${one.number} ${one.title}`, () => judge(one, arena.stage));
  }
});

suite("conformance of the proxy", () => {
  let arena: ProxyArena;
  before(async () => {
    arena = await openProxyArena();
  });
  after(() => arena[Symbol.asyncDispose]());

  const proxied = cases.filter(({ half }) => half === "proxy");
  for (const one of proxied) {
    test(`${one.number} ${one.title}`, () => judge(one, arena.stage));
  }

  for (const distortion of distortions) {
    test(`finds out a proxy that is wrong by ${distortion.title}`, async () => {
      const one = proxied.find(({ number }) => number === distortion.foundBy)!;
      arena.distort(distortion);
      arena.stage.patience = { ...usualPatience, answerMs: 600 };
      await assert.rejects(judge(one, arena.stage), distortion.shows);
      arena.distort(undistorted);
      arena.stage.patience = usualPatience;
      await judge(one, arena.stage);
    });
  }
});

test("the suite has every case of actions and CRDTs that is ours to have", () => {
  const numbers = (letter: string, from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, index) => `${letter}${(from + index).toString()}`);
  assert.deepEqual(
    cases.map(({ number }) => number),
    ["P2", ...numbers("A", 1, 42), ...numbers("C", 1, 86), "C88"],
  );
});
