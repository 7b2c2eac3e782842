import { createFileRegistry, fromJson, toBinary } from "@bufbuild/protobuf";
import { descriptors } from "./descriptors.ts";

/** A bench.Order of 1,000 bytes, as proto3 JSON prints it. */
export const order = {
  orderId: "ord-2024-000731-77120",
  customerId: "cus-5f1d7e80-2b9c",
  customerName: "Wilhelmina Åkerström-Lindqvist",
  email: "wilhelmina.akerstrom@example.com",
  placedAtMs: "1718186461337",
  itemCount: 17,
  total: 1284.35,
  currency: "EUR",
  paid: true,
  lines: Array.from({ length: 9 }, (_, index) => ({
    sku: `SKU-${90210 + 37 * index}`,
    title: `${["Kettle", "Enamel pot", "Bread knife"][index % 3]!} of the "${1900 + index}" series, boxed`,
    quantity: 1 + (index % 4),
    unitPrice: 19.95 + 12.5 * index,
  })),
  shipTo: { street: "Vasterlanggatan 44, third floor", city: "Stockholm", zip: "111 29", country: "SE" },
  tags: ["gift", "fragile", "express", "returning-customer"],
  note: "Please ring twice and leave the parcel with the neighbour on the second floor if nobody opens.\nThe blue kettle is a present: no invoice in its box, please, and no price tags, OK?",
  warehouse: 4021,
  discount: 0.075,
};

/** The same in protobuf. */
export function orderBytes(): Uint8Array {
  const schema = createFileRegistry(descriptors()).getMessage("bench.Order")!;
  return toBinary(schema, fromJson(schema, order));
}
