import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, type MessageInitShape, setExtension, toBinary } from "@bufbuild/protobuf";
import { FieldOptionsSchema, type FileDescriptorProtoSchema, MethodOptionsSchema } from "@bufbuild/protobuf/wkt";
import { WireType } from "@bufbuild/protobuf/wire";
import { buildServiceTable, type Support } from "../lib/discovery/build-table.ts";
import type { Service } from "../lib/discovery/service-table.ts";
import { entity_key } from "../lib/wire/gen/cloudstate/entity_key_pb.ts";
import type { EntitySpec } from "../lib/wire/gen/cloudstate/entity_pb.ts";
import { eventing, EventingSchema } from "../lib/wire/gen/cloudstate/eventing_pb.ts";
import { legacy_entity_key } from "../lib/wire/gen/cloudstate/legacy_entity_key_pb.ts";
import { file_tck_action } from "./conformance/gen/tck/action_pb.ts";
import { file_tck_crdt, RequestSchema } from "./conformance/gen/tck/crdt_pb.ts";
import { file_tck_event_log_eventing } from "./conformance/gen/tck/event_log_eventing_pb.ts";
import { file_tck_event_sourced } from "./conformance/gen/tck/event_sourced_pb.ts";
import { file_tck_value_entity } from "./conformance/gen/tck/value_entity_pb.ts";
import { allSupported, fileOf, skeleton, specOf, textField, withImports } from "./discovery-harness.ts";

function accepted(spec: EntitySpec, support: Support = allSupported): ReadonlyMap<string, Service> {
  const outcome = buildServiceTable(spec, support);
  assert(outcome.type === "table", JSON.stringify(outcome));
  return outcome.table.services;
}

function rejection(spec: EntitySpec, support: Support = allSupported): string {
  const outcome = buildServiceTable(spec, support);
  assert(outcome.type === "rejected", outcome.type);
  return outcome.message;
}

/** A file whose message M has a key, so that entities of all kinds could be served. */
function keyed(
  name: string,
  methods: readonly string[],
  more: MessageInitShape<typeof FileDescriptorProtoSchema> = {},
) {
  const options = create(FieldOptionsSchema);
  setExtension(options, entity_key, true);
  const messageType = [{ name: "M", field: [{ ...textField, name: "key", number: 1, options }] }];
  return fileOf(name, { methods, messageType, dependency: ["cloudstate/entity_key.proto"], ...more });
}

suite("a table of services", () => {
  test("holds the model services with all that serving them needs", () => {
    const files = withImports(file_tck_action, file_tck_crdt, file_tck_value_entity, file_tck_event_sourced);
    const timeout = { passivationStrategy: { strategy: { case: "timeout" as const, value: { timeout: 100n } } } };
    const services = accepted(
      specOf(files, [
        ["action", "cloudstate.tck.model.action.ActionTckModel"],
        ["action", "cloudstate.tck.model.action.ActionTwo"],
        ["crdt", "cloudstate.tck.model.crdt.CrdtTckModel"],
        ["crdt", "cloudstate.tck.model.crdt.CrdtConfigured", timeout],
        ["value", "cloudstate.tck.model.valueentity.ValueEntityTckModel"],
        ["event-sourced", "cloudstate.tck.model.EventSourcedTckModel"],
      ]),
    );
    assert.equal(services.size, 6);
    assert.equal(services.get("cloudstate.tck.model.crdt.CrdtConfigured")?.passivationMs, 100);
    const action = services.get("cloudstate.tck.model.action.ActionTckModel")!;
    assert.equal(action.passivationMs, undefined);
    assert.deepEqual(
      Array.from(action.methods.values(), ({ name, streamedIn, streamedOut }) => [name, streamedIn, streamedOut]),
      [
        ["ProcessUnary", false, false],
        ["ProcessStreamedIn", true, false],
        ["ProcessStreamedOut", false, true],
        ["ProcessStreamed", true, true],
      ],
    );
    const crdt = services.get("cloudstate.tck.model.crdt.CrdtTckModel")!;
    const { service, key, http, ...process } = crdt.methods.get("Process")!;
    assert.equal(service, crdt);
    assert.equal(crdt.persistenceId, "things");
    assert.deepEqual(process, {
      name: "Process",
      path: "/cloudstate.tck.model.crdt.CrdtTckModel/Process",
      labels: { service: "cloudstate.tck.model.crdt.CrdtTckModel", method: "Process" },
      inputType: "cloudstate.tck.model.crdt.Request",
      outputType: "cloudstate.tck.model.crdt.Response",
      inputUrl: "type.googleapis.com/cloudstate.tck.model.crdt.Request",
      outputUrl: "type.googleapis.com/cloudstate.tck.model.crdt.Response",
      streamedIn: false,
      streamedOut: false,
    });
    assert.equal(key(toBinary(RequestSchema, create(RequestSchema, { id: "GCounter-1" }))), "GCounter-1");
    assert.deepEqual(
      http?.map(({ rule }) => rule),
      ['post: "/tck/model/crdt/{id}" body: "*"'],
    );
  });

  test("gives a stateful service without a persistence id one of its own", () => {
    const spec = specOf([keyed("a.proto", ["Get"])], [["crdt", "a_proto.S", { persistenceId: "" }]]);
    assert.equal(accepted(spec).get("a_proto.S")?.persistenceId, "a_proto.S");
  });

  test("reads keys by the older number too, several in order of declaration", () => {
    const old = create(FieldOptionsSchema);
    setExtension(old, legacy_entity_key, true);
    const off = create(FieldOptionsSchema);
    setExtension(off, entity_key, false);
    const messageType = [
      {
        name: "M",
        field: [
          { ...textField, name: "second", number: 2, options: old },
          { ...textField, name: "other", number: 3, options: off },
          { ...textField, name: "first", number: 1, options: old },
        ],
      },
    ];
    const file = fileOf("a.proto", {
      methods: ["Get"],
      messageType,
      dependency: ["cloudstate/legacy_entity_key.proto"],
    });
    const method = accepted(specOf([file], [["crdt", "a_proto.S"]]))
      .get("a_proto.S")!
      .methods.get("Get")!;
    assert.equal(method.key(Buffer.from("0a0131120132", "hex")), "2-1");
  });
});

