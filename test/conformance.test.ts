import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import {
  type FunctionArena,
  openFunctionArena,
  openProxyArena,
  type ProxyArena,
  usualPatience,
} from "./conformance/arena.ts";
import { distortions, undistorted } from "./conformance/distortion.ts";
import { storedDistortions } from "./conformance/distortion-stored.ts";
import { documented, documentPath } from "./conformance/document.ts";
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
  let starting: FunctionArena;
  before(async () => {
    arena = await openProxyArena();
    starting = await openFunctionArena();
  });
  after(async () => {
    await starting[Symbol.asyncDispose]();
    await arena[Symbol.asyncDispose]();
  });

  for (const one of cases.filter(({ half }) => half === "start")) {
    test(`${one.number} ${one.title}`, () => judge(one, starting.stage));
  }

  const proxied = cases.filter(({ half }) => half === "proxy");
  for (const one of proxied) {
    test(`${one.number} ${one.title}`, () => judge(one, arena.stage));
  }

  for (const distortion of [...distortions, ...storedDistortions]) {
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

test("the suite has every case, in the order of the numbers", () => {
  const numbers = (letter: string, from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, index) => `${letter}${(from + index).toString()}`);
  assert.deepEqual(
    cases.map(({ number }) => number),
    [
      ...numbers("P", 1, 2),
      ...numbers("A", 1, 43),
      ...numbers("V", 1, 24),
      ...numbers("E", 1, 26),
      ...numbers("C", 1, 88),
      ...numbers("G", 1, 3),
      ...numbers("X", 1, 46),
    ],
  );
});

test("docs/conformance.md lists every case, with what it shows and that it passed", () => {
  const page = readFileSync(documentPath, "utf8").split("\n");
  const wanted = documented(cases.map((one) => ({ one, result: "passed" }))).split("\n");
  const differing = wanted.filter((line, index) => line !== page[index]);
  assert.deepEqual([differing, page.length], [[], wanted.length], "run `npm run conformance -- --docs`");
});
