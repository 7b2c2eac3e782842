import type { Hello, Peer } from "./mesh.ts";

/**
 * Why a node cannot be in one mesh with another one and the peers of that: it and one of them host a service whose entities one of
 * the two keeps where the other cannot see them, so that one id would be two entities. Undefined when it can. It reads the same
 * from either side.
 */
export function unsharedConflict(theirs: Hello, own: Hello, peers: readonly Peer[]): string | undefined {
  // A peer of the same name is what ran there before; its link is about to be lost.
  const others = peers.filter(({ hello }) => hello.nodeName !== theirs.nodeName).map(({ hello }) => hello);
  for (const other of [own, ...others]) {
    const service =
      other.unsharedServices.find((each) => theirs.services.includes(each)) ??
      theirs.unsharedServices.find((each) => other.services.includes(each));
    if (service === undefined) continue;
    const [left, right] = [other.nodeName, theirs.nodeName].sort();
    return (
      `nodes ${left} and ${right} both host ${service}, and a store that is not shared keeps its entities: use a store that all ` +
      "nodes see, or set store.shared to false on all of them to accept that each node keeps entities of its own"
    );
  }
  return undefined;
}
