import type { DescriptorProto, FileDescriptorProto } from "@bufbuild/protobuf/wkt";

/** Gives the fields of a file their names in JSON, in place, where whoever made the descriptors left them out, as protoc's Java does. */
export function completeJsonNames(file: FileDescriptorProto): void {
  const open: DescriptorProto[] = [...file.messageType];
  for (let message = open.pop(); message; message = open.pop()) {
    for (const field of message.field) field.jsonName ||= jsonNameOf(field.name);
    open.push(...message.nestedType);
  }
}

/** `unit_price` is `unitPrice`: what protoc makes of a field's name. */
function jsonNameOf(name: string): string {
  return name.replace(/_+(.)?/g, (_, next: string | undefined) => next?.toUpperCase() ?? "");
}
