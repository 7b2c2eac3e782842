import type { ServerDuplexStream, UntypedServiceImplementation } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import {
  Crdt as CrdtProtocol,
  type CrdtStreamIn,
  type CrdtStreamOut,
  CrdtStreamOutSchema,
} from "../wire/gen/cloudstate/crdt_pb.ts";
import { CrdtConversation } from "./crdt-conversation.ts";
import type { CrdtService } from "./crdt-entity.ts";
import { definitionOf } from "./grpc.ts";
import type { Protocol, Report } from "./protocol.ts";

type Call = ServerDuplexStream<CrdtStreamIn, CrdtStreamOut>;

/** Serves CRDT entities: one stream for each that is active, its messages handled one after the other. */
export function crdtProtocol(services: readonly CrdtService[], report: Report): Protocol {
  const byName = new Map(services.map((service) => [service.descriptor.typeName, service]));

  const converse = async (call: Call): Promise<void> => {
    const conversation = new CrdtConversation(byName, call);
    try {
      // The iterator must not destroy the stream, or the failure below would never leave.
      for await (const message of call.iterator({ destroyOnReturn: false }) as AsyncIterable<CrdtStreamIn>) {
        await conversation.receive(message);
      }
    } catch (failure) {
      if (call.cancelled) return;
      report(failure);
      const description = "the entity ended by an error of its own";
      const value = { commandId: conversation.commandId, description };
      call.write(create(CrdtStreamOutSchema, { message: { case: "failure", value } }));
    }
    call.end();
  };

  const implementation: UntypedServiceImplementation = {
    handle: (call: Call) => void converse(call).catch(report),
  };
  return { definition: definitionOf(CrdtProtocol), implementation };
}
