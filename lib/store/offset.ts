import { MassaError } from "../core/errors.ts";

/** The number behind an offset of a log, 0 for before the first; throws `invalid` for what no store of ours has handed out. */
export function parseOffset(offset: string | undefined): number {
  if (offset === undefined) return 0;
  if (!/^\d{1,15}$/.test(offset)) throw new MassaError("invalid", `"${offset}" is no offset of this store`);
  return Number(offset);
}
