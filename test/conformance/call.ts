import {
  create,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata, status } from "@grpc/grpc-js";
import { same } from "./plain.ts";
import { type Patience, Probe, type Seen } from "./probe.ts";

const identity = (bytes: Buffer): Buffer => bytes;

/** A gRPC client for any method, made of streams: on the wire all four kinds are one. */
export class Caller {
  readonly #client: Client;
  readonly #patience: () => Patience;
  readonly #open = new Set<ClientDuplexStream<Buffer, Buffer>>();

  constructor(address: string, patience: () => Patience) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
    this.#patience = patience;
  }

  open<M extends DescMethod>(method: M): Call<M> {
    const stream = this.raw(`/${method.parent.typeName}/${method.name}`);
    return new Call(method, stream, this.#patience);
  }

  /** A stream of bytes. */
  raw(path: string, metadata = new Metadata()): ClientDuplexStream<Buffer, Buffer> {
    const stream = this.#client.makeBidiStreamRequest(path, identity, identity, metadata, {});
    this.#open.add(stream);
    return stream.on("status", () => this.#open.delete(stream));
  }

  /** Opens, sends one message and half-closes. */
  start<M extends DescMethod>(method: M, input: MessageInitShape<M["input"]>): Call<M> {
    const call = this.open(method);
    call.send(input);
    call.end();
    return call;
  }

  /** One message there, one back. */
  async unary<M extends DescMethod>(
    method: M,
    input: MessageInitShape<M["input"]>,
  ): Promise<MessageShape<M["output"]>> {
    const call = this.start(method, input);
    const answer = await call.message();
    await call.completed();
    return answer;
  }

  /** Ends what a failed case left open as well, which the client would wait for. */
  close(): void {
    for (const stream of this.#open) stream.cancel();
    this.#client.close();
  }
}

/** One call under way. */
export class Call<M extends DescMethod> {
  readonly method: M;
  readonly #stream: ClientDuplexStream<Buffer, Buffer>;
  readonly #out: Probe<Seen<MessageShape<M["output"]>>>;

  constructor(method: M, stream: ClientDuplexStream<Buffer, Buffer>, patience: () => Patience) {
    this.method = method;
    this.#stream = stream;
    this.#out = new Probe(`answers of ${method.name}`, patience);
    stream.on("data", (bytes: Buffer) => {
      this.#out.push({ type: "message", message: fromBinary(method.output as M["output"], bytes) });
    });
    stream.on("error", (error: Error & { details?: string }) => {
      this.#out.push({ type: "error", details: error.details ?? error.message });
    });
    stream.on("status", ({ code }) => {
      if (code === status.OK) this.#out.push({ type: "end" });
    });
  }

  send(input: MessageInitShape<M["input"]>): void {
    const schema: M["input"] = this.method.input;
    this.#stream.write(Buffer.from(toBinary(schema, create(schema, input))));
  }

  end(): void {
    this.#stream.end();
  }

  cancel(): void {
    this.#stream.cancel();
  }

  /** The next message; rejects when something else comes. */
  async message(): Promise<MessageShape<M["output"]>> {
    const seen = await this.#out.next();
    if (seen.type === "message") return seen.message;
    throw new Error(`${this.method.name}: ${seen.type === "end" ? "the end" : seen.details} came instead of a message`);
  }

  /** Judges the next message. */
  async expect(wanted: MessageInitShape<M["output"]>): Promise<void> {
    const schema: M["output"] = this.method.output;
    same(await this.message(), create(schema, wanted), `answer of ${this.method.name}`);
  }

  /** Waits for the end, without error. */
  async completed(): Promise<void> {
    const seen = await this.#out.next();
    if (seen.type !== "end") same(seen, { type: "end" }, `end of ${this.method.name}`);
  }

  /** The description of the error that ends the call. */
  async failure(): Promise<string> {
    const seen = await this.#out.next();
    if (seen.type === "error") return seen.details;
    throw new Error(
      `${this.method.name}: ${seen.type === "end" ? "a good end" : "a message"} came instead of a failure`,
    );
  }

  /** Nothing may come for so long. */
  async silent(forMs: number): Promise<void> {
    same(await this.#out.surplus(forMs), undefined, `${this.method.name} should say nothing`);
  }
}
