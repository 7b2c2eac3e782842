// A shop: carts that are event-sourced, customers that are values, and their habits, which follow the carts' events.
import { once } from "node:events";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { action, type ActionContext, eventSourcedEntity, Failure, forward, serve, valueEntity } from "massa/sdk";
import {
  CartSchema,
  Carts,
  Customers,
  CustomerSchema,
  Follower,
  Habits,
  HabitSchema,
  type Item,
  ItemAddedSchema,
  ItemRemovedSchema,
  OrderMadeSchema,
  type StepSchema,
} from "./gen/cart_pb.ts";

const carts = eventSourcedEntity(Carts, {
  persistenceId: "carts",
  state: CartSchema,
  initial: () => ({}),
  events: [ItemAddedSchema, ItemRemovedSchema, OrderMadeSchema],
  snapshotEvery: 50,
  apply({ items, orders }, event) {
    if (event.$typeName === "shop.cart.OrderMade") return { orders: orders + 1 };
    const others = items.filter(({ sku }) => sku !== event.sku);
    if (event.$typeName === "shop.cart.ItemRemoved") return { items: others, orders };
    const { sku, quantity } = event;
    return { items: [...others, { sku, quantity: quantity + quantityOf(items, sku) }], orders };
  },
  handlers: {
    get: (_, { state }) => state,

    add({ sku, quantity }, context) {
      if (sku === "" || quantity < 1 || quantity > 99) throw new Failure("an item has a sku and a quantity of 1 to 99");
      context.emit(ItemAddedSchema, { number: context.sequence + 1n, sku, quantity });
      return context.state;
    },

    remove({ sku }, context) {
      const quantity = quantityOf(context.state.items, sku);
      if (quantity === 0) throw new Failure(`there is no ${sku} in the cart`);
      context.emit(ItemRemovedSchema, { number: context.sequence + 1n, sku, quantity });
      return context.state;
    },

    checkout({ address }, { state: { items, orders }, sequence, emit }) {
      if (items.length === 0) throw new Failure("the cart is empty");
      const order = { number: orders + 1, address, items };
      emit(OrderMadeSchema, { number: sequence + 1n, order });
      return order;
    },
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

    checkout({ userId }, { state: { address } }) {
      if (address === "") throw new Failure(`nobody knows where ${userId} lives`);
      return forward(Carts.method.checkout, { userId, address });
    },
  },
});

const habits = valueEntity(Habits, {
  persistenceId: "habits",
  state: HabitSchema,
  initial: () => ({}),
  handlers: {
    get: (_, { state }) => state,

    // The event log brings an event again when nobody can say whether it was done: it counts once all the same.
    note({ number, added, removed, bought }, { state, update }) {
      if (number <= state.number) return state;
      const habit = {
        added: state.added + added,
        removed: state.removed + removed,
        bought: state.bought + bought,
        number,
      };
      update(habit);
      return habit;
    },
  },
});

const follower = action(Follower, {
  added: ({ number, quantity }, context) => note(context, { number, added: quantity }),
  removed: ({ number, quantity }, context) => note(context, { number, removed: quantity }),
  checkedOut: ({ number, order }, context) =>
    note(context, { number, bought: (order?.items ?? []).reduce((sum, { quantity }) => sum + quantity, 0) }),
});

function note({ metadata, effect }: ActionContext, step: MessageInitShape<typeof StepSchema>) {
  // Synchronous: the event counts as done only after this has run.
  effect(Habits.method.note, { ...step, userId: metadata.get("ce-subject") ?? "" }, { synchronous: true });
  return {};
}

function quantityOf(items: readonly Item[], wanted: string): number {
  return items.find(({ sku }) => sku === wanted)?.quantity ?? 0;
}

const { HOST = "127.0.0.1", PORT = "8080" } = process.env;
const services = [carts, customers, habits, follower];
const running = await serve({ services, host: HOST, port: Number(PORT), name: "cart", version: "1" });
console.log(`the cart function listens on ${HOST}:${running.port.toString()}`);

await Promise.race(["SIGINT", "SIGTERM"].map((signal) => once(process, signal)));
await running.stop(1_000);
