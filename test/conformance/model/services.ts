import { actionModel, actionTwo } from "./action.ts";
import { crdtConfigured, crdtModel, crdtTwo } from "./crdt.ts";
import { entityOne, entityTwo, subscriber } from "./event-log-eventing.ts";
import { eventSourcedConfigured, eventSourcedModel, eventSourcedTwo } from "./event-sourced.ts";
import { extra, sharedLeft, sharedRight } from "./extra.ts";
import { valueConfigured, valueModel, valueTwo } from "./value-entity.ts";

/** All that the cases talk to. */
export const modelServices = [
  actionModel,
  actionTwo,
  valueModel,
  valueTwo,
  valueConfigured,
  eventSourcedModel,
  eventSourcedTwo,
  eventSourcedConfigured,
  crdtModel,
  crdtTwo,
  crdtConfigured,
  subscriber,
  entityOne,
  entityTwo,
  extra,
  sharedLeft,
  sharedRight,
];
