import type { Applied, Path } from "../../crdt/index.ts";
import { amountPaths } from "../../crdt/index.ts";

/** Where own amounts gather, so that they can be folded without looking at everything. */
export class Folds {
  readonly #pathsMax: number;
  readonly #atOnce: number;
  readonly #touched = new Map<string, Map<string, { readonly path: Path; count: number }>>();
  #paths = 0;

  /** `atOnce` amounts at one path, or `pathsMax` paths, are not left waiting. */
  constructor(atOnce: number, pathsMax: number) {
    this.#atOnce = atOnce;
    this.#pathsMax = pathsMax;
  }

  /** A change made here added something; true: it is time to fold. */
  touch(entity: string, applied: Pick<Applied, "gained">): boolean {
    let isTime = false;
    for (const path of amountPaths(applied)) {
      const paths = this.#touched.get(entity) ?? new Map<string, { readonly path: Path; count: number }>();
      this.#touched.set(entity, paths);
      const key = JSON.stringify(path);
      const held = paths.get(key);
      if (held === undefined) {
        paths.set(key, { path, count: 1 });
        this.#paths += 1;
      } else held.count += 1;
      isTime ||= (held?.count ?? 1) >= this.#atOnce || this.#paths >= this.#pathsMax;
    }
    return isTime;
  }

  get hasAny(): boolean {
    return this.#paths > 0;
  }

  /** Everything touched since the last time, by entity. */
  take(): [entity: string, paths: Path[]][] {
    const taken = [...this.#touched].map(([entity, paths]): [string, Path[]] => [
      entity,
      [...paths.values()].map(({ path }) => path),
    ]);
    this.#touched.clear();
    this.#paths = 0;
    return taken;
  }
}
