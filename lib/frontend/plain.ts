/** An answer to a request that no route takes. */
export interface PlainAnswer {
  readonly status: number;
  readonly body: string;
}

/** What the port says to requests that are calls of nothing: the probe of Knative's queue proxy, else 404. */
export function plainAnswer(probe: string | undefined): PlainAnswer {
  if (probe === "queue") return { status: 200, body: "queue" };
  if (probe !== undefined) return { status: 400, body: `unexpected probe header value: ${probe}` };
  return { status: 404, body: "" };
}
