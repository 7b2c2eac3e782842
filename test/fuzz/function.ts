// The function behind the proxy that is shot at: an echo with every type of field, and entities of each kind that count.
import { once } from "node:events";
import { action, crdtEntity, eventSourcedEntity, int64, pnCounter, serve, valueEntity } from "massa/sdk";
import type { Message } from "@bufbuild/protobuf";
import { Carts, Customers, CustomerSchema } from "../../examples/cart/gen/cart_pb.ts";
import { Stock } from "../../examples/stock/gen/stock_pb.ts";
import { shop } from "./services.ts";

// The kinds of its methods are known at run time only.
const echo: Readonly<Record<string, (input: never) => unknown>> = {
  echo: (input: Message) => input,
  upload: (input: { readonly file?: Message }) => input.file,
  async *out(input: Message) {
    for (const answer of [input, input]) yield answer;
  },
  async in(input: AsyncIterable<Message>) {
    let last: Message | undefined;
    for await (const one of input) last = one;
    return last ?? {};
  },
  both: (input: AsyncIterable<Message>) => input,
};

const stock = crdtEntity(Stock, {
  persistenceId: "stock",
  state: pnCounter,
  handlers: {
    receive({ sku, quantity }, { state }) {
      state.increment(quantity);
      return { sku, quantity: state.value };
    },
    order({ sku, quantity }, { state }) {
      state.decrement(quantity);
      return { sku, quantity: state.value };
    },
    get: ({ sku }, { state }) => ({ sku, quantity: state.value }),
    watch({ sku }, { state, onChange }) {
      onChange((change) => ({ sku, quantity: change.state.value }));
      return { sku, quantity: state.value };
    },
  },
});

/** Carts that count how often something was added. */
const carts = eventSourcedEntity(Carts, {
  persistenceId: "carts",
  state: int64,
  initial: () => 0n,
  events: [int64],
  snapshotEvery: 20,
  apply: (sum, one) => sum + one,
  handlers: {
    get: (_, { state }) => ({ orders: Number(state) }),
    add(_, context) {
      context.emit(int64, 1n);
      return { orders: Number(context.state) };
    },
    remove: (_, { state }) => ({ orders: Number(state) }),
    checkout: ({ address }, { state }) => ({ number: Number(state), address }),
  },
});

const customers = valueEntity(Customers, {
  persistenceId: "customers",
  state: CustomerSchema,
  initial: (userId) => ({ userId }),
  handlers: {
    get: (_, { state }) => state,
    save(customer, { update }) {
      update(customer);
      return customer;
    },
    checkout: (_, { state }) => ({ address: state.address }),
  },
});

const services = [action(shop, echo as never), stock, carts, customers];
// Messages that cannot be read are to be expected.
const running = await serve({ services, port: Number(process.env["PORT"]), onError: () => undefined });
console.log(running.port.toString());
await Promise.race(["SIGINT", "SIGTERM", "disconnect"].map((signal) => once(process, signal)));
process.exit(0);