suite("a function is rejected", () => {
  const action = [keyed("a.proto", ["Get"])];
  const entity = [["action", "a_proto.S"]] as const;

  test("for another protocol version, unless the check is off", () => {
    for (const version of [
      [0, 1],
      [0, 3],
      [1, 2],
    ] as const) {
      const spec = specOf(action, entity, version);
      assert.equal(rejection(spec), `Incompatible protocol version ${version.join(".")}, only 0.2 is supported`);
      accepted(spec, { ...allSupported, compatibilityCheck: false });
    }
    const unset = specOf(action, entity);
    delete unset.serviceInfo;
    assert.equal(rejection(unset), "Incompatible protocol version 0.0, only 0.2 is supported");
    const garbage = specOf(Buffer.from("garbage"), entity, [0, 1]);
    assert.match(rejection(garbage), /^Incompatible/, "the version is looked at first");
  });

  test("for naming no entities", () => {
    assert.equal(rejection(specOf(action, [])), "No entities were reported by the discover call!");
    const cyclic = [fileOf("c.proto", { dependency: ["c.proto"] })];
    assert.match(rejection(specOf(cyclic, [])), /^Circular/, "the files are looked at before");
  });

  test("for a service that no file has", () => {
    assert.equal(rejection(specOf(action, [["action", "a_proto.T"]])), "Service [a_proto.T] not found in descriptors!");
    assert.equal(rejection(specOf(action, [["action", "a_proto.M"]])), "Service [a_proto.M] not found in descriptors!");
    assert.equal(rejection(specOf(action, [...entity, ...entity])), "Service [a_proto.S] is reported more than once");
  });

  test("for a kind that is not served here", () => {
    const types = "Supported types are cloudstate.action.ActionProtocol,cloudstate.crdt.Crdt";
    assert.equal(
      rejection(specOf(action, [["value", "a_proto.S"]]), skeleton),
      `Service [a_proto.S] has declared an unsupported entity type [cloudstate.valueentity.ValueEntity]. ${types}`,
    );
    assert.equal(
      rejection(specOf(action, [["other", "a_proto.S"]]), skeleton),
      `Service [a_proto.S] has declared an unsupported entity type [cloudstate.function.StatelessFunction]. ${types}`,
    );
    assert.match(rejection(specOf(action, [["event-sourced", "a_proto.S"]]), skeleton), /\[a_proto\.S\].*journal/);
  });

  const kinds = {
    "event-sourced": "Event sourced entities",
    value: "Value based entities",
    crdt: "CRDT entities",
  } as const;
  for (const [kind, name] of Object.entries(kinds) as [keyof typeof kinds, string][]) {
    const of = (file: ReturnType<typeof keyed>) => specOf([file], [[kind, "a_proto.S"]]);

    test(`for streamed methods of ${name}`, () => {
      const file = keyed("a.proto", ["Get", "In<", "Out>", "Both<>"]);
      const listed = kind === "crdt" ? "In,Both" : "In,Out,Both";
      const what = kind === "crdt" ? "streaming in from the client" : "streamed methods";
      assert.equal(
        rejection(of(file)),
        `${name} do not support ${what}, but a_proto.S has the following streamed methods: ${listed}`,
      );
      if (kind === "crdt") accepted(of(keyed("a.proto", ["Out>"])));
    });

    test(`for methods of ${name} without a key`, () => {
      assert.equal(
        rejection(of(fileOf("a.proto", { methods: ["Get", "Set"] }))),
        `${name} do not support methods whose parameters do not have at least one field marked as entity_key, ` +
          "but a_proto.S has the following methods without keys: Get,Set",
      );
      accepted(of(keyed("a.proto", ["Get"])));
    });
  }

  test("for a key that is a list, unless the service is an action", () => {
    const options = create(FieldOptionsSchema);
    setExtension(options, entity_key, true);
    const messageType = [{ name: "M", field: [{ ...textField, name: "keys", number: 1, label: 3, options }] }];
    const files = [keyed("a.proto", ["Get"], { messageType })];
    assert.match(rejection(specOf(files, [["crdt", "a_proto.S"]])), /^Field \[a_proto\.M\.keys\] .* is a list/);
    accepted(specOf(files, entity));
  });
});

