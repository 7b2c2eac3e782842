import { setTimeout as sleep } from "node:timers/promises";
import { Arena } from "./arena.ts";
import { DescriptorsWeapon } from "./descriptors.ts";
import { FramesWeapon } from "./frames.ts";
import { GoodClient } from "./health.ts";
import { httpWeapon } from "./http.ts";
import { jsonWeapon } from "./json.ts";
import { Memory } from "./memory.ts";
import { Range } from "./range.ts";
import { reasonOf, type Weapon, type WeaponName } from "./weapon.ts";

export interface FuzzOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly only?: WeaponName;
  /** Fires this shot of `only` alone. */
  readonly number?: number;
  readonly say: (line: string) => void;
}

/** How it went. */
export interface FuzzResult {
  /** What is wrong, in words and with the inputs; empty when all is well. */
  readonly findings: readonly string[];
  /** How many shots each weapon fired. */
  readonly shots: Readonly<Record<string, number>>;
  /** Rounds of well-formed calls. */
  readonly rounds: number;
}

const calledWithinMs = 10_000;
const goodClients = 3;
const sampleEveryMs = 200;
const sayEveryMs = 10_000;
/** What no log of a proxy may hold: an error that nobody has thought of. */
const unforeseen = /TypeError|RangeError|ReferenceError|SyntaxError|ERR_INTERNAL|uncaught|unhandled/i;

/** Fires at a proxy until the time is over or something is wrong. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  await using stack = new AsyncDisposableStack();
  const arena = stack.use(await Arena.open());
  const { frontPort } = arena.proxy;
  const wanted = (name: WeaponName) => options.only === undefined || options.only === name;
  const descriptors = wanted("descriptors") ? stack.use(await DescriptorsWeapon.open()) : undefined;
  const weapons: Weapon[] = [
    ...(wanted("http") ? [httpWeapon(frontPort)] : []),
    ...(wanted("json") ? [jsonWeapon(frontPort)] : []),
    ...(wanted("frames") ? [stack.use(new FramesWeapon(frontPort))] : []),
    ...(descriptors ? [descriptors] : []),
  ];
  const range = new Range(options.seed, options.seconds);
  const proxies = [arena.proxy, ...(descriptors ? [descriptors.proxy] : [])];
  const memories = proxies.map((proxy) => new Memory(() => proxy.residentBytes, options.seconds * 1_000));
  const clients = Array.from({ length: goodClients }, (_, index) =>
    stack.use(new GoodClient(frontPort, `good-client-${index}`, calledWithinMs)),
  );
  const rounds = () => clients.reduce((sum, { count }) => sum + count, 0);

  const judge = () => {
    arena.check();
    for (const proxy of proxies) {
      if (!proxy.isAlive) throw new Error(`a proxy ended; it said:\n${proxy.said.slice(-10_000)}`);
      const strange = proxy.said.split("\n").find((line) => unforeseen.test(line));
      if (strange !== undefined) throw new Error(`a proxy logged ${strange}`);
    }
    for (const memory of memories) memory.sample(range.elapsedMs);
  };
  const report = () => {
    const fired = weapons.map(({ name }) => `${name} ${range.shots(name)}`).join(", ");
    const memory = memories.map(({ told }) => told).join(" and ");
    options.say(`${Math.round(range.elapsedMs / 1_000)} s: ${fired}; ${rounds()} rounds of right calls; ${memory}`);
  };
  const watch = async () => {
    for (let saidMs = 0; range.isOpen; await sleep(sampleEveryMs)) {
      attempt(range, judge);
      if (range.elapsedMs < saidMs + sayEveryMs) continue;
      saidMs = range.elapsedMs;
      report();
    }
  };
  const visit = async (client: GoodClient) => {
    while (range.isOpen) {
      await client.round().catch((failure: unknown) => range.found(`a right call went wrong: ${reasonOf(failure)}`));
      await sleep(5);
    }
  };

  if (options.number === undefined) {
    await Promise.all([watch(), ...clients.map(visit), ...weapons.map((weapon) => range.fire(weapon))]);
    attempt(range, () => {
      for (const complaint of memories.map((memory) => memory.complaint()))
        if (complaint !== undefined) throw new Error(complaint);
    });
  } else {
    for (const weapon of weapons) await range.fireOne(weapon, options.number);
  }
  attempt(range, judge);
  report();
  for (const { name } of weapons) options.say(`${name}: ${range.told(name)}`);
  return {
    findings: range.findings,
    shots: Object.fromEntries(weapons.map(({ name }) => [name, range.shots(name)])),
    rounds: rounds(),
  };
}

/** What `work` throws is a finding. */
function attempt(range: Range, work: () => void): void {
  try {
    work();
  } catch (failure) {
    range.found(reasonOf(failure));
  }
}
