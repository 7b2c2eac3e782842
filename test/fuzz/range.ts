import { randomOf, reasonOf, type Shot, type Weapon, type WeaponName } from "./weapon.ts";

const answeredWithinMs = 10_000;
/** Bytes of one input that are printed; all of it can be made again by its number. */
const shownBytes = 4_096;
/** The same for each shot of whom it is not known whether it did it. */
const suspectBytes = 400;
const suspectsMax = 40;
/** Shots that are remembered, for when it is not known which of them did it. */
const rememberedMax = 100;

interface Fired {
  readonly weapon: WeaponName;
  readonly number: number;
  readonly shot: Shot;
  isOver: boolean;
}

/** Where shots are fired: counts them and what came of them, until the time is over or something is wrong. */
export class Range {
  readonly findings: string[] = [];
  readonly #seed: number;
  readonly #startMs = performance.now();
  readonly #untilMs: number;
  readonly #outcomes = new Map<WeaponName, Map<string, number>>();
  readonly #numbers = new Map<WeaponName, number>();
  readonly #fired = new Set<Fired>();

  constructor(seed: number, seconds: number) {
    this.#seed = seed;
    this.#untilMs = this.#startMs + seconds * 1_000;
  }

  get isOpen(): boolean {
    return this.findings.length === 0 && performance.now() < this.#untilMs;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  shots(weapon: WeaponName): number {
    return this.#numbers.get(weapon) ?? 0;
  }

  /** What came of the shots of a weapon, and how often. */
  told(weapon: WeaponName): string {
    const sorted = [...(this.#outcomes.get(weapon) ?? [])].sort(([, left], [, right]) => right - left);
    return sorted.map(([outcome, times]) => `${outcome} (${times})`).join(", ");
  }

  /** Something is wrong, and nobody knows which shot did it. The first finding counts: others follow from it. */
  found(text: string): void {
    if (this.findings.length > 0) return;
    const suspects = [...this.#fired].filter(({ isOver }) => !isOver).concat([...this.#fired].slice(-8));
    const told = suspects.slice(-suspectsMax).map((fired) => this.#told(fired, suspectBytes));
    this.findings.push([text, "what was fired just then:", ...new Set(told)].join("\n"));
  }

  /** Fires one shot after another, as many at once as the weapon says. */
  async fire(weapon: Weapon): Promise<void> {
    await Promise.all(
      Array.from({ length: weapon.parallel }, async () => {
        while (this.isOpen) await this.fireOne(weapon, this.shots(weapon.name));
      }),
    );
  }

  async fireOne(weapon: Weapon, number: number): Promise<void> {
    this.#numbers.set(weapon.name, number + 1);
    const shot = weapon.shot(randomOf(this.#seed, weapon.name, number));
    const fired: Fired = { weapon: weapon.name, number, shot, isOver: false };
    this.#remember(fired);
    try {
      const outcome = await inTime(shot.fire());
      const outcomes = this.#outcomes.get(weapon.name) ?? new Map<string, number>();
      this.#outcomes.set(weapon.name, outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1));
    } catch (failure) {
      if (this.findings.length === 0) this.findings.push(`${reasonOf(failure)}\n${this.#told(fired)}`);
    }
    fired.isOver = true;
  }

  #remember(fired: Fired): void {
    this.#fired.add(fired);
    for (const old of this.#fired) {
      if (this.#fired.size <= rememberedMax) return;
      if (old.isOver) this.#fired.delete(old);
    }
  }

  #told({ weapon, number, shot: { how, input } }: Fired, bytes = shownBytes): string {
    const hex = Buffer.from(input.subarray(0, bytes)).toString("hex");
    const rest = input.length > bytes ? `… (${input.length} bytes)` : "";
    return `${weapon} ${number} (again: --seed ${this.#seed} --only ${weapon} --number ${number}): ${how}\n  ${hex}${rest}`;
  }
}

async function inTime(outcome: Promise<string>): Promise<string> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = () => reject(new Error(`it took over ${answeredWithinMs / 1_000} s`));
  const timer = setTimeout(late, answeredWithinMs);
  try {
    return await Promise.race([outcome, promise]);
  } finally {
    clearTimeout(timer);
  }
}