test("options whose bytes are no message of their type are a rejection", () => {
  const options = create(MethodOptionsSchema);
  options.$unknown = [{ no: 1081, wireType: WireType.LengthDelimited, data: Buffer.from([2, 0x0a, 0x7f]) }];
  const service = [{ name: "S", method: [{ name: "On", inputType: ".a_proto.M", outputType: ".a_proto.M", options }] }];
  const spec = specOf([fileOf("a.proto", { service })], [["action", "a_proto.S"]]);
  assert.match(rejection(spec), /^The descriptor set contradicts itself: /);
});

suite("eventing declarations", () => {
  type Declaration = MessageInitShape<typeof EventingSchema>;
  const declaring = (...declared: readonly Declaration[]) => {
    const method = declared.map((declaration, index) => {
      const options = create(MethodOptionsSchema);
      setExtension(options, eventing, create(EventingSchema, declaration));
      return { name: `On${index}`, inputType: ".a_proto.M", outputType: ".a_proto.M", options };
    });
    const dependency = ["cloudstate/eventing.proto"];
    return specOf([fileOf("a.proto", { dependency, service: [{ name: "S", method }] })], [["action", "a_proto.S"]]);
  };
  const topic = (value: string, consumerGroup = ""): NonNullable<Declaration["in"]> => ({
    source: { case: "topic", value },
    consumerGroup,
  });
  const to = (value: string): NonNullable<Declaration["out"]> => ({ destination: { case: "topic", value } });
  const log = (value: string): Declaration => ({ in: { source: { case: "eventLog", value } } });
  const read = (...declared: readonly Declaration[]) =>
    Array.from(
      accepted(declaring(...declared))
        .get("a_proto.S")!
        .methods.values(),
      (method) => method.eventing,
    );

  test("are read; the group is the service by default", () => {
    assert.deepEqual(read({ in: topic("t") }, { in: topic("t", "g"), out: to("u") }, { out: to("v") }, {}, log("p")), [
      { in: { topic: "t", consumerGroup: "a_proto.S" } },
      { in: { topic: "t", consumerGroup: "g" }, out: { topic: "u" } },
      { out: { topic: "v" } },
      undefined,
      { in: { eventLog: "p", consumerGroup: "a_proto.S" } },
    ]);
  });

  const refused: readonly (readonly [string, readonly Declaration[], Support?])[] = [
    [
      "Endpoint [a_proto.S.On0] has the same input topic as output topic [t], this is not allowed.",
      [{ in: topic("t"), out: to("t") }],
    ],
    [
      "Methods [a_proto.S.On0] and [a_proto.S.On1] both take [a_proto.M] from topic [t] as group [a_proto.S]: give one of them another consumer_group",
      [{ in: topic("t") }, { in: topic("t") }],
    ],
    [
      "Service call [a_proto.S.On0] declares an event destination topic of [t], but no topic support is configured.",
      [{ out: to("t") }],
      { ...allSupported, topicsSupported: false },
    ],
    ["Service call [a_proto.S.On0] has declared an event out with no topic.", [{ out: {} }]],
    ["Service call [a_proto.S.On0] has declared an event out with no topic.", [{ out: to("") }]],
    ["Eventing consumer [a_proto.S] has declared an input with no source.", [{ in: {} }]],
    ["Eventing consumer [a_proto.S] has declared an input with no source.", [{ in: topic("") }]],
    [
      "Eventing consumer [a_proto.S] has declared a [p] event source, but this event source isn't supported.",
      [log("p")],
      skeleton,
    ],
    [
      "Eventing consumer [a_proto.S] has declared a [t] event source, but this event source isn't supported.",
      [{ in: topic("t") }],
      { ...allSupported, topicsSupported: false },
    ],
  ];
  for (const [text, declared, support] of refused) {
    test(`are refused: ${text}`, () => assert.equal(rejection(declaring(...declared), support), text));
  }

  test("of the model are accepted once event logs are there, and refused by name before", () => {
    const service = "cloudstate.tck.model.eventlogeventing.EventLogSubscriberModel";
    const spec = specOf(withImports(file_tck_event_log_eventing), [["action", service]]);
    assert.equal(accepted(spec).get(service)?.methods.size, 4);
    assert.match(rejection(spec, skeleton), /\[eventlogeventing-one\] event source/);
  });
});
