import type { HttpTemplate } from "../discovery/http-template.ts";

/** What stands in the index: whose template it is, for which HTTP method (`*`: any); of several that match the highest order wins. */
export interface HttpPathEntry {
  readonly order: number;
  readonly httpMethod: string;
  readonly template: HttpTemplate;
}

/** Entries that end at the same place, by verb and HTTP method. */
type Ends<T> = Map<string | undefined, Map<string, T>>;

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  one: Node<T> | undefined;
  /** Templates whose last segment was the way here. */
  readonly ends: Ends<T>;
  /** Templates that take all that follows, by `**`. */
  readonly rests: Ends<T>;
}

/**
 * Finds templates by path, as a tree of their segments: a look-up visits each node at most once, whatever the path.
 * `*` matches one segment without `:`, which may be empty, `**` anything.
 */
export class HttpPathIndex<T extends HttpPathEntry> {
  readonly #root: Node<T> = emptyNode();

  /** Of two entries for the same paths the later one stays. */
  add(entry: T): void {
    const { template, httpMethod } = entry;
    let node = this.#root;
    for (const segment of template.segments) {
      if (segment.type === "rest") {
        put(node.rests, template.verb, httpMethod, entry);
        return;
      }
      node = segment.type === "one" ? (node.one ??= emptyNode()) : childOf(node, segment.text);
    }
    put(node.ends, template.verb, httpMethod, entry);
  }

  /** The entry of the highest order that takes the HTTP method and the path, which is raw and without its query. */
  find(httpMethod: string, path: string): T | undefined {
    let best: T | undefined;
    this.#match(path, (entries) => {
      for (const entry of [entries.get(httpMethod), entries.get("*")]) {
        if (entry && (best === undefined || entry.order > best.order)) best = entry;
      }
    });
    return best;
  }

  /** The HTTP methods of all entries that take the path. */
  methods(path: string): ReadonlySet<string> {
    const methods = new Set<string>();
    this.#match(path, (entries) => {
      for (const method of entries.keys()) methods.add(method);
    });
    return methods;
  }

  /** Entries that take a path and HTTP method that this one takes too; a few of them when there are many. */
  overlapping({ template, httpMethod }: HttpPathEntry): readonly T[] {
    const { segments, verb } = template;
    const isOpen = verb === undefined && segments.at(-1)?.type === "rest";
    const found: T[] = [];
    let visitsLeft = visitsMax;
    const note = (entries: Map<string, T> | undefined) => {
      for (const [method, entry] of entries ?? []) {
        if (method === httpMethod || method === "*" || httpMethod === "*") found.push(entry);
      }
    };
    const noteRests = ({ rests }: Node<T>) => {
      for (const [other, entries] of rests) if (isOpen || other === undefined || other === verb) note(entries);
    };
    const visit = (node: Node<T>, index: number) => {
      if (--visitsLeft < 0 || found.length >= overlapsMax) return;
      noteRests(node);
      const segment = segments[index]!;
      const { type } = segment;
      const children = type === "literal" ? [node.literals.get(segment.text), node.one] : childrenOf(node);
      for (const child of children) {
        if (child === undefined) continue;
        if (isOpen && type === "rest") child.ends.forEach(note);
        else if (index === segments.length - 1) note(child.ends.get(verb));
        if (type === "rest") visit(child, index);
        else if (index < segments.length - 1) visit(child, index + 1);
      }
    };
    visit(this.#root, 0);
    return found;
  }

  #match(path: string, found: (entries: Map<string, T>) => void): void {
    if (path.startsWith("/")) matchFrom(this.#root, path, 1, found);
  }
}

/** Bounds on what is looked at to warn of overlaps: beyond it a warning is missing, and nothing else. */
const visitsMax = 10_000;
const overlapsMax = 10;

function emptyNode<T>(): Node<T> {
  return { literals: new Map(), one: undefined, ends: new Map(), rests: new Map() };
}

function childOf<T>(node: Node<T>, text: string): Node<T> {
  const known = node.literals.get(text);
  if (known) return known;
  const child = emptyNode<T>();
  node.literals.set(text, child);
  return child;
}

function childrenOf<T>(node: Node<T>): readonly Node<T>[] {
  return node.one ? [...node.literals.values(), node.one] : [...node.literals.values()];
}

function put<T>(ends: Ends<T>, verb: string | undefined, httpMethod: string, entry: T): void {
  const entries = ends.get(verb) ?? new Map<string, T>();
  entries.set(httpMethod, entry);
  ends.set(verb, entries);
}

/** `at` is where the next segment begins. */
function matchFrom<T>(node: Node<T>, path: string, at: number, found: (entries: Map<string, T>) => void): void {
  for (const [verb, entries] of node.rests) {
    // No segment before has a colon: the verb is behind them.
    if (verb === undefined || path.endsWith(`:${verb}`)) found(entries);
  }
  if (node.one === undefined && node.literals.size === 0) return;
  const slash = path.indexOf("/", at);
  const isLast = slash < 0;
  const segment = isLast ? path.slice(at) : path.slice(at, slash);
  const colon = segment.indexOf(":");
  const text = colon < 0 ? segment : segment.slice(0, colon);
  if (colon >= 0 && !isLast) return;
  for (const child of [node.literals.get(text), node.one]) {
    if (child === undefined) continue;
    if (!isLast) matchFrom(child, path, slash + 1, found);
    else {
      const entries = child.ends.get(colon < 0 ? undefined : segment.slice(colon + 1));
      if (entries) found(entries);
    }
  }
}

/** The raw texts that the variables of a template capture from a path that it matches; in their order. */
export function capturesOf({ segments, variables, verb }: HttpTemplate, path: string): readonly string[] {
  if (variables.length === 0) return [];
  const end = verb === undefined ? path.length : path.length - verb.length - 1;
  const starts = [1];
  for (let index = 1; index < segments.length; index += 1) starts.push(path.indexOf("/", starts[index - 1]) + 1);
  return variables.map(({ from, to }) => path.slice(starts[from], to < segments.length ? starts[to]! - 1 : end));
}
