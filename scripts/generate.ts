/**
 * Makes the TypeScript of every .proto: `npm run generate`. With `--check` nothing is written; it fails when the code in the
 * tree is not what the .proto files give.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponseSchema,
  FileDescriptorSetSchema,
  type FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";

/** Where .proto files stand, and where their code goes. */
interface Root {
  readonly protos: string;
  readonly out: string;
}

const home = join(import.meta.dirname, "..");
const library: Root = { protos: "protos", out: "lib/wire/gen" };
const options = "target=ts,erasable_syntax=true,import_extension=ts";

const roots = [library, { protos: "test/conformance/protos", out: "test/conformance/gen" }, ...exampleRoots()];
const image = buildImage();
const made = new Map(roots.flatMap((root) => [...generate(root)]));
const present = new Set(roots.flatMap(({ out }) => filesUnder(out, ".ts")));
const stale = [...made].filter(([file, text]) => !present.has(file) || readFileSync(join(home, file), "utf8") !== text);
const left = [...present].filter((file) => !made.has(file));

if (process.argv.includes("--check")) {
  for (const file of [...stale.map(([name]) => name), ...left]) console.error(`generate: ${file} is not current`);
  if (stale.length + left.length > 0) {
    console.error("generate: run `npm run generate`");
    process.exit(1);
  }
} else {
  for (const file of left) rmSync(join(home, file));
  for (const [file, text] of stale) {
    mkdirSync(dirname(join(home, file)), { recursive: true });
    writeFileSync(join(home, file), text);
  }
  console.log(`generate: ${made.size} files, ${stale.length} written, ${left.length} removed`);
}

function exampleRoots(): Root[] {
  if (!existsSync(join(home, "examples"))) return [];
  const folders = readdirSync(join(home, "examples"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `examples/${name}`);
  return ["examples", ...folders]
    .filter((folder) => readdirSync(join(home, folder)).some((name) => name.endsWith(".proto")))
    .map((folder) => ({ protos: folder, out: `${folder}/gen` }))
    .sort((left, right) => (left.protos < right.protos ? -1 : 1));
}

/** All files and what they import, each after its imports, with comments. Buf needs no network for it. */
function buildImage(): readonly FileDescriptorProto[] {
  const config = JSON.stringify({ version: "v2", modules: roots.map(({ protos }) => ({ path: protos })) });
  const buf = join(home, "node_modules/@bufbuild/buf/bin/buf");
  const bytes = run([buf, "build", ".", "--config", config, "-o", "-#format=binpb"]);
  return fromBinary(FileDescriptorSetSchema, bytes).file;
}

/** The code of one root, by path from the top of the repository. */
function generate(root: Root): Map<string, string> {
  const request = create(CodeGeneratorRequestSchema, {
    fileToGenerate: filesUnder(root.protos, ".proto").map((file) => posix.relative(root.protos, file)),
    parameter: options,
    protoFile: [...image],
  });
  const plugin = join(home, "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es");
  const response = fromBinary(
    CodeGeneratorResponseSchema,
    run([plugin], toBinary(CodeGeneratorRequestSchema, request)),
  );
  if (response.error !== "") throw new Error(`protoc-gen-es: ${response.error}`);
  const own = new Set(response.file.map(({ name }) => name));
  return new Map(response.file.map(({ name, content }) => [`${root.out}/${name}`, rooted(root, own, name, content)]));
}

/** Points imports of files that another root has made to where those are: all shared files are the library's. */
function rooted(root: Root, own: ReadonlySet<string>, file: string, text: string): string {
  return text.replace(/(from ")(\.[^"]+)(")/g, (whole, before: string, path: string, after: string) => {
    const target = posix.join(posix.dirname(file), path);
    if (own.has(target)) return whole;
    return `${before}${posix.relative(posix.dirname(`${root.out}/${file}`), `${library.out}/${target}`)}${after}`;
  });
}

/** Sorted paths from the top of the repository. */
function filesUnder(folder: string, extension: string): string[] {
  if (!existsSync(join(home, folder))) return [];
  return readdirSync(join(home, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => relative(home, join(entry.parentPath, entry.name)))
    .sort();
}

function run(command: readonly string[], input?: Uint8Array): Uint8Array {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [...command], {
    cwd: home,
    maxBuffer: 1 << 28,
    ...(input && { input }),
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command[0] ?? ""} failed:\n${stderr.toString()}${stdout.toString()}`);
  return stdout;
}
