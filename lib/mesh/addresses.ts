import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { MassaError } from "../core/errors.ts";

/** The `ip:port` list behind a `host:port`: a name stands for all its addresses, IPv4 before IPv6. Rejects when it does not resolve. */
export async function resolveEndpoints(address: string): Promise<readonly string[]> {
  const { host, port } = splitAddress(address);
  if (isIP(host) !== 0) return [address];
  const found = await lookup(host, { all: true });
  const preferred = found.some(({ family }) => family === 4) ? found.filter(({ family }) => family === 4) : found;
  return preferred.map(({ address: ip, family }) => `${family === 6 ? `[${ip}]` : ip}:${port}`);
}

/** Host and port of `host:port` or `[ip6]:port`. Throws `invalid` for anything else. */
export function splitAddress(address: string): { readonly host: string; readonly port: string } {
  const match = /^\[?([^[\]]+?)\]?:(\d+)$/.exec(address);
  if (!match) throw new MassaError("invalid", `"${address}" is no host:port`);
  return { host: match[1]!, port: match[2]! };
}
