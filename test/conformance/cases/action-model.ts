import { ActionProtocol } from "../../../lib/wire/gen/cloudstate/action_pb.ts";
import { answer, command, E, e, f, following, type Groups, opening, r, type Step, x } from "../action-words.ts";
import { same } from "../plain.ts";
import { discovered } from "../discovered.ts";
import { type Case, modelCase, type Stage } from "../stage.ts";

const { handleUnary, handleStreamedIn, handleStreamedOut, handleStreamed } = ActionProtocol.method;

const kinds = ["reply", "no reply", "forward", "failure"] as const;
type Kind = (typeof kinds)[number];

/** The four shapes that every kind of answer is tried in: bare, with an effect, with a synchronous one, with three. */
function shapes(kind: Kind): Step[][] {
  const main = (word: string): Step[] =>
    kind === "reply" ? [r(word)] : kind === "forward" ? [f(word)] : kind === "failure" ? [x(word)] : [];
  return [
    main("one"),
    [...main("two"), e("other")],
    [...main("three"), E("another")],
    [...main("four"), e("a"), e("b"), e("c")],
  ];
}

async function unary(stage: Stage, steps: readonly Step[]): Promise<void> {
  const call = stage.function.start(handleUnary, command("ProcessUnary", [steps]));
  await call.expect(answer([steps]));
  await call.completed();
}

async function streamedIn(stage: Stage, requests: readonly Groups[]): Promise<void> {
  const call = stage.function.open(handleStreamedIn);
  call.send(opening("ProcessStreamedIn"));
  for (const groups of requests) call.send(following(groups));
  call.end();
  await call.expect(answer(requests.flat()));
  await call.completed();
}

async function streamedOut(stage: Stage, groups: Groups): Promise<void> {
  const call = stage.function.start(handleStreamedOut, command("ProcessStreamedOut", groups));
  for (const steps of groups) await call.expect(answer([steps]));
  await call.completed();
}

async function streamed(stage: Stage, requests: readonly Groups[]): Promise<void> {
  const call = stage.function.open(handleStreamed);
  call.send(opening("ProcessStreamed"));
  for (const groups of requests) {
    call.send(following(groups));
    for (const steps of groups) await call.expect(answer([steps]));
  }
  call.end();
  await call.completed();
}

/** The input of a streamed-in case, one request each. */
const inputs: readonly (readonly [number, string, readonly Groups[]])[] = [
  [18, "reply", [[[r("one")]]]],
  [19, "reply with effects", [[[r("two"), e("a")]], [[E("b")]], [[e("c"), e("d")]]]],
  [20, "no requests", []],
  [21, "no reply", [[[]]]],
  [22, "no reply, with effects", [[[e("a")]], [[E("b")]], [[e("c"), e("d")]]]],
  [23, "forward", [[[f("one")]]]],
  [24, "forward with effects", [[[f("two"), e("a")]], [[E("b")]], [[e("c"), e("d")]]]],
  [25, "failure", [[[x("one")]]]],
  [26, "failure with effects", [[[x("two"), e("a")]], [[E("b")]], [[e("c"), e("d")]]]],
];

/** A1–A34: what an action answers. */
export const actionModelCases: readonly Case[] = [
  modelCase("A1", "action: discovery", async (stage) => {
    const { entities } = await discovered(stage.function);
    for (const name of ["ActionTckModel", "ActionTwo"]) {
      const entity = entities.find(({ serviceName }) => serviceName === `cloudstate.tck.model.action.${name}`);
      same(entity?.entityType, "cloudstate.action.ActionProtocol", `the type of ${name}`);
    }
  }),
  ...kinds.flatMap((kind, row) =>
    shapes(kind).map((steps, column) =>
      modelCase(`A${(2 + 4 * row + column).toString()}`, `action: unary ${kind}`, (stage) => unary(stage, steps)),
    ),
  ),
  ...inputs.map(([number, title, requests]) =>
    modelCase(`A${number.toString()}`, `action: streamed in, ${title}`, (stage) => streamedIn(stage, requests)),
  ),
  ...kinds.map((kind, row) =>
    modelCase(`A${(27 + row).toString()}`, `action: streamed out, ${kind}`, (stage) =>
      streamedOut(stage, shapes(kind)),
    ),
  ),
  ...kinds.map((kind, row) => {
    const [bare, withEffect] = shapes(kind);
    const last: Groups = [bare!, withEffect!];
    const requests = [...shapes(kind).map((steps): Groups => [steps]), last];
    return modelCase(`A${(31 + row).toString()}`, `action: streamed, ${kind}`, (stage) => streamed(stage, requests));
  }),
];
