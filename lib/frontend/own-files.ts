import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { builtInFiles } from "../discovery/built-in-files.ts";
import { file_grpc_health_v1_health } from "../wire/gen/grpc/health/v1/health_pb.ts";
import { file_grpc_reflection_v1_reflection } from "../wire/gen/grpc/reflection/v1/reflection_pb.ts";
import { file_grpc_reflection_v1alpha_reflection } from "../wire/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { completeJsonNames } from "../wire/json-names.ts";

const ownServices = [
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection,
];

/** Files that reflection knows whether the function sent them or not: the proxy's own services and the built-in ones. */
export const ownFiles: readonly FileDescriptorProto[] = [
  ...ownServices.map(({ proto }) => proto),
  ...builtInFiles.values(),
];
ownFiles.forEach(completeJsonNames);
