import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Type as Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import { buildServiceTable, type TableOrRefusal } from "../lib/discovery/build-table.ts";
import { readDescriptors } from "../lib/discovery/descriptors.ts";
import { createDynamicJson } from "../lib/wire/dynamic-json.ts";
import { file_tck_action } from "./conformance/gen/tck/action_pb.ts";
import { file_tck_crdt } from "./conformance/gen/tck/crdt_pb.ts";
import { allSupported, fileOf, setOf, specOf, textField, withImports } from "./discovery-harness.ts";

const model = withImports(file_tck_action, file_tck_crdt);

function filesOf(files: readonly FileDescriptorProto[]): string[] {
  const read = readDescriptors(setOf(files));
  assert(read.type === "files", JSON.stringify(read));
  return read.files.map(({ name }) => name);
}

function refusal(files: readonly FileDescriptorProto[] | Uint8Array): string {
  const read = readDescriptors(files instanceof Uint8Array ? files : setOf(files));
  assert(read.type !== "files", "it was accepted");
  return `${read.type}: ${read.message}`;
}

/** A refusal says why; a table can be used with any bytes, and fails in no other way than it says. */
function holds(outcome: TableOrRefusal): void {
  if (outcome.type !== "table") {
    assert(outcome.message.length > 0);
    return;
  }
  const json = createDynamicJson(outcome.table.registry);
  const samples = ["", "0a0141", "0a0141120208011a020a00", "08ffffffff0f", "1205120308b960"].map((hex) =>
    Buffer.from(hex, "hex"),
  );
  for (const service of outcome.table.services.values()) {
    for (const { key, inputType } of service.methods.values()) {
      for (const bytes of samples) {
        failsOnlyAsSaid(() => key(bytes));
        failsOnlyAsSaid(() => json.parse(inputType, json.print(inputType, bytes)));
      }
      failsOnlyAsSaid(() =>
        json.parse(inputType, '{"id":"a","actions":[{"update":{"vote":{}}},{"fail":3}],"groups":[{}]}'),
      );
    }
  }
}

function failsOnlyAsSaid(action: () => unknown): void {
  try {
    action();
  } catch (failure) {
    assert(failure instanceof MassaError, String(failure));
  }
}

