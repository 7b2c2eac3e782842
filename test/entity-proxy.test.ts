import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import type { Proxy } from "../lib/proxy.ts";
import {
  type EntityFunction,
  type EntityFunctionOptions,
  input,
  openEntityFunction,
  outputText,
} from "./entity-function.ts";
import { until } from "./eventing-harness.ts";
import { openTestProxy } from "./proxy-stage.ts";

const identity = (bytes: Buffer): Buffer => bytes;

/** A proxy on real sockets before a function of both kinds. */
class Staged implements AsyncDisposable {
  readonly function: EntityFunction;
  readonly #proxy: Proxy;
  readonly #client: Client;

  private constructor(served: EntityFunction, proxy: Proxy) {
    this.function = served;
    this.#proxy = proxy;
    this.#client = new Client(`127.0.0.1:${proxy.frontPort!}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  static async open(options: EntityFunctionOptions = {}, env: Readonly<Record<string, string>> = {}): Promise<Staged> {
    const served = await openEntityFunction(options);
    const proxy = await openTestProxy(served.port, env);
    await until(() => proxy.reasons.length === 0, "the proxy to be ready");
    return new Staged(served, proxy);
  }

  call(method: string, id: string, text = ""): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#client.makeUnaryRequest(
      `/t.${method}`,
      identity,
      identity,
      Buffer.from(input(id, text)),
      (error: ServiceError | null, value?: Buffer) => {
        if (error) reject(new Error(`${error.code} ${error.details}`));
        else resolve(outputText(value!));
      },
    );
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.#proxy[Symbol.asyncDispose]();
    await this.function[Symbol.asyncDispose]();
  }
}

suite("value and event-sourced entities behind a real proxy", () => {
  test("keep their state over failures, passivation and restarts, and reach each other by forwards", async () => {
    await using staged = await Staged.open({ passivationMs: 50 });
    const { seen, reports } = staged.function;
    assert.equal(await staged.call("Values/Set", "a", "one"), "one");
    await assert.rejects(staged.call("Values/Fail", "a"), { message: "2 no" });
    assert.equal(await staged.call("Values/Get", "a"), "one");
    assert.deepEqual(seen.splice(0), [
      "value a init -",
      "value a command 1 Set",
      "value a command 2 Fail",
      "value a command 3 Get",
    ]);
    for (const letter of ["1", "2", "3", "4", "5", "6"]) await staged.call("Events/Append", "b", letter);
    seen.splice(0);
    await assert.rejects(staged.call("Events/AppendThenFail", "b", "x"), { message: "2 no" });
    await until(() => seen.includes("events b init 5 12345"), "the replay of all events");
    assert.equal(await staged.call("Events/Append", "b", "7"), "1234567");
    assert.deepEqual(seen.splice(0), [
      "events b command 7 AppendThenFail after 6",
      "events b init 5 12345",
      "events b command 1 Append after 6",
    ]);
    await until(() => staged.function.openStreams === 0, "passivation");
    assert.equal(await staged.call("Events/Copy", "b"), "1234567");
    assert.equal(await staged.call("Values/Get", "b"), "1234567");
    assert.equal(await staged.call("Values/Get", "a"), "one");
    assert.equal(await staged.call("Values/Delete", "a"), "");
    await until(() => staged.function.openStreams === 0, "passivation");
    assert.equal(await staged.call("Values/Get", "a"), "");
    assert.deepEqual(reports, []);
  });

  test("carry out the commands of one entity one after another, in the order of their coming", async () => {
    await using staged = await Staged.open();
    const letters = Array.from({ length: 200 }, (_, at) => String.fromCharCode(97 + (at % 26)));
    const answers = await Promise.all(letters.map((letter) => staged.call("Events/Append", "a", letter)));
    assert.deepEqual(
      answers,
      letters.map((_, at) => letters.slice(0, at + 1).join("")),
    );
  });

  test("are all answered within ten seconds, though the function serves two streams at a time and does not say so", async () => {
    await using staged = await Staged.open({ workers: 2 });
    const startedAt = performance.now();
    const ids = Array.from({ length: 50 }, (_, at) => `${at}`);
    await Promise.all([
      ...ids.map((id) => staged.call("Values/Set", id, id)),
      ...ids.map((id) => staged.call("Events/Append", id, id)),
    ]);
    const tookMs = performance.now() - startedAt;
    assert(tookMs < 10_000, `it took ${Math.round(tookMs)} ms`);
  });

  test("share the streams of a function that caps them in its settings", async () => {
    await using staged = await Staged.open({ streamsMax: 4 }, { MASSA_USER_FUNCTION_SESSIONS: "1" });
    const ids = Array.from({ length: 20 }, (_, at) => `${at}`);
    assert.deepEqual(await Promise.all(ids.map((id) => staged.call("Values/Set", id, id))), ids);
  });

  test("give up idle streams above entities.maxActive, of whatever kind", async () => {
    await using staged = await Staged.open({}, { MASSA_ENTITIES_MAX_ACTIVE: "3" });
    for (let at = 0; at < 12; at++) {
      await staged.call(at % 2 === 0 ? "Values/Set" : "Events/Append", `${at}`, "x");
      assert(staged.function.openStreams <= 4, `${staged.function.openStreams} streams are open`);
    }
  });
});
