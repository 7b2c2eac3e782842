import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, suite, test } from "node:test";
import { Carts, Customers } from "../examples/cart/gen/cart_pb.ts";
import { freePorts } from "./bad-input-proxy.ts";
import { Caller } from "./conformance/call.ts";
import { temporaryFolder } from "./store-harness.ts";

/** How long a test waits for what must come. */
const withinMs = 20_000;
const json = { "content-type": "application/json" };

/** `npm run cart`, without npm: all its processes, and what they say. */
class Shop {
  readonly #child: ChildProcess;
  readonly #url: string;
  readonly caller: Caller;
  said = "";

  constructor([front, admin, own]: readonly number[], file: string) {
    this.#url = `http://127.0.0.1:${front!}`;
    this.caller = new Caller(`127.0.0.1:${front!}`, () => ({ answerMs: 10_000, surplusMs: 10 }));
    this.#child = spawn(process.execPath, ["--conditions=massa-source", "examples/cart/start.ts"], {
      cwd: join(import.meta.dirname, ".."),
      env: {
        ...process.env,
        CART_FRONT_PORT: `${front!}`,
        CART_ADMIN_PORT: `${admin!}`,
        CART_FUNCTION_PORT: `${own!}`,
        CART_FILE: file,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream!.on("data", (chunk: Buffer) => (this.said += chunk.toString()));
  }

  static async open(ports: readonly number[], file: string): Promise<Shop> {
    const shop = new Shop(ports, file);
    await shop.until(() => shop.said.includes("Ctrl-C ends all."));
    return shop;
  }

  /** Status and body of a request; a body is sent as JSON. */
  async ask(method: string, path: string, body?: object): Promise<string> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      ...(body && { headers: json, body: JSON.stringify(body) }),
    });
    return `${response.status} ${await response.text()}`;
  }

  async until(holds: () => boolean | Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + withinMs;
    while (!(await holds())) {
      assert.ok(performance.now() < untilMs, `waited in vain; it said:\n${this.said}`);
      assert.equal(this.#child.exitCode, null, this.said);
      await new Promise((tick) => setTimeout(tick, 20));
    }
  }

  async killProxy(): Promise<void> {
    const [, pid] = /^proxy\s+(\d+)/m.exec(this.said)!;
    process.kill(Number(pid), "SIGKILL");
    await this.until(() => this.said.includes("proxy runs again"));
    await this.until(() => this.ask("GET", "/carts/nobody").then(...fulfilled));
  }

  /** Ctrl-C. */
  async stop(): Promise<void> {
    this.caller.close();
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGINT");
    assert.deepEqual(await gone, [0, null], this.said);
  }
}

const fulfilled = [() => true, () => false] as const;

suite("the cart example", () => {
  const folder = temporaryFolder();
  let ports: readonly number[];
  let shop: Shop;
  before(async () => {
    ports = await freePorts();
    shop = await Shop.open(ports, join(folder.path, "cart.db"));
  });
  after(async () => {
    await shop.stop();
    folder[Symbol.dispose]();
  });

  test("fills a cart by JSON and shows it by gRPC", async () => {
    const { ask, caller } = { ask: shop.ask.bind(shop), caller: shop.caller };
    assert.equal(
      await ask("POST", "/carts/ada/items", { sku: "tea", quantity: 2 }),
      '200 {"items":[{"sku":"tea","quantity":2}],"orders":0}',
    );
    await ask("POST", "/carts/ada/items", { sku: "milk", quantity: 1 });
    await ask("POST", "/carts/ada/items", { sku: "tea", quantity: 1 });
    assert.equal(await ask("DELETE", "/carts/ada/items/milk"), '200 {"items":[{"sku":"tea","quantity":3}],"orders":0}');
    const { items, orders } = await caller.unary(Carts.method.get, { userId: "ada" });
    assert.deepEqual([items.map(({ sku, quantity }) => [sku, quantity]), orders], [[["tea", 3]], 0]);
  });

  test("says what is wrong, in both tongues", async () => {
    assert.equal(await shop.ask("DELETE", "/carts/ada/items/milk"), "500 there is no milk in the cart");
    assert.equal(
      await shop.ask("POST", "/carts/ada/items", { sku: "tea", quantity: "lots" }),
      '400 Bad Request: quantity: expected uint32, got "lots"',
    );
    const call = shop.caller.start(Customers.method.checkout, { userId: "ada" });
    assert.equal(await call.failure(), "nobody knows where ada lives");
    assert.equal(await shop.ask("GET", "/carts/ada"), '200 {"items":[{"sku":"tea","quantity":3}],"orders":0}');
  });

  test("keeps carts over kill -9 of the proxy, and counts each event once", async () => {
    await shop.killProxy();
    assert.equal(await shop.ask("GET", "/carts/ada"), '200 {"items":[{"sku":"tea","quantity":3}],"orders":0}');
    assert.match(await shop.ask("PUT", "/customers/ada", { name: "Ada", address: "12 St James Square" }), /^200 /);
    assert.equal(
      await shop.ask("POST", "/customers/ada/checkout"),
      '200 {"number":1,"address":"12 St James Square","items":[{"sku":"tea","quantity":3}]}',
    );
    assert.equal(await shop.ask("GET", "/carts/ada"), '200 {"items":[],"orders":1}');
    const habit = '200 {"added":4,"removed":1,"bought":3,"number":"5"}';
    await shop.until(async () => (await shop.ask("GET", "/customers/ada/habit")) === habit);
  });

  test("has its state again after Ctrl-C and another start, in a file that sqlite reads", async () => {
    await shop.stop();
    shop = await Shop.open(ports, join(folder.path, "cart.db"));
    assert.equal(await shop.ask("GET", "/carts/ada"), '200 {"items":[],"orders":1}');
    using file = new DatabaseSync(join(folder.path, "cart.db"), { readOnly: true });
    const rows = file.prepare("SELECT sequence, type_url FROM events WHERE entity_id = 'ada' ORDER BY sequence").all();
    assert.deepEqual(
      rows.map((row) => `${String(row["sequence"])} ${String(row["type_url"])}`),
      ["ItemAdded", "ItemAdded", "ItemAdded", "ItemRemoved", "OrderMade"].map(
        (name, index) => `${index + 1} type.googleapis.com/shop.cart.${name}`,
      ),
    );
    const consumer = file.prepare("SELECT log_offset FROM consumer_offsets").all();
    assert.deepEqual(
      consumer.map((row) => row["log_offset"]),
      ["5"],
    );
  });
});
