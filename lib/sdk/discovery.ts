import { create, type DescFile, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import { EmptySchema, type Empty } from "@bufbuild/protobuf/wkt";
import {
  EntityDiscovery,
  type EntitySchema,
  type EntitySpec,
  EntitySpecSchema,
  type ProxyInfo,
  type UserFunctionError,
} from "../wire/gen/cloudstate/entity_pb.ts";
import { definitionOf } from "./grpc.ts";
import type { Protocol } from "./protocol.ts";
import type { Declared } from "./service.ts";

interface FunctionInfo {
  readonly name: string;
  readonly version: string;
}

/** Answers the proxy's discovery, and hands what the proxy complains about to `complained`. */
export function discoveryProtocol(
  services: readonly Declared[],
  info: FunctionInfo,
  complained: (message: string) => void,
): Protocol {
  const spec = specOf(services, info);
  return {
    definition: definitionOf(EntityDiscovery),
    implementation: {
      discover: (_: ServerUnaryCall<ProxyInfo, EntitySpec>, answer: sendUnaryData<EntitySpec>) => answer(null, spec),
      reportError: (call: ServerUnaryCall<UserFunctionError, Empty>, answer: sendUnaryData<Empty>) => {
        complained(call.request.message);
        answer(null, create(EmptySchema));
      },
    },
  };
}

function specOf(services: readonly Declared[], { name, version }: FunctionInfo): EntitySpec {
  const files = new Map<string, DescFile>();
  for (const service of services) collect(service.descriptor.file, files);
  const set = create(FileDescriptorSetSchema, { file: Array.from(files.values(), (file) => file.proto) });
  return create(EntitySpecSchema, {
    proto: toBinary(FileDescriptorSetSchema, set),
    entities: services.map(entityOf),
    serviceInfo: {
      serviceName: name,
      serviceVersion: version,
      serviceRuntime: `node ${process.version}`,
      supportLibraryName: "massa",
      supportLibraryVersion: "0.1.0",
      protocolMajorVersion: 0,
      protocolMinorVersion: 2,
    },
  });
}

/** A file after all that it imports: the order that every reader of descriptor sets accepts. */
function collect(file: DescFile, files: Map<string, DescFile>): void {
  if (files.has(file.name)) return;
  for (const dependency of file.dependencies) collect(dependency, files);
  files.set(file.name, file);
}

function entityOf(service: Declared): MessageInitShape<typeof EntitySchema> {
  const { descriptor, entityType, persistenceId, passivationTimeoutMs } = service;
  const timeout = passivationTimeoutMs === undefined ? undefined : BigInt(passivationTimeoutMs);
  return {
    serviceName: descriptor.typeName,
    entityType,
    persistenceId,
    ...(timeout !== undefined && { passivationStrategy: { strategy: { case: "timeout", value: { timeout } } } }),
  };
}
