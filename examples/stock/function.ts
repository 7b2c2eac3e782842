// Stock levels by article, the same on every node: deliveries come in as calls, orders through the topic `orders`.
import { once } from "node:events";
import { crdtEntity, Failure, type PNCounter, pnCounter, serve } from "massa/sdk";
import { Stock } from "./gen/stock_pb.ts";

const stock = crdtEntity(Stock, {
  persistenceId: "stock",
  state: pnCounter,
  handlers: {
    receive({ sku, quantity }, { state }) {
      if (quantity === 0) throw new Failure("a delivery has a quantity of 1 at least");
      state.increment(quantity);
      return level(sku, state);
    },

    get: ({ sku }, { state }) => level(sku, state),

    // The first answer is the level now; each change, here or on another node, brings the next.
    watch({ sku }, { state, onChange }) {
      onChange((change) => level(sku, change.state));
      return level(sku, state);
    },

    // An order is never refused: a level below zero is what has to be bought.
    order({ sku, quantity }, { state }) {
      state.decrement(quantity);
      return level(sku, state);
    },
  },
});

function level(sku: string, state: PNCounter) {
  return { sku, quantity: state.value };
}

const { HOST = "127.0.0.1", PORT = "8080" } = process.env;
const running = await serve({ services: [stock], host: HOST, port: Number(PORT), name: "stock", version: "1" });
console.log(`the stock function listens on ${HOST}:${running.port.toString()}`);

await Promise.race(["SIGINT", "SIGTERM"].map((signal) => once(process, signal)));
await running.stop(1_000);
