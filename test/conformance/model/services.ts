import { actionModel, actionTwo } from "./action.ts";
import { crdtConfigured, crdtModel, crdtTwo } from "./crdt.ts";

/** All that the cases talk to. */
export const modelServices = [actionModel, actionTwo, crdtModel, crdtTwo, crdtConfigured];
