// `npm run build`: what the published package runs, in dist/: bundles by esbuild, declarations by tsc.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { build, type BuildOptions } from "esbuild";

const root = join(import.meta.dirname, "..");
const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  splitting: true,
  outdir: "dist",
  sourcemap: true,
  legalComments: "linked",
  logLevel: "warning",
};
/** Packages written as CommonJS call `require`, which an ES module has not. */
const requireBanner = `import { createRequire as createRequireOfMassa } from "node:module"; const require = createRequireOfMassa(import.meta.url);`;

rmSync(join(root, "dist"), { recursive: true, force: true });
// The proxy carries its packages with it: one bundle starts twice as fast as the modules one by one.
await build({
  ...common,
  entryPoints: { main: "lib/main.ts", index: "lib/index.ts" },
  chunkNames: "proxy-[hash]",
  banner: { js: requireBanner },
});
// Libraries share the user's own copies, of @bufbuild/protobuf above all.
await build({
  ...common,
  entryPoints: { sdk: "lib/sdk/index.ts", crdt: "crdt/index.ts", testing: "lib/testing/index.ts" },
  chunkNames: "library-[hash]",
  packages: "external",
});
const tsc = [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "scripts/tsconfig.types.json")];
const { status, error } = spawnSync(process.execPath, tsc, { stdio: "inherit" });
if (error) throw error;
process.exit(status ?? 1);
