import { toBinary } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";

/** What reflection finds in a set of files: by name, symbol and extension. */
export interface Symbols {
  file(name: string): Uint8Array | undefined;
  /** The file that declares a package-qualified message, field, enum, enum value, service, method or extension. */
  fileOf(symbol: string): Uint8Array | undefined;
  fileOfExtension(type: string, number: number): Uint8Array | undefined;
  /** Numbers of the extensions of a message, ascending; undefined when there is no such message. */
  extensionsOf(type: string): readonly number[] | undefined;
}

/** Indexes files; of several that declare the same thing the first one counts. */
export function indexSymbols(files: Iterable<FileDescriptorProto>): Symbols {
  const byName = new Map<string, FileDescriptorProto>();
  const bySymbol = new Map<string, FileDescriptorProto>();
  const messages = new Set<string>();
  const byExtension = new Map<string, Map<number, FileDescriptorProto>>();
  const encoded = new Map<FileDescriptorProto, Uint8Array>();

  for (const file of files) {
    if (byName.has(file.name)) continue;
    byName.set(file.name, file);
    addFile(file);
  }

  function addFile(file: FileDescriptorProto): void {
    const scope = file.package === "" ? "" : `${file.package}.`;
    for (const message of file.messageType) addMessage(file, scope, message);
    for (const type of file.enumType) addEnum(file, scope, type);
    for (const extension of file.extension) addExtension(file, scope, extension);
    for (const service of file.service) {
      add(file, scope + service.name);
      for (const method of service.method) add(file, `${scope}${service.name}.${method.name}`);
    }
  }

  function addMessage(file: FileDescriptorProto, scope: string, message: DescriptorProto): void {
    const name = scope + message.name;
    add(file, name);
    messages.add(name);
    for (const field of [...message.field, ...message.oneofDecl]) add(file, `${name}.${field.name}`);
    for (const nested of message.nestedType) addMessage(file, `${name}.`, nested);
    for (const type of message.enumType) addEnum(file, `${name}.`, type);
    for (const extension of message.extension) addExtension(file, `${name}.`, extension);
  }

  function addEnum(file: FileDescriptorProto, scope: string, type: EnumDescriptorProto): void {
    add(file, scope + type.name);
    // Values live in the scope around their enum.
    for (const value of type.value) add(file, scope + value.name);
  }

  function addExtension(
    file: FileDescriptorProto,
    scope: string,
    extension: FileDescriptorProto["extension"][number],
  ): void {
    add(file, scope + extension.name);
    const type = extension.extendee.replace(/^\./, "");
    const numbers = byExtension.get(type) ?? new Map<number, FileDescriptorProto>();
    byExtension.set(type, numbers);
    if (!numbers.has(extension.number)) numbers.set(extension.number, file);
  }

  function add(file: FileDescriptorProto, symbol: string): void {
    if (!bySymbol.has(symbol)) bySymbol.set(symbol, file);
  }

  function bytesOf(file: FileDescriptorProto | undefined): Uint8Array | undefined {
    if (!file) return undefined;
    let bytes = encoded.get(file);
    if (!bytes) encoded.set(file, (bytes = toBinary(FileDescriptorProtoSchema, file)));
    return bytes;
  }

  return {
    file: (name) => bytesOf(byName.get(name)),
    fileOf: (symbol) => bytesOf(bySymbol.get(symbol)),
    fileOfExtension: (type, number) => bytesOf(byExtension.get(type)?.get(number)),
    extensionsOf(type) {
      const numbers = byExtension.get(type);
      if (!numbers && !messages.has(type)) return undefined;
      return [...(numbers?.keys() ?? [])].sort((left, right) => left - right);
    },
  };
}
