import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { trailersOf } from "../lib/frontend/grpc-text.ts";

const encoded = (text: string) => String(trailersOf(new MassaError("failed", text))["grpc-message"]);

suite("the message of a failed call in its trailers", () => {
  for (const [text, wanted] of [
    ["no tea left", "no tea left"],
    [" at the ends ", "%20at the ends%20"],
    ["100 %\n", "100 %25%0A"],
    ["Å 日 😀", "%C3%85 %E6%97%A5 %F0%9F%98%80"],
    ["", ""],
  ] as const) {
    test(`${JSON.stringify(text)} is ${wanted}`, () => assert.equal(encoded(text), wanted));
  }

  test("is whole up to 6 KiB as it travels, and cut between characters beyond", () => {
    for (const character of ["a", "é", "日", "😀"]) {
      const bytes = encoded(character).length;
      const fitting = Math.floor(6_144 / bytes);
      assert.equal(decodeURIComponent(encoded(character.repeat(fitting))), character.repeat(fitting));
      const cut = decodeURIComponent(encoded(character.repeat(fitting + 1)));
      assert.ok(cut.endsWith("…") && character.repeat(fitting).startsWith(cut.slice(0, -1)), cut.slice(-20));
      assert.ok(encoded(character.repeat(20_000)).length > 6_144 - 2 * bytes - 9);
    }
  });
});
