import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { createActionHandler } from "../lib/entities/action.ts";
import type { UserFunction } from "../lib/user-function/user-function.ts";
import { ActionCommandSchema } from "../lib/wire/gen/cloudstate/action_pb.ts";
import { tableOf } from "./event-log-harness.ts";

suite("the stream of an action", () => {
  test("opens with the metadata of the call, and each message has its own", () => {
    const written: Uint8Array[] = [];
    const stream = {
      reached: true,
      write: (frame: Uint8Array) => written.push(frame.slice(5)) > 0,
      end: () => undefined,
      cancel: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
    };
    const userFunction: UserFunction = {
      address: "the test",
      open: () => stream,
      unary: () => Promise.reject(new Error("not asked")),
      share: () => () => true,
      watch: () => () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    };
    const method = { ...tableOf({ name: "One" }).services.get("s.S")!.methods.get("One")!, streamedIn: true };
    const command = {
      service: "s.S",
      method: "One",
      metadata: [{ key: "a", value: "stream" }],
      payload: undefined,
      hops: 0,
    };
    const receiver = { element: () => undefined, drain: () => undefined, end: () => undefined, fail: () => undefined };
    const call = createActionHandler(userFunction, () => undefined).open(method, command, receiver);
    const payload = { typeUrl: "t", value: Buffer.from("x") };
    call.send(payload);
    call.send(payload, [{ key: "ce-id", value: "1" }]);
    const seen = written.map((bytes) => {
      const { name, payload: sent, metadata } = fromBinary(ActionCommandSchema, bytes);
      return [name, sent?.typeUrl, metadata?.entries.map(({ key, value }) => `${key}=${String(value.value)}`).join()];
    });
    assert.deepEqual(seen, [
      ["One", undefined, "a=stream"],
      ["", "t", undefined],
      ["", "t", "ce-id=1"],
    ]);
  });
});
