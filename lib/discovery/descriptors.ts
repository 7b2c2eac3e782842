import { clone, create, createFileRegistry, type FileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { MassaError } from "../core/errors.ts";
import { completeJsonNames } from "../wire/json-names.ts";
import { builtInFiles } from "./built-in-files.ts";
import { checkDescriptorSize } from "./descriptor-size.ts";
import { Rejection } from "./rejection.ts";

/** Why the function's answer cannot be used: `rejected` for good, `crash` until it is asked again. */
export interface Refused {
  readonly type: "rejected" | "crash";
  readonly message: string;
}

/** Files, each after its imports, and their types. */
export interface Files {
  readonly type: "files";
  readonly files: readonly FileDescriptorProto[];
  readonly registry: FileRegistry;
}

const filesMax = 10_000;
const namesMax = 1_000_000;
const nestingMax = 64;
/** How much of a long chain of imports a message shows. */
const shownMax = 20;

/**
 * Makes a usable set of a serialized FileDescriptorSet, whatever stands in it: repeats are
 * merged, imports resolved by name, well-known files that are missing taken from built-in copies. Bytes that do not parse are
 * a crash; a set that contradicts itself, or is too large to be decoded in safety, is rejected.
 */
export function readDescriptors(bytes: Uint8Array): Files | Refused {
  let sent: readonly FileDescriptorProto[];
  try {
    checkDescriptorSize(bytes);
    sent = fromBinary(FileDescriptorSetSchema, bytes).file;
  } catch (failure) {
    const { code, message } = MassaError.from(failure);
    if (code === "exhausted") return { type: "rejected", message };
    return { type: "crash", message: `The descriptor set does not parse: ${message}` };
  }
  try {
    const files = inOrder(merged(sent));
    checkNames(files);
    files.forEach(completeJsonNames);
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files }));
    return { type: "files", files, registry };
  } catch (failure) {
    return { type: "rejected", message: Rejection.from(failure).message };
  }
}

/** By name. A file may be repeated, but must say the same each time; comments and positions do not count. */
function merged(sent: readonly FileDescriptorProto[]): ReadonlyMap<string, FileDescriptorProto> {
  if (sent.length > filesMax) throw new Rejection(`The descriptor set has ${sent.length} files, more than ${filesMax}`);
  const files = new Map<string, FileDescriptorProto>();
  const encoded = (file: FileDescriptorProto) => {
    const declared = clone(FileDescriptorProtoSchema, file);
    delete declared.sourceCodeInfo;
    return Buffer.from(toBinary(FileDescriptorProtoSchema, declared));
  };
  for (const file of sent) {
    const known = files.get(file.name);
    if (known === undefined) files.set(file.name, file);
    else if (!encoded(known).equals(encoded(file))) {
      throw new Rejection(`File [${file.name}] occurs twice in the descriptor set, with different contents`);
    }
  }
  return files;
}

/** Depth first, by a stack of its own: chains of imports may be as long as they like. */
function inOrder(files: ReadonlyMap<string, FileDescriptorProto>): FileDescriptorProto[] {
  const ordered: FileDescriptorProto[] = [];
  const state = new Map<string, "open" | "done">();
  for (const root of files.values()) {
    if (state.has(root.name)) continue;
    const path = [{ file: root, next: 0 }];
    state.set(root.name, "open");
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const name = top.file.dependency[top.next++];
      if (name === undefined) {
        state.set(top.file.name, "done");
        ordered.push(top.file);
        path.pop();
      } else if (state.get(name) === "open") {
        const names = path.map(({ file }) => file.name);
        const cycle = [...names.slice(names.indexOf(name)), name];
        throw new Rejection(`Circular dependency detected in entity spec descriptor: ${chain(cycle)}`);
      } else if (!state.has(name)) {
        const file = files.get(name) ?? builtInFiles.get(name);
        if (!file) {
          const names = path.map((step) => step.file.name);
          throw new Rejection(`Descriptor dependency [${name}] not found, dependency path: ${chain(names)}`);
        }
        state.set(name, "open");
        path.push({ file, next: 0 });
      }
    }
  }
  return ordered;
}

function chain(names: readonly string[]): string {
  const shown = names.slice(0, shownMax).map((name) => `[${name}]`);
  return [...shown, ...(names.length > shownMax ? [`… (${names.length} files)`] : [])].join(" -> ");
}

/** No two declarations of one name, no two fields of one number: a parser would silently take one of them. */
function checkNames(files: readonly FileDescriptorProto[]): void {
  const declaredIn = new Map<string, string>();
  const declare = (name: string, file: FileDescriptorProto) => {
    const other = declaredIn.get(name);
    if (other !== undefined) throw new Rejection(`[${name}] is declared twice, in [${other}] and in [${file.name}]`);
    if (declaredIn.size >= namesMax) throw new Rejection(`The descriptor set declares more than ${namesMax} names`);
    declaredIn.set(name, file.name);
  };
  for (const file of files) {
    const scope = file.package === "" ? "" : `${file.package}.`;
    for (const type of [...file.enumType, ...file.service, ...file.extension]) declare(scope + type.name, file);
    const open = file.messageType.map((message) => ({ message, name: scope + message.name, depth: 1 }));
    for (let next = open.pop(); next; next = open.pop()) {
      const { message, name, depth } = next;
      if (depth > nestingMax) throw new Rejection(`[${name}] is nested more than ${nestingMax} deep`);
      declare(name, file);
      checkFields(name, message);
      for (const type of [...message.enumType, ...message.extension]) declare(`${name}.${type.name}`, file);
      for (const nested of message.nestedType) {
        open.push({ message: nested, name: `${name}.${nested.name}`, depth: depth + 1 });
      }
    }
  }
  for (const file of files) {
    for (const service of file.service) {
      const names = new Set<string>();
      for (const { name } of service.method) {
        if (names.has(name)) throw new Rejection(`Service [${service.name}] declares method [${name}] twice`);
        names.add(name);
      }
    }
  }
}

function checkFields(type: string, message: DescriptorProto): void {
  const seen = new Set<string | number>();
  for (const { name, number } of message.field) {
    if (number < 1 || number > 0x1fff_ffff) throw new Rejection(`[${type}.${name}] has the field number ${number}`);
    for (const mark of [name, number]) {
      if (seen.has(mark)) throw new Rejection(`[${type}] declares the field [${mark}] twice`);
      seen.add(mark);
    }
  }
}
