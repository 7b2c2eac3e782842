import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { MassaError } from "../lib/core/errors.ts";
import { type Logger, silentLogger } from "../lib/core/log.ts";
import { silentTelemetry, type Telemetry } from "../lib/core/telemetry.ts";
import { type EmbeddedStoreOptions, openEmbeddedStore } from "../lib/store/embedded.ts";
import type { Store } from "../lib/store/store.ts";

/** A folder of its own that goes away. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "massa-store-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

export function openEmbedded(
  file: string,
  options: Partial<EmbeddedStoreOptions> = {},
  {
    telemetry = silentTelemetry,
    log = silentLogger,
    ...more
  }: { telemetry?: Telemetry; log?: Logger; lost?: (error: MassaError) => void } = {},
): Promise<Store> {
  const defaults = { file, waitingMax: 10_000, waitingBytesMax: 64 * 1024 * 1024, commitMax: 1_000 };
  return openEmbeddedStore({ log, telemetry, ...more, options: { ...defaults, ...options } });
}

/** What event `sequence` of an entity holds when it was written as the `index`th of `count` at once: whatever was torn shows. */
export function provable(entityId: string, sequence: number, index: number, count: number): Uint8Array {
  return Buffer.from(`${entityId}:${sequence}:${index}/${count}:`.padEnd(100 + ((sequence * 37) % 900), `${sequence}`));
}

/** Bundles a script with the store, as the published package is, into a folder; returns the path of what to run. */
export async function bundled(script: string, folder: string): Promise<string> {
  await build({
    entryPoints: { script },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    outExtension: { ".js": ".mjs" },
    banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` },
    logLevel: "error",
  });
  return join(folder, "script.mjs");
}
