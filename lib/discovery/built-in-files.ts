import type { DescFile } from "@bufbuild/protobuf";
import {
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
import { file_cloudstate_action } from "../wire/gen/cloudstate/action_pb.ts";
import { file_cloudstate_crdt } from "../wire/gen/cloudstate/crdt_pb.ts";
import { file_cloudstate_entity } from "../wire/gen/cloudstate/entity_pb.ts";
import { file_cloudstate_entity_key } from "../wire/gen/cloudstate/entity_key_pb.ts";
import { file_cloudstate_event_sourced } from "../wire/gen/cloudstate/event_sourced_pb.ts";
import { file_cloudstate_eventing } from "../wire/gen/cloudstate/eventing_pb.ts";
import { file_cloudstate_legacy_entity_key } from "../wire/gen/cloudstate/legacy_entity_key_pb.ts";
import { file_cloudstate_value_entity } from "../wire/gen/cloudstate/value_entity_pb.ts";
import { file_google_api_annotations } from "../wire/gen/google/api/annotations_pb.ts";
import { file_google_api_http } from "../wire/gen/google/api/http_pb.ts";
import { file_google_api_httpbody } from "../wire/gen/google/api/httpbody_pb.ts";

const files: readonly DescFile[] = [
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
  file_google_api_annotations,
  file_google_api_http,
  file_google_api_httpbody,
  file_cloudstate_action,
  file_cloudstate_crdt,
  file_cloudstate_entity,
  file_cloudstate_entity_key,
  file_cloudstate_event_sourced,
  file_cloudstate_eventing,
  file_cloudstate_legacy_entity_key,
  file_cloudstate_value_entity,
];

/** By import path: what a function may import without sending it. */
export const builtInFiles: ReadonlyMap<string, FileDescriptorProto> = new Map(
  files.map(({ proto }) => [proto.name, proto]),
);
