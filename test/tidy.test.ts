import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { suite, test } from "node:test";
import ts from "typescript";

/** What a room may import of ours, beside itself; a port is named as a file. Whatever is not listed is refused. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  crdt: [],
  eventing: ["lib/core"],
  "lib/core": [],
  "lib/wire": ["lib/core"],
  "lib/discovery": ["lib/wire", "lib/core", "lib/user-function/user-function.ts"],
  "lib/user-function": ["lib/wire", "lib/core"],
  "lib/entities": [
    "crdt",
    "lib/wire",
    "lib/core",
    "lib/routing/command.ts",
    "lib/user-function/user-function.ts",
    "lib/discovery/service-table.ts",
    "lib/replication/port.ts",
    "lib/store/store.ts",
  ],
  "lib/routing": ["lib/wire", "lib/core", "lib/mesh/mesh.ts", "lib/discovery/service-table.ts"],
  "lib/mesh": ["lib/core", "lib/wire/gen"],
  "lib/store": ["lib/wire", "lib/core"],
  "lib/replication": ["crdt", "lib/core", "lib/mesh/mesh.ts", "lib/mesh/failure-detector.ts", "lib/wire/gen"],
  "lib/frontend": ["lib/routing/command.ts", "lib/discovery", "lib/wire", "lib/core", "eventing"],
  "lib/admin": ["lib/core", "lib/mesh/mesh.ts", "eventing", "lib/discovery/service-table.ts"],
  "lib/sdk": ["crdt", "lib/wire", "lib/core"],
  "lib/testing": ["crdt", "eventing", "lib"],
  "lib/cli": ["crdt", "eventing", "lib"],
  lib: ["crdt", "eventing", "lib"],
  examples: ["lib/sdk/index.ts"],
  bench: ["crdt", "eventing", "lib"],
  scripts: ["lib"],
  test: ["crdt", "eventing", "lib", "examples", "scripts", "bench", "property-tests"],
  "property-tests": ["crdt", "eventing", "lib", "test"],
};

/** Rooms that decide and do no I/O of their own may import no package; others only here. */
const adapters: Readonly<Record<string, readonly string[]>> = {
  "lib/core/config": ["zod", "yaml"],
  "lib/core/pino": ["pino"],
  "lib/core/telemetry": ["prom-client"],
  "lib/mesh/libp2p": ["libp2p", "@libp2p/", "@multiformats/", "@chainsafe/"],
  "lib/cli/": ["commander", "yaml", "@grpc/grpc-js"],
  "lib/sdk/": ["@grpc/grpc-js"],
  bench: [],
  scripts: ["esbuild"],
  test: ["@grpc/grpc-js", "esbuild", "typescript", "fast-check", "libp2p", "@libp2p/", "@multiformats/"],
  "property-tests": ["fast-check"],
};
/** Protobuf at run time is everybody's but the pure data types'. */
const everywhere = ["@bufbuild/protobuf"];

/** Exported for those who come from outside: conformance suites of ports, what ships for testing, the simulated network. */
const forOthers = [/\/conformance\.ts$/, /^lib\/testing\//, /^lib\/mesh\/simulated/];

const root = join(import.meta.dirname, "..");
const folders = ["crdt", "eventing", "lib", "examples", "bench", "scripts", "test", "property-tests"];
const paths = globSync(
  folders.map((folder) => `${folder}/**/*.ts`),
  { cwd: root },
).sort();
const sources = new Map(paths.map((path) => [path, parsed(path)]));
const isTest = (path: string) => path.startsWith("test/") || path.startsWith("property-tests/");
const isGenerated = (path: string) => path.includes("/gen/");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies: Readonly<Record<string, string>>;
};

/** One `import … from` or `export … from`, or an `import()`. */
interface Import {
  readonly from: string;
  /** A path from the top of the repository, or the name of a package. */
  readonly target: string;
  readonly ours: boolean;
  readonly names: readonly string[];
  /** All names at once, as `import * as` and `import()` take. */
  readonly whole: boolean;
}

const imports = [...sources].flatMap(([path, source]) => importsOf(path, source));

