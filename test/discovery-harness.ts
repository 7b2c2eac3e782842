import { create, type DescFile, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { entityTypes, type Support } from "../lib/discovery/build-table.ts";
import type { EntityType } from "../lib/discovery/service-table.ts";
import { type EntitySchema, type EntitySpec, EntitySpecSchema } from "../lib/wire/gen/cloudstate/entity_pb.ts";

/** Everything that discovery could be asked to accept. */
export const allSupported: Support = {
  supportedTypes: Object.values(entityTypes),
  topicsSupported: true,
  compatibilityCheck: true,
};

/** What the skeleton of the proxy serves. */
export const skeleton: Support = { ...allSupported, supportedTypes: [entityTypes.action, entityTypes.crdt] };

export function setOf(files: readonly FileDescriptorProto[]): Uint8Array {
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...files] }));
}

/** Files with all that they import, in no useful order: importers before what they import. */
export function withImports(...files: readonly DescFile[]): FileDescriptorProto[] {
  const found = new Set<DescFile>();
  const visit = (file: DescFile) => {
    found.add(file);
    file.dependencies.forEach(visit);
  };
  files.forEach(visit);
  return Array.from(found, ({ proto }) => proto);
}

/** An answer of a user function; each entity is [kind, full service name, more]. */
export function specOf(
  files: readonly FileDescriptorProto[] | Uint8Array,
  entities: readonly (readonly [EntityType | "other", string, MessageInitShape<typeof EntitySchema>?])[],
  version: readonly [number, number] = [0, 2],
): EntitySpec {
  return create(EntitySpecSchema, {
    proto: files instanceof Uint8Array ? files : setOf(files),
    entities: entities.map(([type, serviceName, more]) => ({
      entityType: type === "other" ? "cloudstate.function.StatelessFunction" : entityTypes[type],
      serviceName,
      persistenceId: "things",
      ...more,
    })),
    serviceInfo: { protocolMajorVersion: version[0], protocolMinorVersion: version[1] },
  });
}

/** `package p; import …; message M { string <field> = 1 [options]; } service S { methods }`. */
export function fileOf(
  name: string,
  more: MessageInitShape<typeof FileDescriptorProtoSchema> & { readonly methods?: readonly string[] } = {},
): FileDescriptorProto {
  const { methods = [], ...rest } = more;
  const scope = name.replace(/\W/g, "_");
  return create(FileDescriptorProtoSchema, {
    name,
    package: scope,
    syntax: "proto3",
    messageType: [{ name: "M", field: [{ ...textField, name: "key", number: 1 }] }],
    service:
      methods.length === 0
        ? []
        : [
            {
              name: "S",
              method: methods.map((method) => ({
                name: method.replace(/[<>]/g, ""),
                inputType: `.${scope}.M`,
                outputType: `.${scope}.M`,
                clientStreaming: method.includes("<"),
                serverStreaming: method.includes(">"),
              })),
            },
          ],
    ...rest,
  });
}

export const textField = {
  type: FieldDescriptorProto_Type.STRING,
  label: FieldDescriptorProto_Label.OPTIONAL,
  jsonName: "",
};
