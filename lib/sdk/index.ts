// The package entry `massa/sdk`: user functions in TypeScript for any Cloudstate proxy.
export { action, type ActionContext, type ActionHandlers, type ActionService } from "./action.ts";
export { type Answer, type Effect, type EffectOptions, Failure, Forward, forward, Reply, reply } from "./answer.ts";
export {
  type CancelContext,
  type ChangeContext,
  type CrdtContext,
  crdtEntity,
  type CrdtHandlers,
  type CrdtOptions,
  type CrdtService,
  type CrdtStreamContext,
  type WriteConsistency,
} from "./crdt-entity.ts";
export type { DataInitOf, DataOf, DataType } from "./data-type.ts";
export {
  type Emit,
  type EventSourcedContext,
  eventSourcedEntity,
  type EventSourcedHandlers,
  type EventSourcedOptions,
  type EventSourcedService,
} from "./event-sourced-entity.ts";
export { CallMetadata, type MetadataInit } from "./metadata.ts";
export { bool, bytes, double, float, int32, int64, json, message, type Serializer, text } from "./serializer.ts";
export { type RunningFunction, serve, type ServeOptions } from "./serve.ts";
export {
  type ValueContext,
  valueEntity,
  type ValueHandlers,
  type ValueOptions,
  type ValueService,
} from "./value-entity.ts";
export { Crdt, type CrdtType } from "./views/crdt.ts";
export { Flag, flag } from "./views/flag.ts";
export { GCounter, gCounter } from "./views/gcounter.ts";
export { GSet, gSet } from "./views/gset.ts";
export { LWWRegister, lwwRegister, type RegisterClock } from "./views/lwwregister.ts";
export { ORMap, orMap } from "./views/ormap.ts";
export { ORSet, orSet } from "./views/orset.ts";
export { PNCounter, pnCounter } from "./views/pncounter.ts";
export { Vote, vote } from "./views/vote.ts";
