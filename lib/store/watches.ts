/** Who wants to know when the log of a persistence id grew. */
export interface Watches {
  add(persistenceId: string, grown: () => void): () => void;
  /** Calls back in the turn, once however often it is told. */
  tell(persistenceId: string): void;
  clear(): void;
}

export function createWatches(): Watches {
  const watches = new Map<string, Set<() => void>>();
  const told = new Set<string>();
  return {
    add(persistenceId, grown) {
      const watch = () => grown();
      const ofLog = watches.get(persistenceId) ?? new Set();
      watches.set(persistenceId, ofLog.add(watch));
      return () => {
        if (ofLog.delete(watch) && ofLog.size === 0) watches.delete(persistenceId);
      };
    },
    tell(persistenceId) {
      if (!watches.has(persistenceId) || told.has(persistenceId)) return;
      told.add(persistenceId);
      queueMicrotask(() => {
        told.delete(persistenceId);
        for (const watch of [...(watches.get(persistenceId) ?? [])]) watch();
      });
    },
    clear: () => watches.clear(),
  };
}
