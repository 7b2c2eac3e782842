import { create } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
  file_google_protobuf_api,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_source_context,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_type,
  file_google_protobuf_wrappers,
  type FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";

/** A field as [name, number, type, message type, more]. */
type FieldSpec = readonly [name: string, number: number, type: Type, typeName?: string, more?: "repeated" | "oneof"];

function message(name: string, oneof: string | undefined, ...fields: readonly FieldSpec[]) {
  return {
    name,
    field: fields.map(([fieldName, number, type, typeName = "", more]) => ({
      name: fieldName,
      number,
      type,
      typeName,
      label: more === "repeated" ? Label.REPEATED : Label.OPTIONAL,
      ...(more === "oneof" ? { oneofIndex: 0 } : {}),
    })),
    oneofDecl: oneof === undefined ? [] : [{ name: oneof }],
  };
}

function healthFile(): FileDescriptorProto {
  const scope = ".grpc.health.v1";
  const [inputType, outputType] = [`${scope}.HealthCheckRequest`, `${scope}.HealthCheckResponse`];
  return create(FileDescriptorProtoSchema, {
    name: "grpc/health/v1/health.proto",
    package: "grpc.health.v1",
    syntax: "proto3",
    messageType: [
      message("HealthCheckRequest", undefined, ["service", 1, Type.STRING]),
      {
        ...message("HealthCheckResponse", undefined, ["status", 1, Type.ENUM, `${outputType}.ServingStatus`]),
        enumType: [
          {
            name: "ServingStatus",
            value: ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].map((name, number) => ({ name, number })),
          },
        ],
      },
    ],
    service: [
      {
        name: "Health",
        method: [
          { name: "Check", inputType, outputType },
          { name: "Watch", inputType, outputType, serverStreaming: true },
        ],
      },
    ],
  });
}

function reflectionFile(version: "v1" | "v1alpha"): FileDescriptorProto {
  const scope = `.grpc.reflection.${version}`;
  const streams = { clientStreaming: true, serverStreaming: true };
  return create(FileDescriptorProtoSchema, {
    name: `grpc/reflection/${version}/reflection.proto`,
    package: `grpc.reflection.${version}`,
    syntax: "proto3",
    messageType: [
      message(
        "ServerReflectionRequest",
        "message_request",
        ["host", 1, Type.STRING],
        ["file_by_filename", 3, Type.STRING, "", "oneof"],
        ["file_containing_symbol", 4, Type.STRING, "", "oneof"],
        ["file_containing_extension", 5, Type.MESSAGE, `${scope}.ExtensionRequest`, "oneof"],
        ["all_extension_numbers_of_type", 6, Type.STRING, "", "oneof"],
        ["list_services", 7, Type.STRING, "", "oneof"],
      ),
      message("ExtensionRequest", undefined, ["containing_type", 1, Type.STRING], ["extension_number", 2, Type.INT32]),
      message(
        "ServerReflectionResponse",
        "message_response",
        ["valid_host", 1, Type.STRING],
        ["original_request", 2, Type.MESSAGE, `${scope}.ServerReflectionRequest`],
        ["file_descriptor_response", 4, Type.MESSAGE, `${scope}.FileDescriptorResponse`, "oneof"],
        ["all_extension_numbers_response", 5, Type.MESSAGE, `${scope}.ExtensionNumberResponse`, "oneof"],
        ["list_services_response", 6, Type.MESSAGE, `${scope}.ListServiceResponse`, "oneof"],
        ["error_response", 7, Type.MESSAGE, `${scope}.ErrorResponse`, "oneof"],
      ),
      message("FileDescriptorResponse", undefined, ["file_descriptor_proto", 1, Type.BYTES, "", "repeated"]),
      message(
        "ExtensionNumberResponse",
        undefined,
        ["base_type_name", 1, Type.STRING],
        ["extension_number", 2, Type.INT32, "", "repeated"],
      ),
      message("ListServiceResponse", undefined, ["service", 1, Type.MESSAGE, `${scope}.ServiceResponse`, "repeated"]),
      message("ServiceResponse", undefined, ["name", 1, Type.STRING]),
      message("ErrorResponse", undefined, ["error_code", 1, Type.INT32], ["error_message", 2, Type.STRING]),
    ],
    service: [
      {
        name: "ServerReflection",
        method: [
          {
            name: "ServerReflectionInfo",
            inputType: `${scope}.ServerReflectionRequest`,
            outputType: `${scope}.ServerReflectionResponse`,
            ...streams,
          },
        ],
      },
    ],
  });
}

/** Files that reflection knows whether the function sent them or not: the proxy's own services and the well-known types. */
export const ownFiles: readonly FileDescriptorProto[] = [
  healthFile(),
  reflectionFile("v1"),
  reflectionFile("v1alpha"),
  ...[
    file_google_protobuf_any,
    file_google_protobuf_api,
    file_google_protobuf_descriptor,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_source_context,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_type,
    file_google_protobuf_wrappers,
  ].map((file) => file.proto),
];
