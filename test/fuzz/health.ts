import assert from "node:assert/strict";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { Carts, Customers } from "../../examples/cart/gen/cart_pb.ts";
import { Stock } from "../../examples/stock/gen/stock_pb.ts";
import { frameOf } from "../../lib/wire/http2-frames.ts";
import { type Answered, ask1, type Asked } from "../front-http-harness.ts";

const identity = (bytes: Buffer): Buffer => bytes;
const json = { "content-type": "application/json" };

/** A well-behaved client with entities of its own, who counts with them. */
export class GoodClient implements Disposable {
  readonly #client: Client;
  readonly #port: number;
  readonly #key: string;
  readonly #withinMs: number;
  #count = 0;

  constructor(port: number, key: string, withinMs: number) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    this.#port = port;
    this.#key = key;
    this.#withinMs = withinMs;
  }

  /** Rounds so far, of seven calls each. */
  get count(): number {
    return this.#count;
  }

  /** One more of everything, by each way to call; rejects when an answer is not exactly right. */
  async round(): Promise<void> {
    const count = (this.#count += 1);
    const userId = this.#key;
    const level = await this.#call(Stock.method.receive, { sku: userId, quantity: 1 });
    assert.equal(level.quantity, BigInt(count), "the level by gRPC");
    assert.deepEqual(await this.#json("POST", `/carts/${userId}/items`, { sku: "x", quantity: 1 }), {
      items: [],
      orders: count,
    });
    assert.equal((await this.#call(Carts.method.get, { userId })).orders, count, "the cart by gRPC");
    const customer = { userId, name: `n${count}`, address: "a".repeat(count % 1_000) };
    assert.deepEqual(await this.#json("PUT", `/customers/${userId}`, customer), customer);
    const { name } = await this.#call(Customers.method.get, { userId });
    assert.equal(name, customer.name, "the customer by gRPC");
    assert.deepEqual(await this.#json("GET", `/stock/${userId}`), { sku: userId, quantity: `${count}` });
    assert.equal((await this.#web(Stock.method.get, { sku: userId })).quantity, BigInt(count), "the level by gRPC-Web");
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    init: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const { promise, resolve, reject } = Promise.withResolvers<MessageShape<O>>();
    const path = `/${method.parent.typeName}/${method.name}`;
    const bytes = Buffer.from(toBinary(method.input, create(method.input, init)));
    const deadline = Date.now() + this.#withinMs;
    this.#client.makeUnaryRequest(path, identity, identity, bytes, { deadline }, (error, answer) =>
      error ? reject(new Error(`${path}: ${error.message}`)) : resolve(fromBinary(method.output, answer!)),
    );
    return promise;
  }

  async #json(method: string, path: string, body?: object): Promise<unknown> {
    const headers = body && json;
    const answer = await this.#ask({ method, path, ...(headers && { headers, body: JSON.stringify(body) }) });
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.body}`);
    return JSON.parse(answer.body);
  }

  async #web<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    init: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const { bytes } = await this.#ask({
      path: `/${method.parent.typeName}/${method.name}`,
      headers: { "content-type": "application/grpc-web+proto" },
      body: Buffer.from(frameOf(toBinary(method.input, create(method.input, init)))),
    });
    // A call that fails is answered with trailers alone.
    assert.equal(bytes[0], 0, `${method.name} by gRPC-Web: ${bytes.toString("latin1", 5)}`);
    const length = bytes.readUInt32BE(1);
    assert.match(bytes.toString("latin1", 5 + length), /grpc-status: ?0\r\n/);
    return fromBinary(method.output, bytes.subarray(5, 5 + length));
  }

  /** On a connection of its own: one that is kept may be closed just when it is used again. */
  async #ask(asked: Asked): Promise<Answered> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`${asked.path} took over ${this.#withinMs} ms`)),
      this.#withinMs,
    );
    try {
      return await Promise.race([ask1(this.#port, asked), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}
