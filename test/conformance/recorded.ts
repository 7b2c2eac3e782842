import { create, type DescMethod, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { same } from "./plain.ts";
import type { Connection } from "./recorder.ts";
import type { ProxyStage } from "./stage.ts";

const passivatedWithinMs = 2_000;

/** What was recorded of one entity's stream, judged message by message, whole. */
export class RecordedStream<M extends DescMethod> {
  readonly #connection: Connection;
  readonly #method: M;

  private constructor(connection: Connection, method: M) {
    this.#connection = connection;
    this.#method = method;
  }

  /** The next stream that the proxy opened, and the first message that went in. */
  static async open<M extends DescMethod>(
    stage: ProxyStage,
    method: M,
    init: MessageInitShape<M["input"]>,
  ): Promise<RecordedStream<M>> {
    const recorded = new RecordedStream(await stage.recorder.connection(method), method);
    await recorded.in(init);
    return recorded;
  }

  in(message: MessageInitShape<M["input"]>): Promise<void> {
    const schema: M["input"] = this.#method.input;
    return this.#connection.expectIn(create(schema, message));
  }

  out(message: MessageInitShape<M["output"]>): Promise<void> {
    const schema: M["output"] = this.#method.output;
    return this.#connection.expectOut(create(schema, message));
  }

  /** What the function said next, for cases in which it has a choice. */
  async said(): Promise<MessageShape<M["output"]>> {
    return (await this.#connection.takeOut()) as MessageShape<M["output"]>;
  }

  /** Passes over one message each way. */
  async skip(): Promise<void> {
    await this.#connection.takeIn();
    await this.#connection.takeOut();
  }

  /** Nothing may go to the function for so long. */
  async silent(forMs: number): Promise<void> {
    same(await this.#connection.in.surplus(forMs), undefined, "what goes to the function");
  }

  /** Both sides end without error, as after passivation. */
  closed(): Promise<void> {
    return this.#connection.closed(passivatedWithinMs);
  }
}
