import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../lib/core/errors.ts";
import { silentLogger } from "../lib/core/log.ts";
import { silentTelemetry } from "../lib/core/telemetry.ts";
import type { Method, Service, ServiceTable } from "../lib/discovery/service-table.ts";
import type { Call, Caller, Command, Element, ElementReceiver } from "../lib/routing/command.ts";
import { createRouter, type OtherNodes } from "../lib/routing/router.ts";
import type { AnyValue, SideEffect } from "../lib/wire/protocol.ts";

const text = (value: string): AnyValue => ({ typeUrl: "t/Out", value: Buffer.from(value) });
const reply = (value: string): Element => ({
  action: { type: "reply", payload: text(value), metadata: [] },
  effects: [],
});
const target = (commandName: string) => ({ serviceName: "s.S", commandName, payload: text("in"), metadata: [] });
const effect = (commandName: string, synchronous: boolean): SideEffect => ({ ...target(commandName), synchronous });
const forward = (commandName: string): Element => ({
  action: { type: "forward", ...target(commandName) },
  effects: [],
});

/** A router over one service whose methods the test answers by hand; `log` holds what happened, in order. */
function world(methods: readonly string[], options: { effectsMax?: number; others?: OtherNodes } = {}) {
  const log: string[] = [];
  const reports: string[] = [];
  const open = new Map<string, ElementReceiver>();
  const service: Service = { name: "s.S", entityType: "action", persistenceId: "", methods: new Map() };
  for (const name of methods) {
    const path = `/s.S/${name}`;
    const labels = { service: "s.S", method: name };
    const streams = { streamedIn: false, streamedOut: !name.startsWith("Unary") };
    const types = { inputType: "In", outputType: "Out", inputUrl: "t/In", outputUrl: "t/Out" };
    (service.methods as Map<string, Method>).set(name, {
      service,
      name,
      path,
      labels,
      ...types,
      ...streams,
      key: () => "",
    });
  }
  const router = createRouter({
    handlers: {
      action: {
        open(method, _command, receiver): Call {
          log.push(`open ${method.name}`);
          open.set(method.name, receiver);
          return {
            send: () => true,
            halfClose: () => undefined,
            cancel: () => void log.push(`cancel ${method.name}`),
            pause: () => void log.push(`pause ${method.name}`),
            resume: () => undefined,
          };
        },
      },
    },
    others: options.others ?? { host: () => false, open: () => assert.fail("no other node") },
    reportError: (message) => reports.push(message),
    log: silentLogger,
    telemetry: silentTelemetry,
    options: { hopsMax: 3, effectsMax: options.effectsMax ?? 10 },
  });
  router.setTable({ services: new Map([["s.S", service]]) } as Pick<ServiceTable, "services"> as ServiceTable);
  const caller: Caller = {
    reply: (payload) => void log.push(`reply ${Buffer.from(payload.value).toString()}`),
    end: () => void log.push("end"),
    fail: (error) => void log.push(`fail ${error.code} ${error.message}`),
    drain: () => undefined,
  };
  const command = (method: string, more: Partial<Command> = {}): Command => ({
    service: "s.S",
    method,
    metadata: [],
    payload: text("in"),
    hops: 0,
    ...more,
  });
  return { router, log, reports, caller, command, at: (name: string) => open.get(name)! };
}