suite("tidy", () => {
  test("no file without a room", () => {
    nothing(
      paths
        .filter((path) => rooms[roomOf(path)] === undefined)
        .map((path) => `${path} is in no room: move it into one of those in test/tidy.test.ts, or name its room there`),
    );
    nothing(
      Object.keys(rooms)
        .filter((room) => !paths.some((path) => roomOf(path) === room))
        .map((room) => `${room} is a room without files: take it out of test/tidy.test.ts`),
    );
  });

  test("files import only what their room may", () => {
    nothing(
      imports
        .filter(({ from, target, ours }) => ours && !isGenerated(from) && !mayImport(from, target))
        .map(
          ({ from, target }) =>
            `${from} imports ${target}, which ${roomOf(from)} may not: write the interface it needs down in its own room and let lib/proxy.ts hand in what fulfils it`,
        ),
    );
  });

  test("packages are imported by adapters alone", () => {
    nothing(
      imports
        .filter(({ from, target, ours }) => !ours && !isGenerated(from) && !mayUse(from, target))
        .map(
          ({ from, target }) => `${from} imports ${target}: only the adapters in test/tidy.test.ts talk to packages`,
        ),
    );
  });

  test("what ships imports only dependencies that are installed with it", () => {
    const shipped = ["crdt/", "eventing/", "lib/"];
    nothing(
      imports
        .filter(
          ({ from, target, ours }) =>
            !ours && !target.startsWith("node:") && shipped.some((folder) => from.startsWith(folder)),
        )
        .filter(({ target }) => !Object.keys(manifest.dependencies).includes(packageOf(target)))
        .map(({ from, target }) => `${from} imports ${target}: npm i --save-exact ${packageOf(target)}`),
    );
    const used = new Set(imports.filter(({ ours }) => !ours).map(({ target }) => packageOf(target)));
    nothing(
      Object.keys(manifest.dependencies)
        .filter((name) => !used.has(name))
        .map((name) => `nothing imports ${name}: npm uninstall ${name}`),
    );
  });

  test("no cycle between files", () => {
    nothing(cycles().map((way) => `${way}: move what both need into a file of its own, or hand it in as an argument`));
  });

  test("no dead exports", () => {
    const reached = reachedNames();
    nothing(
      paths
        .filter((path) => !isTest(path) && !isGenerated(path) && !forOthers.some((pattern) => pattern.test(path)))
        .flatMap((path) => exportsOf(sources.get(path)!).map((name) => ({ path, name })))
        .filter(({ path, name }) => !reached.has(`${path}#${name}`) && !reached.has(`${path}#*`))
        .map(
          ({ path, name }) =>
            `${path} exports ${name}, which no other source file uses: take "export" away, or the thing`,
        ),
    );
  });

  test("nothing is left for later, and no test runs alone", () => {
    const words = [
      ["TO", "DO"],
      ["FIX", "ME"],
      ["X", "XX"],
    ].map((parts) => parts.join(""));
    const later = new RegExp(`\b(${words.join("|")})\b`);
    const alone = /\b(test|suite|it|describe)\.only\(|\bonly: true\b/;
    const texts = paths.filter((path) => !isGenerated(path)).map((path) => [path, sources.get(path)!.text] as const);
    nothing(
      texts.flatMap(([path, text]) => [
        ...(later.test(text) ? [`${path} leaves something for later: do it, or open an issue`] : []),
        ...(alone.test(text) ? [`${path} runs one test alone: take "only" away`] : []),
      ]),
    );
  });
});

function nothing(complaints: readonly string[]): void {
  assert.equal(complaints.length, 0, `\n${complaints.join("\n")}\n`);
}

function parsed(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(join(root, path), "utf8"), ts.ScriptTarget.ESNext, true);
}

/** The folder, or the two below lib/; files right in lib/ are in the room `lib`. */
function roomOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  return top === "lib" && !second.endsWith(".ts") ? `${top}/${second}` : top;
}

function mayImport(from: string, target: string): boolean {
  const allowed = [roomOf(from), ...(rooms[roomOf(from)] ?? [])];
  return allowed.some((place) => target === place || target.startsWith(`${place}/`));
}

function mayUse(from: string, target: string): boolean {
  if (target.startsWith("node:")) return roomOf(from) !== "crdt";
  if (everywhere.some((name) => packageOf(target) === name)) return roomOf(from) !== "crdt";
  return Object.entries(adapters)
    .filter(([place]) => from.startsWith(place))
    .some(([, names]) =>
      names.some((name) => (name.endsWith("/") ? target.startsWith(name) : packageOf(target) === name)),
    );
}

