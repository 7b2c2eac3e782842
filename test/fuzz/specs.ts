import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Carts } from "../../examples/cart/gen/cart_pb.ts";
import { Stock } from "../../examples/stock/gen/stock_pb.ts";
import { entityTypes } from "../../lib/discovery/build-table.ts";
import { withImports } from "../discovery-harness.ts";
import { shop } from "./services.ts";

/** What a function says of one of its services. */
interface Entity {
  entityType: string;
  serviceName: string;
  persistenceId: string;
}

const bytes = withImports(shop.file, Carts.file, Stock.file).map((file) => toBinary(FileDescriptorProtoSchema, file));

/** The files of a good function, anew each time. */
export function trueFiles(): FileDescriptorProto[] {
  return bytes.map((one) => fromBinary(FileDescriptorProtoSchema, one));
}

/** The entities of a good function, anew each time. */
export function trueEntities(): Entity[] {
  return [
    { entityType: entityTypes.action, serviceName: "shop.Shop", persistenceId: "" },
    { entityType: entityTypes.action, serviceName: "shop.cart.Follower", persistenceId: "" },
    { entityType: entityTypes.crdt, serviceName: "shop.stock.Stock", persistenceId: "stock" },
    { entityType: entityTypes["event-sourced"], serviceName: "shop.cart.Carts", persistenceId: "carts" },
    { entityType: entityTypes.value, serviceName: "shop.cart.Customers", persistenceId: "customers" },
  ];
}
