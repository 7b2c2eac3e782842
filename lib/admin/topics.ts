import type { Header } from "../../eventing/driver.ts";
import type { MemoryBroker } from "../../eventing/memory.ts";
import type { Settlement } from "../../eventing/memory-group.ts";
import { MassaError } from "../core/errors.ts";
import { type Clock, realWorld } from "../core/world.ts";
import type { AdminAnswer, AdminHandler, AdminRequest } from "./route.ts";

const shownMax = 100;
const shownBytes = 1024;

/** How long a sender that wants the outcome is kept waiting for it (`eventing.ackWait`). */
interface AckWait {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

const ackWaitDefault: AckWait = { clock: realWorld.clock, timeoutMs: 30_000 };

/** What people do with the embedded broker's topics by the admin port, by method and path. */
export function topicHandlers(
  broker: MemoryBroker,
  ackWait: AckWait = ackWaitDefault,
): Readonly<Record<string, AdminHandler>> {
  return {
    "POST /topics/:name": (request) => post(broker, ackWait, request),
    "GET /topics": async () => ({ status: 200, body: { topics: broker.topics() } }),
    "GET /topics/:name": async ({ params }) => show(broker, params["name"] ?? ""),
  };
}

async function post(
  broker: MemoryBroker,
  { clock, timeoutMs }: AckWait,
  { params, query, headers, body, signal }: AdminRequest,
): Promise<AdminAnswer> {
  const topic = params["name"] ?? "";
  const own = headersOf(headers);
  const partitionKey = own.find(([name]) => name === "ce-partitionkey")?.[1];
  const message = { key: query.get("key") ?? partitionKey ?? "", headers: own, body };
  const isAwaited = query.get("wait") === "ack";
  if (isAwaited && broker.topics().some(({ name, groups }) => name === topic && groups.length === 0)) {
    return {
      status: 409,
      body: { error: `no method consumes topic "${topic}", so nothing would acknowledge the message` },
    };
  }
  const settled = Promise.withResolvers<Settlement | undefined>();
  const id = broker.post(topic, message, settled.resolve);
  if (!isAwaited) return { status: 202, body: { id } };
  const gone = () => settled.reject(new MassaError("canceled", "the client has gone"));
  const cancelTimer = clock.after(timeoutMs, () => settled.resolve(undefined));
  signal.addEventListener("abort", gone, { once: true });
  try {
    const settlement = await settled.promise;
    if (!settlement) {
      const error = `not settled within ${timeoutMs} ms (eventing.ackWait); it stays in the topic`;
      return { status: 504, body: { id, error } };
    }
    return { status: settlement.outcome === "accepted" ? 200 : 422, body: { id, ...settlement } };
  } finally {
    cancelTimer();
    signal.removeEventListener("abort", gone);
  }
}

/** The CloudEvent attributes and the content type; values are percent-decoded, as CloudEvents over HTTP wants it. */
function headersOf(headers: AdminRequest["headers"]): readonly Header[] {
  const own: Header[] = [];
  for (const [name, values] of Object.entries(headers)) {
    if (values === undefined) continue;
    const value = typeof values === "string" ? values : values.join(", ");
    if (name === "content-type") own.push([name, value]);
    else if (name.startsWith("ce-")) own.push([name, percentDecoded(value)]);
  }
  return own;
}

function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // A lone % is the sender's own.
  }
}

function show(broker: MemoryBroker, name: string): AdminAnswer {
  const messages = broker.messages(name, shownMax);
  const topic = broker.topics().find((other) => other.name === name);
  if (!messages || !topic) {
    const known = broker.topics().map((other) => other.name);
    return { status: 404, body: { error: `there is no topic "${name}" here`, topics: known } };
  }
  const dead = topic.groups.map((group) => [
    `${name}.${group.name}.dead`,
    broker
      .deadLetters({ topic: name, group: group.name }, shownMax)
      .map(({ id, position, cause, attempts, message }) => ({
        ...view(id, position, message),
        cause,
        attempts,
      })),
  ]);
  const held = messages.map((message) => view(message.id, String(message.position), message));
  const deadLetters: unknown = Object.fromEntries(dead);
  return { status: 200, body: { ...topic, held, deadLetters } };
}

function view(
  id: string,
  position: string,
  { key, headers, body }: { readonly key: string; readonly headers: readonly Header[]; readonly body: Uint8Array },
) {
  const start = Buffer.from(body.subarray(0, shownBytes));
  return { id, position, key, headers, bytes: body.byteLength, bodyBase64: start.toString("base64") };
}
