import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { MassaError } from "../lib/core/errors.ts";
import { createActionHandler } from "../lib/entities/action.ts";
import type { Waiter } from "../lib/entities/pressure.ts";
import type { FunctionStreamReceiver } from "../lib/user-function/user-function.ts";
import { ActionCommandSchema } from "../lib/wire/gen/cloudstate/action_pb.ts";
import { tableOf } from "./event-log-harness.ts";
import { playedFunction } from "./played-function.ts";

/** One call of an action whose method is as given, and the function's side of it. */
function opened(streams: { readonly streamedIn?: boolean; readonly streamedOut?: boolean }) {
  const written: Uint8Array[] = [];
  const watched = new Set<Waiter>();
  let fn: FunctionStreamReceiver | undefined;
  const userFunction = playedFunction((_path, receiver) => {
    fn = receiver;
    return {
      reached: true,
      write: (frame) => written.push(frame.slice(5)) > 0,
      end: () => undefined,
      cancel: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
    };
  });
  const handler = createActionHandler({
    userFunction,
    reportError: () => undefined,
    calls: { watch: (call) => void watched.add(call), forget: (call) => void watched.delete(call) },
  });
  const method = { ...tableOf({ name: "One" }).services.get("s.S")!.methods.get("One")!, ...streams };
  const command = {
    service: "s.S",
    method: "One",
    metadata: [{ key: "a", value: "call" }],
    payload: undefined,
    hops: 0,
  };
  const receiver = { element: () => undefined, drain: () => undefined, end: () => undefined, fail: () => undefined };
  return { call: handler.open(method, command, receiver), written, watched, fn: fn! };
}

suite("a call of an action", () => {
  test("that streams in opens with the metadata of the call, and each message has its own", () => {
    const { call, written } = opened({ streamedIn: true });
    const payload = { typeUrl: "t", value: Buffer.from("x") };
    call.send(payload);
    call.send(payload, [{ key: "ce-id", value: "1" }]);
    const seen = written.map((bytes) => {
      const { name, payload: sent, metadata } = fromBinary(ActionCommandSchema, bytes);
      return [name, sent?.typeUrl, metadata?.entries.map(({ key, value }) => `${key}=${String(value.value)}`).join()];
    });
    assert.deepEqual(seen, [
      ["One", undefined, "a=call"],
      ["", "t", undefined],
      ["", "t", "ce-id=1"],
    ]);
  });

  const ends: Readonly<Record<string, (parts: ReturnType<typeof opened>) => void>> = {
    answered: ({ fn }) => fn.message(new Uint8Array(0)),
    ended: ({ fn }) => fn.end(),
    failed: ({ fn }) => fn.fail(new MassaError("unavailable", "gone")),
    cancelled: ({ call }) => call.cancel(),
    "refused for what it was answered": ({ fn }) => fn.message(Buffer.from("ff", "hex")),
  };
  for (const [what, end] of Object.entries(ends)) {
    test(`is watched until it is ${what}`, () => {
      const parts = opened({ streamedOut: true });
      const [waiter] = parts.watched;
      assert.deepEqual([parts.watched.size, waiter?.load, waiter?.isServed], [1, 1, false]);
      end(parts);
      assert.deepEqual([parts.watched.size, waiter?.isServed], [0, true]);
    });
  }
});
