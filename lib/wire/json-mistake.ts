/** A document is JSON, but not of the wanted message. */
export class JsonMistake extends Error {
  /** The way to the place, its innermost step first; whoever reads a part adds its own step. */
  readonly steps: string[] = [];

  constructor(reason: string, step?: string) {
    super(reason);
    if (step !== undefined) this.steps.push(step);
  }

  /** `lines[2].price: expected double, got true` */
  described(): string {
    const way = this.steps.toReversed();
    const told = way.slice(0, stepsMax).map((step, index) => (index === 0 || step.startsWith("[") ? step : `.${step}`));
    const path = told.join("") + (way.length > stepsMax ? "…" : "");
    return path === "" ? this.message : `${path}: ${this.message}`;
  }
}

/** How much of the way to a mistake is told. */
const stepsMax = 32;
