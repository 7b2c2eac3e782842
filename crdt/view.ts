import { catalogue } from "./catalogue.ts";
import type { Seat } from "./entry.ts";
import type { Operation, Value } from "./operation.ts";
import { diffValues, viewAt } from "./ormap.ts";
import type { Reading } from "./tree.ts";

/** What a function must be told: an operation, `restart` where no delta can say it, `delete` where the entity is gone. */
export type Correction = Operation | "restart" | "delete" | undefined;

/** What an entity looks like from a seat; `undefined` if it does not exist. Of root types side by side the first is shown. */
export function view(reading: Reading, seat: Seat): Value | undefined {
  return viewAt(catalogue, reading, [], seat);
}

/** What a function that believes one value must be told so that it believes the other. */
export function diff(believed: Value | undefined, now: Value | undefined): Correction {
  return diffValues(catalogue, believed, now);
}

/** The delta of an init: it makes the value out of nothing, an empty one by empty content. */
export function initial(value: Value): Operation {
  return catalogue.of(value.type).initial(value);
}

/** What a function that was told `operation` believes. The value given stays as it is. */
export function believe(value: Value | undefined, operation: Operation): Value {
  const held = value?.type === operation.type ? catalogue.of(value.type).copy(value) : undefined;
  return catalogue.of(operation.type).believe(held, operation, "proxy");
}
