import { anyOf, elementOf, type Operation } from "../../crdt/index.ts";
import type { CrdtDelta } from "../wire/crdt-delta.ts";
import { decodeCrdtStreamOut, type CrdtStreamOut } from "../wire/crdt-protocol.ts";
import type { AnyValue } from "../wire/protocol.ts";
import type { Dialect } from "./conversation.ts";

/** The CRDT entity's stream on the wire. */
export const crdtDialect: Dialect<CrdtStreamOut> = {
  path: "/cloudstate.crdt.Crdt/handle",
  decode: decodeCrdtStreamOut,
};

const element = (any: AnyValue): string => elementOf(any.typeUrl, any.value);

/** A delta of the wire as the kernel's operation: Anys become the identities that elements and keys are known by. */
export function operationOf(delta: CrdtDelta): Operation {
  switch (delta.type) {
    case "gset":
      return { type: "gset", added: delta.added.map(element) };
    case "orset":
      return { ...delta, removed: delta.removed.map(element), added: delta.added.map(element) };
    case "lwwregister":
      return { ...delta, value: element(delta.value) };
    case "ormap": {
      const keyed = ({ key, operation }: { key: AnyValue; operation: CrdtDelta }) => {
        return { key: element(key), operation: operationOf(operation) };
      };
      return {
        type: "ormap",
        cleared: delta.cleared,
        removed: delta.removed.map(element),
        updated: delta.updated.map(keyed),
        added: delta.added.map(keyed),
      };
    }
    case "gcounter":
    case "pncounter":
    case "flag":
    case "vote":
      return delta;
  }
}

/** The way back: the bytes of every Any are those that were once received. */
export function deltaOf(operation: Operation): CrdtDelta {
  switch (operation.type) {
    case "gset":
      return { type: "gset", added: operation.added.map(anyOf) };
    case "orset":
      return { ...operation, removed: operation.removed.map(anyOf), added: operation.added.map(anyOf) };
    case "lwwregister":
      return { ...operation, value: anyOf(operation.value) };
    case "ormap": {
      const keyed = (entry: { key: string; operation: Operation }) => {
        return { key: anyOf(entry.key), operation: deltaOf(entry.operation) };
      };
      return {
        type: "ormap",
        cleared: operation.cleared,
        removed: operation.removed.map(anyOf),
        updated: operation.updated.map(keyed),
        added: operation.added.map(keyed),
      };
    }
    case "gcounter":
    case "pncounter":
    case "flag":
    case "vote":
      return operation;
  }
}
