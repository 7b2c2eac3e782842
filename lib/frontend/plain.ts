/** An answer to a plain HTTP request. */
export interface PlainAnswer {
  readonly status: number;
  readonly body: string;
}

/** What the port says to requests that are no gRPC: the probe of Knative's queue proxy, else 404 (frontends.md 3.1). */
export function plainAnswer(path: string, probe: string | undefined): PlainAnswer {
  if (probe === "queue") return { status: 200, body: "queue" };
  if (probe !== undefined) return { status: 400, body: `unexpected probe header value: ${probe}` };
  return { status: 404, body: `nothing is served at ${path.slice(0, 200)}: this port takes gRPC` };
}
