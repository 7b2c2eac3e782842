import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { MassaError } from "../lib/core/errors.ts";
import { any, eventFunction, openStage, type PlayedStream, refused, settled } from "../test/entity-stage.ts";

const key = { persistenceId: "p", entityId: "e" };

/** What may happen next to the one entity, its function, its store and its callers. */
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant("command" as const) },
    { weight: 6, arbitrary: fc.constant("events" as const) },
    { weight: 2, arbitrary: fc.constant("snapshot" as const) },
    { weight: 2, arbitrary: fc.constant("nothing" as const) },
    { weight: 2, arbitrary: fc.constant("refuse" as const) },
    { weight: 2, arbitrary: fc.constant("restart" as const) },
    { weight: 4, arbitrary: fc.constant("complete" as const) },
    { weight: 2, arbitrary: fc.constant("cancel" as const) },
    { weight: 2, arbitrary: fc.constant("idle" as const) },
    { weight: 1, arbitrary: fc.constant("break" as const) },
    { weight: 1, arbitrary: fc.constant("unknown reply" as const) },
    { weight: 1, arbitrary: fc.constant("other writer" as const) },
    { weight: 1, arbitrary: fc.constant("slow store" as const) },
    { weight: 1, arbitrary: fc.constant("broken store" as const) },
    { weight: 2, arbitrary: fc.constant("sound store" as const) },
    { weight: 1, arbitrary: fc.constant("stuck" as const) },
  ),
  { minLength: 5, maxLength: 60 },
);

/** The walk of one history, with all that must hold at every step of it. */
class Walk {
  readonly #stage;
  readonly #function;
  readonly #calls: { readonly got: string[]; readonly cancel: () => void; isCancelled: boolean }[] = [];
  readonly #replied = new Map<PlayedStream, number>();
  /** Texts that callers were told of, in order; and those that must never be stored. */
  readonly #answered: string[] = [];
  readonly #refused = new Set<string>();
  #slow: PromiseWithResolvers<undefined> | undefined;
  #number = 0;

  constructor(cacheBytes: number) {
    this.#stage = openStage({ cacheBytes, host: { mailboxMax: 8 } });
    this.#function = eventFunction(this.#stage);
  }