suite("an answer", () => {
  test("runs effects in list order, awaits the synchronous ones to their end, and replies last", () => {
    const { router, log, caller, command, at } = world(["A", "E1", "E2", "E3"]);
    router.open(command("A"), caller);
    const effects = [effect("E1", false), effect("E2", true), effect("E3", false)];
    at("A").element({ ...reply("one"), effects });
    at("A").element(reply("two"));
    at("A").end();
    assert.deepEqual(log, ["open A", "open E1", "open E2"]);
    at("E2").element(reply("ignored"));
    assert.deepEqual(log, ["open A", "open E1", "open E2"]);
    at("E2").end();
    assert.deepEqual(log, ["open A", "open E1", "open E2", "open E3", "reply one", "reply two", "end"]);
  });

  test("runs any number of effects that are refused at once", () => {
    const { router, log, caller, command, at } = world(["A"]);
    router.open(command("A"), caller);
    const effects = Array.from({ length: 20_000 }, () => effect("Nowhere", true));
    at("A").element({ ...reply("one"), effects });
    assert.deepEqual(log, ["open A", "reply one"]);
  });

  test("fails with a single answer of the service once that has ended, and leaves its call alone", () => {
    const { router, log, caller, command, at } = world(["Unary"]);
    router.open(command("Unary"), caller);
    at("Unary").element({
      action: { type: "failure", commandId: 0, description: "no", restart: false },
      effects: [],
    });
    assert.deepEqual(log, ["open Unary"]);
    at("Unary").end();
    assert.deepEqual(log, ["open Unary", "fail failed no"]);
  });

  test("drains a forward before the next element", () => {
    const { router, log, caller, command, at } = world(["A", "F"]);
    router.open(command("A"), caller);
    at("A").element(forward("F"));
    at("A").element(reply("after"));
    at("A").end();
    at("F").element(reply("f1"));
    at("F").element(reply("f2"));
    assert.deepEqual(log, ["open A", "open F", "reply f1", "reply f2"]);
    at("F").end();
    assert.deepEqual(log.slice(4), ["reply after", "end"]);
  });

  test("ends with a failure of the function, cancels the service, and still runs the failure's effects", () => {
    const { router, log, caller, command, at } = world(["A", "E"]);
    router.open(command("A"), caller);
    at("A").element({
      action: { type: "failure", commandId: 0, description: "no", restart: false },
      effects: [effect("E", false)],
    });
    at("A").element(reply("late"));
    assert.deepEqual(log, ["open A", "open E", "fail failed no", "cancel A"]);
  });

  test("is not changed by an effect that fails, and reports one whose target is unknown", () => {
    const { router, log, reports, caller, command, at } = world(["A", "E"]);
    router.open(command("A"), caller);
    const lost: SideEffect = { ...effect("E", true), serviceName: "no.Such" };
    at("A").element({ ...reply("ok"), effects: [lost, effect("E", true)] });
    at("E").fail(new MassaError("unavailable", "gone"));
    at("A").end();
    assert.deepEqual(log, ["open A", "open E", "reply ok", "end"]);
    assert.deepEqual(reports, ["Service [no.Such] unknown\n  side-effect of s.S.A"]);
  });

  test("awaits effects that nobody waits for once too many of them run", () => {
    const { router, log, caller, command, at } = world(["A", "E", "F"], { effectsMax: 1 });
    router.open(command("A"), caller);
    at("A").element({ ...reply("ok"), effects: [effect("E", false), effect("F", false)] });
    assert.deepEqual(log, ["open A", "open E", "open F"]);
    at("F").end();
    assert.deepEqual(log.slice(3), ["reply ok"]);
  });

  test("pauses a service whose elements pile up behind a forward", () => {
    const { router, log, caller, command, at } = world(["A", "F"]);
    router.open(command("A"), caller);
    at("A").element(forward("F"));
    for (let i = 0; i < 16; i++) at("A").element(reply(`${i}`));
    assert.deepEqual(log, ["open A", "open F", "pause A"]);
  });

  test("tells a caller that has gone nothing more, and passes the cancellation on", () => {
    const { router, log, caller, command, at } = world(["A", "F"]);
    const call = router.open(command("A"), caller);
    at("A").element(forward("F"));
    call.cancel();
    at("F").element(reply("late"));
    at("F").end();
    assert.deepEqual(log, ["open A", "open F", "cancel A", "cancel F"]);
  });
});

suite("the router", () => {
  test("refuses a chain of forwards that is too long", () => {
    const { router, log, caller, command } = world(["A"]);
    router.open(command("A", { hops: 4 }), caller);
    assert.match(log.join(), /^fail failed more than 3 forwards/);
  });

  test("reports an unknown target with the calls that led to it, and fails with the protocol's text", () => {
    const { router, log, reports, caller, command } = world(["A"]);
    const parent = { reason: "side-effect of", service: "s.S", method: "B", parent: undefined } as const;
    const trace = { reason: "forwarded from", service: "s.S", method: "A", parent } as const;
    router.open(command("Nope", { trace, hops: 2 }), caller);
    assert.deepEqual(log, ["fail internal Error"]);
    assert.deepEqual(reports, [
      "Service [s.S] does not have a command named: [Nope]\n  forwarded from s.S.A\n  side-effect of s.S.B",
    ]);
  });

  test("sends a command for a service of another node there", () => {
    const sent: Command[] = [];
    const nothing: Call = { send: () => true, halfClose() {}, cancel() {}, pause() {}, resume() {} };
    const others: OtherNodes = {
      host: (name) => name === "o.Other",
      open: (command) => {
        sent.push(command);
        return nothing;
      },
    };
    const { router, caller, command } = world([], { others });
    router.open(command("M", { service: "o.Other" }), caller);
    assert.equal(sent[0]?.service, "o.Other");
  });

  test("warns once of a reply of another type, and delivers it", () => {
    const { router, log, reports, caller, command, at } = world(["A"]);
    router.open(command("A"), caller);
    const odd: Element = {
      action: { type: "reply", payload: { ...text("x"), typeUrl: "t/Odd" }, metadata: [] },
      effects: [],
    };
    at("A").element(odd);
    at("A").element(odd);
    assert.deepEqual(log, ["open A", "reply x", "reply x"]);
    assert.deepEqual(reports, ["Warning: s.S.A: Expected reply type_url to be [t/Out] but was [t/Odd]."]);
  });
});
