import { flag } from "./flag.ts";
import { gcounter } from "./gcounter.ts";
import { gset } from "./gset.ts";
import { lwwregister } from "./lwwregister.ts";
import type { Kind } from "./operation.ts";
import { createOrMap } from "./ormap.ts";
import { orset } from "./orset.ts";
import { pncounter } from "./pncounter.ts";
import type { Catalogue, Type } from "./type.ts";
import { vote } from "./vote.ts";

/**
 * The CRDT types, the only list of them. Where several live side by side, the first in this order is shown. A type's place is
 * also its number in the encoding, so new ones go to the end.
 */
export const catalogue: Catalogue = {
  order: ["gcounter", "pncounter", "gset", "orset", "lwwregister", "flag", "ormap", "vote"],
  of: (kind) => types[kind],
};

const types: Readonly<Record<Kind, Type>> = {
  gcounter,
  pncounter,
  gset,
  orset,
  lwwregister,
  flag,
  ormap: createOrMap(catalogue),
  vote,
};
