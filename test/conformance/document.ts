import { fileURLToPath } from "node:url";
import { distortions } from "./distortion.ts";
import { storedDistortions } from "./distortion-stored.ts";
import type { Case } from "./stage.ts";
import { cases } from "./suite.ts";

/** What became of one case. */
export type Judgement =
  | { readonly one: Case; readonly result: "passed" }
  | { readonly one: Case; readonly result: "failed" | "skipped"; readonly why: string };

/** Where the results of a run are written down. */
export const documentPath = fileURLToPath(new URL("../../docs/conformance.md", import.meta.url));

/** The page about a run: each case, what it shows, and its result. */
export function documented(judgements: readonly Judgement[]): string {
  const results = new Map(judgements.map((judgement) => [judgement.one.number, judgement]));
  return [
    ...introduction,
    "| Case | Between | What it shows | Result |",
    "| --- | --- | --- | --- |",
    ...cases.map((one) => rowOf(one, results.get(one.number))),
    "",
    "## Proxies that are wrong",
    "",
    "The suite is run against proxies that are wrong on purpose, and each must be found out by the case that is named:",
    "",
    "| Wrong by | Found out by |",
    "| --- | --- |",
    ...[...distortions, ...storedDistortions].map(({ title, foundBy }) => `| ${title} | ${foundBy} |`),
    "",
  ].join("\n");
}

function rowOf({ number, half, title }: Case, judgement: Judgement | undefined): string {
  const result = judgement?.result ?? "not run";
  return `| ${[number, between[half], title, result].join(" | ")} |`;
}

const between: Readonly<Record<Case["half"], string>> = {
  model: "suite and function",
  proxy: "client, proxy and function",
  start: "starting proxy and function",
};

const introduction = [
  "# Conformance",
  "",
  "Made from a run by `npm run conformance -- --docs`; `npm test` runs all cases and fails when this page is not about all of them.",
  "",
  [
    "The cases judge both sides of the Cloudstate 0.2 protocol over real sockets.",
    "Those *between suite and function* speak the protocol to a user function, here the model function in `test/conformance/model`, which is written with `massa/sdk`.",
    "Those *between client, proxy and function* call the proxy as a client would, over gRPC or HTTP, while a recorder between proxy and function keeps what goes either way; whole messages are compared, with what is absent in them and what is empty.",
    "After each case the proxy may make no further call.",
  ].join(" "),
  "",
  [
    "P, A, V, E, C and G follow the numbers of the protocol's own compatibility kit: proxy, actions, value entities, event-sourced entities, CRDT entities and the event log.",
    "X are our own, for what that kit does not look at; in several of them the recorder holds back or changes what the function says.",
  ].join(" "),
  "",
  [
    "`npm run conformance -- --proxy HOST:PORT --function HOST:PORT` judges another proxy and another function; the proxy must be started with the recorder as its function (port 8090, or what `--recorder` says).",
    "A case is left out, and said to be, when the function does not offer the services that it needs.",
    "With `--proxy`, so are X44, X45 and X46, which start proxies of their own.",
  ].join(" "),
  "",
  "## With programs that are not ours",
  "",
  "All of these were built from the sources of the Cloudstate project as they were last left, and not changed.",
  "",
  [
    "- **The compatibility kit itself**, the one in Scala that the reference proxy is judged by, against this proxy: 186 of 186 with the model function of the Java support library, on either store, and 186 of 186 with ours.",
    "- **This suite, with the model functions of others**: 223 cases pass with that of the Java support library and with that of the Go one.",
    "  Left out are X15, X16, X24, X37, X38 and X39, because they need services of our own, and X44, X45 and X46, because another proxy is not started.",
    "  The model of the Node support library has event-sourced entities alone, and passes the 32 cases that are about those.",
  ].join("\n"),
  "",
  "## Every case",
  "",
] as const;
