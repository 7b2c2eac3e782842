import { create } from "@bufbuild/protobuf";
import { type Metadata, type MetadataEntry, MetadataEntrySchema } from "../wire/gen/cloudstate/entity_pb.ts";

/** Metadata to be sent, by key. */
export type MetadataInit = Readonly<Record<string, string | Uint8Array>>;

/** Metadata of a call as it came; keys are looked up whatever their case. */
export class CallMetadata {
  readonly entries: readonly MetadataEntry[];

  constructor(metadata: Metadata | undefined) {
    this.entries = metadata?.entries ?? [];
  }

  /** The first string under `key`. */
  get(key: string): string | undefined {
    const wanted = key.toLowerCase();
    for (const entry of this.entries) {
      if (entry.value.case === "stringValue" && entry.key.toLowerCase() === wanted) return entry.value.value;
    }
    return undefined;
  }
}

/** Metadata as it travels; undefined for none, because an empty message is not the same as an absent one. */
export function metadataOf(init: MetadataInit | undefined): { entries: MetadataEntry[] } | undefined {
  if (!init) return undefined;
  const entries = Object.entries(init).map(([key, value]) =>
    create(MetadataEntrySchema, {
      key,
      value: typeof value === "string" ? { case: "stringValue", value } : { case: "bytesValue", value },
    }),
  );
  return { entries };
}
