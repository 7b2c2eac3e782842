import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";

/** One protocol service that the user function offers to its proxy. */
export interface Protocol {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** Tells the developer about an error of the function that nobody else will see. */
export type Report = (error: unknown) => void;

/** Sends one message to the proxy, and waits while it takes no more. */
export type Send<Out> = (message: Out) => Promise<void>;

/** One entity while it is active: what the proxy says to it, and what it answers. */
export interface EntityConversation<In> {
  /** The command at hand, 0 for none: what a failure is about. */
  readonly commandId: bigint;
  /** Handles one message to its end. Whatever it throws is the end of the stream. */
  receive(message: In): Promise<void>;
}
