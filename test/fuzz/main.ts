// `npm run fuzz`: random and spoilt input at a real proxy; exit code 1, with the seed and the input, when something is wrong.
import { parseArgs } from "node:util";
import { realWorld } from "../../lib/core/world.ts";
import { fuzz } from "./run.ts";
import { weaponNames } from "./weapon.ts";

const usage = `usage: npm run fuzz -- [--seconds N] [--seed S] [--only ${weaponNames.join("|")}] [--number N]

A proxy is started, and fired at for so many seconds (60). --number fires that shot of --only alone.`;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string" },
    only: { type: "string" },
    number: { type: "string" },
    help: { type: "boolean" },
  },
});
const seconds = Number(values.seconds);
const seed = values.seed === undefined ? realWorld.random.int(2 ** 31) : Number(values.seed);
const only = weaponNames.find((name) => name === values.only);
const number = values.number === undefined ? undefined : Number(values.number);

if (values.help || !isRight()) {
  console.error(usage);
  process.exitCode = values.help ? 0 : 2;
} else {
  console.log(`fuzz: --seed ${seed}`);
  const { findings } = await fuzz({
    seconds,
    seed,
    ...(only && { only }),
    ...(number !== undefined && { number }),
    say: (line) => console.log(line),
  });
  for (const finding of findings) console.error(`WRONG, --seed ${seed}: ${finding}`);
  console.log(findings.length === 0 ? "fuzz: nothing wrong" : "fuzz: something is wrong");
  process.exitCode = findings.length === 0 ? 0 : 1;
}

function isRight(): boolean {
  const isOnly = only !== undefined || (values.only === undefined && number === undefined);
  return seconds > 0 && Number.isInteger(seed) && isOnly && (number === undefined || Number.isInteger(number));
}