suite("a set of descriptors", () => {
  test("is taken in any order, with repeats, each file put after its imports", () => {
    const names = new Set(model.map(({ name }) => name));
    fc.assert(
      fc.property(fc.shuffledSubarray([...model, ...model], { minLength: 2 * model.length }), (files) => {
        const ordered = filesOf(files);
        assert.deepEqual(new Set(ordered), names);
        assert.equal(ordered.length, names.size);
        for (const [at, name] of ordered.entries()) {
          const { dependency } = model.find((file) => file.name === name)!;
          for (const needed of dependency) assert(ordered.indexOf(needed) < at, `${name} before ${needed}`);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("repeats a file with and without comments", () => {
    const bare = fileOf("a.proto");
    const commented = clone(FileDescriptorProtoSchema, bare);
    commented.sourceCodeInfo = create(FileDescriptorProtoSchema, {
      sourceCodeInfo: { location: [{ leadingComments: "x" }] },
    }).sourceCodeInfo!;
    assert.deepEqual(filesOf([bare, commented]), ["a.proto"]);
  });

  test("is completed from built-in copies of well-known files", () => {
    const own = model.filter(({ name }) => name.startsWith("tck/"));
    assert.deepEqual(new Set(filesOf(own)), new Set(model.map(({ name }) => name)));
    const all = [
      "google/protobuf/struct.proto",
      "google/protobuf/timestamp.proto",
      "google/protobuf/type.proto",
      "google/api/httpbody.proto",
      "cloudstate/eventing.proto",
      "cloudstate/legacy_entity_key.proto",
    ];
    assert(new Set(filesOf([fileOf("a.proto", { dependency: all })])).isSupersetOf(new Set(all)));
  });

  test("may declare cycles, which are named", () => {
    const cyclic = [
      fileOf("a.proto", { dependency: ["b.proto"] }),
      fileOf("b.proto", { dependency: ["google/protobuf/any.proto", "c.proto"] }),
      fileOf("c.proto", { dependency: ["b.proto"] }),
    ];
    assert.equal(
      refusal(cyclic),
      "rejected: Circular dependency detected in entity spec descriptor: [b.proto] -> [c.proto] -> [b.proto]",
    );
    assert.match(
      refusal([fileOf("a.proto", { dependency: ["a.proto"] })]),
      /descriptor: \[a\.proto\] -> \[a\.proto\]$/,
    );
  });

  test("may lack a file, which is named with the way to it", () => {
    const lacking = [fileOf("a.proto", { dependency: ["b.proto"] }), fileOf("b.proto", { dependency: ["gone.proto"] })];
    assert.equal(
      refusal(lacking),
      "rejected: Descriptor dependency [gone.proto] not found, dependency path: [a.proto] -> [b.proto]",
    );
  });

  test("may not declare one name twice, nor one file in two ways", () => {
    const one = fileOf("a.proto", { package: "p" });
    assert.equal(
      refusal([one, fileOf("b.proto", { package: "p" })]),
      "rejected: [p.M] is declared twice, in [a.proto] and in [b.proto]",
    );
    assert.match(refusal([one, fileOf("a.proto", { package: "q" })]), /^rejected: File \[a\.proto\] occurs twice/);
    const nested = fileOf("b.proto", { package: "p.M", messageType: [{ name: "N" }] });
    const parent = fileOf("a.proto", { package: "p", messageType: [{ name: "M", nestedType: [{ name: "N" }] }] });
    assert.match(refusal([parent, nested]), /^rejected: \[p\.M\.N\] is declared twice/);
    const fields = (...numbers: number[]) => [
      { name: "M", field: numbers.map((number, index) => ({ ...textField, name: `f${index}`, number })) },
    ];
    assert.match(refusal([fileOf("a.proto", { messageType: fields(1, 1) })]), /declares the field \[1\] twice/);
    assert.match(refusal([fileOf("a.proto", { messageType: fields(0) })]), /has the field number 0/);
    assert.match(refusal([fileOf("a.proto", { methods: ["A", "A"] })]), /declares method \[A\] twice/);
  });

  test("that names a type nobody declares is rejected", () => {
    const field = { ...textField, type: Type.MESSAGE, typeName: ".no.Such", name: "f", number: 1 };
    assert.match(
      refusal([fileOf("a.proto", { messageType: [{ name: "M", field: [field] }] })]),
      /^rejected: The descriptor set contradicts itself: .*no\.Such/,
    );
  });

  test("of garbage is a crash, not a rejection", () => {
    assert.match(refusal(Buffer.from("no descriptors at all")), /^crash: The descriptor set does not parse: /);
    assert.match(refusal(Buffer.from([0x0a, 0x7f])), /^crash: /);
  });

  test("that would fill the memory is refused before it is decoded", () => {
    const body = Buffer.alloc(12 << 20);
    for (let at = 0; at < body.length; at += 2) body[at] = 0x22;
    const before = process.memoryUsage().rss;
    const many = Buffer.concat([Buffer.from([0x0a, 0x80, 0x80, 0x80, 0x06]), body]);
    assert.match(refusal(many), /^rejected: .*more than 300000 parts/);
    assert(process.memoryUsage().rss - before < 100e6);
  });

  test("nested or chained without end is refused or taken, but never overflows the stack", () => {
    let deep = Buffer.alloc(0);
    for (let depth = 0; depth < 20_000; depth += 1) {
      const length: number[] = [];
      for (let rest = deep.length; ; rest >>>= 7) {
        length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
        if (rest <= 0x7f) break;
      }
      deep = Buffer.concat([Buffer.from([depth === 19_998 ? 0x22 : depth === 19_999 ? 0x0a : 0x1a, ...length]), deep]);
    }
    assert.match(refusal(deep), /^rejected: .*nested more than 100 deep/);
    const chain = Array.from({ length: 9_000 }, (_, at) =>
      create(FileDescriptorProtoSchema, {
        name: `${at}`,
        syntax: "proto3",
        dependency: at < 8_999 ? [`${at + 1}`] : [],
      }),
    );
    assert.deepEqual(filesOf(chain).slice(0, 2), ["8999", "8998"]);
    chain[8_999]!.dependency.push("0");
    assert.match(refusal(chain), /\[19\] -> … \(9001 files\)$/);
  });

  test("of damaged bytes gives an answer, whatever was damaged", () => {
    const bytes = setOf(model);
    const entities = [["action", "cloudstate.tck.model.action.ActionTckModel"]] as const;
    const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(changes, (list) => {
        const damaged = Uint8Array.from(bytes);
        for (const [at, value] of list) damaged[at] = value;
        const outcome = buildServiceTable(specOf(damaged, entities), allSupported);
        holds(outcome);
      }),
      { numRuns: 300 },
    );
  });

  test("of files that lie about their types gives an answer too", () => {
    const parsed = fromBinary(FileDescriptorSetSchema, setOf(model));
    const total = parsed.file.reduce((sum, file) => sum + file.messageType.length, 0);
    const lie = fc.tuple(
      fc.nat(total - 1),
      fc.nat(20),
      fc.integer({ min: 0, max: 20 }),
      fc.constantFrom("type", "oneof", "label", "number", "map"),
    );
    fc.assert(
      fc.property(fc.array(lie, { minLength: 1, maxLength: 3 }), (lies) => {
        const set = clone(FileDescriptorSetSchema, parsed);
        const messages = set.file.flatMap((file) => file.messageType);
        for (const [message, field, value, what] of lies) {
          const target = messages[message]!.field[field % (messages[message]!.field.length || 1)];
          if (!target) continue;
          if (what === "type") Object.assign(target, { type: value });
          else if (what === "oneof") target.oneofIndex = value - 1;
          else if (what === "label") Object.assign(target, { label: value });
          else if (what === "number") target.number = value * 1e8;
          else target.typeName = `.${set.file[0]!.package}.M${value}`;
        }
        const spec = specOf(toBinary(FileDescriptorSetSchema, set), [
          ["crdt", "cloudstate.tck.model.crdt.CrdtTckModel"],
        ]);
        const outcome = buildServiceTable(spec, allSupported);
        holds(outcome);
      }),
      { numRuns: 300 },
    );
  });
});
