import { create, createFileRegistry, type DescMessage, type DescService } from "@bufbuild/protobuf";
import {
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { file_google_api_annotations } from "../../lib/wire/gen/google/api/annotations_pb.ts";
import { file_google_api_httpbody } from "../../lib/wire/gen/google/api/httpbody_pb.ts";
import { withImports } from "../discovery-harness.ts";
import { get, post, shopFile } from "../http-harness.ts";

const file = shopFile([
  {
    name: "Echo",
    rule: post("/echo", "*", { additionalBindings: [get("/echo/{the_string}"), post("/inner/{the_int64}", "inner")] }),
  },
  { name: "Out", rule: post("/out", "*", { additionalBindings: [get("/out/{inner.the_string=a/*/**}:watch")] }) },
  { name: "In", rule: post("/in") },
  { name: "Both", rule: post("/both") },
  { name: "Upload", input: "Upload", output: "google.api.HttpBody", rule: post("/upload/{name}", "file") },
]);
// What http-harness does not need: streams, and names as protoc writes them.
for (const method of file.service[0]!.method) {
  method.clientStreaming = method.name === "In" || method.name === "Both";
  method.serverStreaming = method.name === "Out" || method.name === "Both";
}

for (const { field, nestedType } of file.messageType) {
  for (const one of [...field, ...nestedType.flatMap((nested) => nested.field)])
    one.jsonName = one.name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

const imported = [
  file_google_api_annotations,
  file_google_api_httpbody,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
];
const files = new Map([...withImports(...imported), file].map((one) => [one.name, one]));

/** `shop.Shop`, whose methods answer what they get, and all that it is made of. */
export const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder() }));
export const shop: DescService = registry.getService("shop.Shop")!;
/** Has a field of each kind. */
export const everything: DescMessage = registry.getMessage("shop.Everything")!;

/** Files after what they import. */
function inOrder() {
  const sorted = new Set<string>();
  const visit = (name: string) => {
    for (const dependency of files.get(name)?.dependency ?? []) visit(dependency);
    sorted.add(name);
  };
  for (const name of files.keys()) visit(name);
  return [...sorted].map((name) => files.get(name)!);
}
