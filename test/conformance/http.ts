import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import type { ProxyStage } from "./stage.ts";

/** What came back over HTTP/1.1. */
export interface Answer {
  readonly status: number;
  /** As sent; undefined when there was none. */
  readonly contentType: string | undefined;
  readonly body: string;
}

/** An answer whose body is a JSON document. */
export const ok = (body: string): Answer => ({ status: 200, contentType: "application/json", body });

export interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** One request over HTTP/1.1 on a connection of its own; rejects when no answer comes in time. */
export async function fetched(stage: ProxyStage, path: string, sent: Sent = {}): Promise<Answer & { raw: Buffer }> {
  const [host, port] = stage.address.split(":");
  const { method = "GET", headers = {}, body } = sent;
  const signal = AbortSignal.timeout(stage.patience.answerMs);
  const exchange = request({ host, port, path, method, headers, signal, agent: false });
  exchange.end(body);
  const [response] = (await once(exchange, "response")) as [IncomingMessage];
  const raw = Buffer.concat((await response.toArray()) as Buffer[]);
  return {
    status: response.statusCode ?? 0,
    contentType: response.headers["content-type"],
    body: raw.toString(),
    raw,
  };
}

/** Posts a JSON document. */
export async function post(stage: ProxyStage, path: string, document: unknown): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  const answer = await fetched(stage, path, { method: "POST", headers, body: JSON.stringify(document) });
  return { status: answer.status, contentType: answer.contentType, body: answer.body };
}
