import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";

/** One protocol service that the user function offers to its proxy. */
export interface Protocol {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** Tells the developer about an error of the function that nobody else will see. */
export type Report = (error: unknown) => void;
