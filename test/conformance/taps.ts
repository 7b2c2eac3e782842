import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Passage, Tap } from "./relay.ts";

/** Passes everything on as it is. */
export class Passing implements Tap {
  fromProxy(message: Buffer): readonly Buffer[] {
    return [message];
  }
  proxyEnded(): ReturnType<Tap["proxyEnded"]> {
    return { then: "end", before: [] };
  }
  proxyCancelled(): void {}
  fromFunction(message: Buffer): Passage {
    return { toProxy: [message], toFunction: [] };
  }
  functionEnded(): void {}
}

/** What becomes of a message from the function. */
export interface Said<In, Out> {
  readonly toProxy: readonly Out[];
  readonly toFunction?: readonly In[];
}

/** Changes the messages of an entity's stream; by itself none. */
export class EntityTap<In extends DescMessage, Out extends DescMessage> extends Passing {
  readonly #in: In;
  readonly #out: Out;

  constructor(inSchema: In, outSchema: Out) {
    super();
    this.#in = inSchema;
    this.#out = outSchema;
  }

  override fromProxy(bytes: Buffer): readonly Buffer[] {
    return this.in(fromBinary(this.#in, bytes)).map((message) => Buffer.from(toBinary(this.#in, message)));
  }

  override fromFunction(bytes: Buffer): Passage {
    const { toProxy, toFunction = [] } = this.out(fromBinary(this.#out, bytes));
    return {
      toProxy: toProxy.map((message) => Buffer.from(toBinary(this.#out, message))),
      toFunction: toFunction.map((message) => Buffer.from(toBinary(this.#in, message))),
    };
  }

  protected in(message: MessageShape<In>): readonly MessageShape<In>[] {
    return [message];
  }

  protected out(message: MessageShape<Out>): Said<MessageShape<In>, MessageShape<Out>> {
    return { toProxy: [message] };
  }
}
