import type { Any } from "@bufbuild/protobuf/wkt";
import { identityOf, type Serializer } from "../serializer.ts";

/** One element of a set: the value, and the very bytes that the set holds for it. */
export interface Element<T> {
  readonly any: Any;
  readonly value: T;
}

/** Elements by identity. */
export type Elements<T> = Map<string, Element<T>>;

/** Puts what came over the wire into `elements`. */
export function receiveInto<T>(elements: Elements<T>, added: readonly Any[], serializer: Serializer<T>): void {
  for (const any of added) {
    const identity = identityOf(any);
    if (!elements.has(identity)) elements.set(identity, { any, value: serializer.fromAny(any) });
  }
}

/** The elements as they travel. */
export function anysOf<T>(elements: Elements<T>): Any[] {
  return Array.from(elements.values(), (element) => element.any);
}
