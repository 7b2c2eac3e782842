import type { AnyValue } from "./protocol.ts";

/** What may be kept or handed to another thread: a slice of a much larger buffer is copied, or all of it would come along. */
export function keptPayload(any: AnyValue): AnyValue {
  const { typeUrl, value } = any;
  return value.byteLength * 2 > value.buffer.byteLength ? any : { typeUrl, value: new Uint8Array(value) };
}