function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function importsOf(from: string, source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (specifier: string, names: readonly string[], whole: boolean) => {
    const target = targetOf(from, specifier);
    if (target === "package.json") return;
    found.push({ from, target, ours: sources.has(target) || target.endsWith(".ts"), names, whole });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const { importClause } = node;
      const bindings = importClause?.namedBindings;
      const named = bindings && ts.isNamedImports(bindings) ? bindings.elements : [];
      const names = named.map(({ name, propertyName }) => (propertyName ?? name).text);
      add(node.moduleSpecifier.text, names, bindings !== undefined && ts.isNamespaceImport(bindings));
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      const named = node.exportClause && ts.isNamedExports(node.exportClause) ? node.exportClause.elements : [];
      const names = named.map(({ name, propertyName }) => (propertyName ?? name).text);
      add(node.moduleSpecifier.text, names, named.length === 0);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument && ts.isStringLiteral(argument)) add(argument.text, [], true);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) add(node.argument.literal.text, [], true);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Our own packages' names stand for the files behind them. */
function targetOf(from: string, specifier: string): string {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier);
  if (specifier !== "massa" && !specifier.startsWith("massa/")) return specifier;
  const entry = manifest.exports[specifier === "massa" ? "." : specifier.replace("massa", ".")];
  return typeof entry === "object" ? posix.normalize(entry["massa-source"]!) : specifier;
}

function exportsOf(source: ts.SourceFile): string[] {
  return source.statements.flatMap((statement) => {
    if (ts.isExportDeclaration(statement)) {
      const named =
        statement.exportClause && ts.isNamedExports(statement.exportClause) ? statement.exportClause : undefined;
      return named ? named.elements.map(({ name }) => name.text) : [];
    }
    const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : [];
    return modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ? declaredBy(statement) : [];
  });
}

function declaredBy(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.flatMap(({ name }) => namesIn(name));
  if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement))
    return [statement.name?.text ?? "default"];
  if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) return [statement.name.text];
  return [];
}

function namesIn(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((element) => (ts.isOmittedExpression(element) ? [] : namesIn(element.name)));
}

/** `path#name` of all that source files use of others, that package entries hand out, and the types that those name. */
function reachedNames(): ReadonlySet<string> {
  const reached = new Set<string>();
  for (const { from, target, ours, names, whole } of imports) {
    if (!ours || isTest(from)) continue;
    for (const name of names) reached.add(`${target}#${name}`);
    if (whole) reached.add(`${target}#*`);
  }
  for (const entry of Object.values(manifest.exports)) {
    if (typeof entry === "object") reached.add(`${posix.normalize(entry["massa-source"]!)}#*`);
  }
  // A set that grows while it is walked: what is added is walked too.
  for (const place of reached) {
    const [path = "", name = ""] = place.split("#");
    const source = sources.get(path);
    if (source) for (const type of typesNamedBy(source, name)) reached.add(`${path}#${type}`);
  }
  return reached;
}

/** The types that the signature of a declaration names; bodies of functions do not count. */
function typesNamedBy(source: ts.SourceFile, name: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isBlock(node)) return;
    if (ts.isTypeReferenceNode(node) && ts.isIdentifier(node.typeName)) found.push(node.typeName.text);
    if (ts.isExpressionWithTypeArguments(node) && ts.isIdentifier(node.expression)) found.push(node.expression.text);
    ts.forEachChild(node, visit);
  };
  for (const statement of source.statements) if (declaredBy(statement).includes(name)) visit(statement);
  return found;
}

/** Each way along imports, of types too, that comes back to where it began. */
function cycles(): string[] {
  const next = new Map<string, string[]>();
  for (const { from, target, ours } of imports) {
    if (ours) next.set(from, [...(next.get(from) ?? []), target]);
  }
  const found = new Set<string>();
  const state = new Map<string, "open" | "done">();
  const trail: string[] = [];
  const walk = (path: string): void => {
    state.set(path, "open");
    trail.push(path);
    for (const target of next.get(path) ?? []) {
      if (state.get(target) === "open") found.add([...trail.slice(trail.indexOf(target)), target].join(" → "));
      else if (!state.has(target)) walk(target);
    }
    trail.pop();
    state.set(path, "done");
  };
  for (const path of paths) if (!state.has(path)) walk(path);
  return [...found];
}
