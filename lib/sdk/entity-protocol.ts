import { create, type DescService, type Message } from "@bufbuild/protobuf";
import type { ServerDuplexStream, UntypedServiceImplementation } from "@grpc/grpc-js";
import { Crdt, type CrdtStreamIn, type CrdtStreamOut, CrdtStreamOutSchema } from "../wire/gen/cloudstate/crdt_pb.ts";
import {
  EventSourced,
  type EventSourcedStreamIn,
  type EventSourcedStreamOut,
  EventSourcedStreamOutSchema,
} from "../wire/gen/cloudstate/event_sourced_pb.ts";
import {
  ValueEntity,
  type ValueEntityStreamIn,
  type ValueEntityStreamOut,
  ValueEntityStreamOutSchema,
} from "../wire/gen/cloudstate/value_entity_pb.ts";
import { CrdtConversation } from "./crdt-conversation.ts";
import type { CrdtService } from "./crdt-entity.ts";
import { EventSourcedConversation } from "./event-sourced-conversation.ts";
import type { EventSourcedService } from "./event-sourced-entity.ts";
import { definitionOf, send } from "./grpc.ts";
import type { EntityConversation, Protocol, Report, Send } from "./protocol.ts";
import type { Declared } from "./service.ts";
import { ValueConversation } from "./value-conversation.ts";
import type { ValueService } from "./value-entity.ts";

/** Serves CRDT entities. */
export function crdtProtocol(services: readonly CrdtService[], report: Report): Protocol {
  const byName = named(services);
  return served<CrdtStreamIn, CrdtStreamOut>(Crdt, report, {
    open: (send) => new CrdtConversation(byName, send),
    failed: (value) => create(CrdtStreamOutSchema, { message: { case: "failure", value } }),
  });
}

/** Serves event-sourced entities. */
export function eventSourcedProtocol(services: readonly EventSourcedService[], report: Report): Protocol {
  const byName = named(services);
  return served<EventSourcedStreamIn, EventSourcedStreamOut>(EventSourced, report, {
    open: (send) => new EventSourcedConversation(byName, send),
    failed: (value) => create(EventSourcedStreamOutSchema, { message: { case: "failure", value } }),
  });
}

/** Serves value entities. */
export function valueProtocol(services: readonly ValueService[], report: Report): Protocol {
  const byName = named(services);
  return served<ValueEntityStreamIn, ValueEntityStreamOut>(ValueEntity, report, {
    open: (send) => new ValueConversation(byName, send),
    failed: (value) => create(ValueEntityStreamOutSchema, { message: { case: "failure", value } }),
  });
}

function named<Service extends Declared>(services: readonly Service[]): ReadonlyMap<string, Service> {
  return new Map(services.map((service) => [service.descriptor.typeName, service]));
}

interface Kind<In, Out> {
  readonly open: (send: Send<Out>) => EntityConversation<In>;
  readonly failed: (failure: { readonly commandId: bigint; readonly description: string }) => Out;
}

/** One stream for each entity that is active, its messages handled one after the other. */
function served<In extends Message, Out extends Message>(
  descriptor: DescService,
  report: Report,
  { open, failed }: Kind<In, Out>,
): Protocol {
  const converse = async (call: ServerDuplexStream<In, Out>): Promise<void> => {
    const conversation = open((message) => send(call, message));
    try {
      // The iterator must not destroy the stream, or the failure below would never leave.
      for await (const message of call.iterator({ destroyOnReturn: false }) as AsyncIterable<In>) {
        await conversation.receive(message);
      }
    } catch (failure) {
      if (call.cancelled) return;
      report(failure);
      const { commandId } = conversation;
      call.write(failed({ commandId, description: "the entity ended by an error of its own" }));
    }
    call.end();
  };
  const implementation: UntypedServiceImplementation = {
    handle: (call: ServerDuplexStream<In, Out>) => void converse(call).catch(report),
  };
  return { definition: definitionOf(descriptor), implementation };
}