  async take(step: typeof steps extends fc.Arbitrary<readonly (infer T)[]> ? T : never): Promise<void> {
    const { streams, time, behind, script } = this.#stage;
    const stream = streams.at(-1);
    switch (step) {
      case "command": {
        const { call, got } = await this.#stage.open("event-sourced");
        this.#calls.push({ got, cancel: () => call.cancel(), isCancelled: false });
        break;
      }
      case "events":
      case "snapshot": {
        const texts = [this.#text(), this.#text()];
        const state = step === "snapshot" ? this.#function.snapshot(`${this.#told(stream)}${texts.join("")}`) : {};
        await this.#reply(stream, texts, state);
        break;
      }
      case "nothing":
        await this.#reply(stream, [], {});
        break;
      case "refuse":
        await this.#reply(stream, [], refused("no"));
        break;
      case "restart": {
        const text = this.#text();
        this.#refused.add(text);
        await this.#reply(stream, [text], refused("no", true));
        break;
      }
      case "complete":
        if (stream?.state === "half-closed") this.#end(stream);
        break;
      case "cancel": {
        const call = this.#calls.findLast(({ got, isCancelled }) => got.length === 0 && !isCancelled);
        if (!call) break;
        call.isCancelled = true;
        call.cancel();
        break;
      }
      case "idle":
        time.run(32_000);
        break;
      case "break":
        if (stream?.state === "open") this.#end(stream, new MassaError("internal", "broken"));
        break;
      case "unknown reply":
        if (stream?.state === "open") await this.#function.reply(1_000_000, [], {}, stream);
        break;
      case "other writer": {
        const { sequence } = await behind.events.head(key);
        await behind.events.append(key, sequence, [any(`<${this.#text()}>`)]);
        break;
      }
      case "slow store":
        this.#slow ??= Promise.withResolvers<undefined>();
        script.set("append", { until: this.#slow.promise });
        break;
      case "broken store":
        if (!this.#slow) script.set("append", { fail: new MassaError("unavailable", "away") });
        break;
      case "sound store":
        this.#mend();
        break;
      case "stuck":
        time.run(130_000);
        break;
    }
    await settled();
    await this.#check();
  }

  /** Everything comes to rest: then all callers have had their one last word. */
  async rest(): Promise<void> {
    const { streams, time, host } = this.#stage;
    this.#mend();
    await settled();
    for (let round = 0; host.active > 0 && round < 50; round++) {
      await settled();
      for (const stream of [...streams]) {
        if (stream.state === "half-closed") this.#end(stream);
        else await this.#reply(stream, [], {});
      }
      time.run(32_000);
      await settled();
    }
    assert.equal(host.active, 0);
    await this.#check();
    for (const { got, isCancelled } of this.#calls) {
      assert(isCancelled || got.length > 0, "a caller waits for ever");
    }
  }

  #text(): string {
    this.#number += 1;
    return `${this.#number}.`;
  }

  /** What the function on this stream knows. */
  #told(stream: PlayedStream | undefined): string {
    return (stream?.sent ?? []).map((line) => /^(?:init \d+|event \d+) (.*)$/.exec(line)?.[1] ?? "").join("");
  }

  async #reply(stream: PlayedStream | undefined, texts: readonly string[], more: object): Promise<void> {
    if (stream?.state !== "open") return;
    const out = commandsOf(stream).at(-1) ?? 0;
    if (out === (this.#replied.get(stream) ?? 0)) return;
    this.#replied.set(stream, out);
    const open = this.#calls.filter(({ got }) => got.length === 0);
    await this.#function.reply(out, texts, more, stream);
    const answered = open.some(({ got }) => got[0] === "reply");
    if (answered) this.#answered.push(...texts);
  }

  #end(stream: PlayedStream, error?: MassaError): void {
    stream.state = "completed";
    if (error) stream.receiver.fail(error);
    else stream.receiver.end();
  }

  #mend(): void {
    this.#slow?.resolve(undefined);
    this.#slow = undefined;
    this.#stage.script.clear();
  }

  async #check(): Promise<void> {
    const { streams, behind } = this.#stage;
    const { sequence } = await behind.events.head(key);
    const stored = (await behind.events.read(key, 0, 10_000)).map(({ value }) => Buffer.from(value).toString());
    assert.equal(stored.length, sequence);
    assert.equal(new Set(stored).size, stored.length, "an event is stored twice");
    for (const text of stored) assert(!this.#refused.has(text), "an event of a refused command is stored");
    const kept = stored.filter((text) => this.#answered.includes(text));
    assert.deepEqual(kept, this.#answered, "what was answered is not what is stored");
    assert(
      streams.filter(({ state }) => state === "open" || state === "half-closed").length <= 1,
      "two streams at once",
    );
    for (const stream of streams) {
      const ids = commandsOf(stream);
      assert.deepEqual(
        ids,
        ids.map((_, at) => at + 1),
      );
      const replied = this.#replied.get(stream) ?? 0;
      assert(ids.length <= replied + 1, "two commands are out");
      checkReplay(stream, stored);
    }
    for (const { got, isCancelled } of this.#calls) {
      if (isCancelled) continue;
      const words = got.join(" ");
      assert.match(
        words,
        /^$|^((reply|failure no) end|(failed|unavailable|exhausted): [^:]*|deadline: [^:)]*\)( (reply|failure no) end)?)$/,
      );
    }
  }
}

function commandsOf({ sent }: PlayedStream): number[] {
  return sent.filter((line) => line.startsWith("command")).map((line) => Number(line.split(" ")[1]));
}

/** Init and events are those of the store, without a gap, before the first command. */
function checkReplay({ sent }: PlayedStream, stored: readonly string[]): void {
  const [, from = "0"] = /^init (\d+) /.exec(sent[0]!) ?? [];
  const events = sent.filter((line) => line.startsWith("event"));
  assert.deepEqual(
    events,
    stored
      .slice(Number(from), Number(from) + events.length)
      .map((text, at) => `event ${Number(from) + at + 1} ${text}`),
  );
  const first = sent.findIndex((line) => line.startsWith("command"));
  if (first >= 0) assert.equal(first, 1 + events.length);
}

suite("an event-sourced entity, whatever happens to it", () => {
  for (const cacheBytes of [0, 1 << 20]) {
    test(`loses nothing, doubles nothing, and leaves no caller without a word, ${cacheBytes > 0 ? "with" : "without"} state in memory`, async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (history) => {
          const walk = new Walk(cacheBytes);
          for (const step of history) await walk.take(step);
          await walk.rest();
        }),
        { numRuns: 150 },
      );
    });
  }
});
