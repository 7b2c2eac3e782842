import type { Socket } from "node:net";
import type { Cancel, Clock } from "../core/world.ts";

/** What the first bytes of a connection are: HTTP/2 with prior knowledge, HTTP/1.1, or nothing we know. */
export type Greeting = "http2" | "http1" | "unknown";

const bytesNeeded = 3;

/** Tells by the first bytes, three at least. No method of HTTP/1.1 begins with `PRI`. */
function greetingOf(bytes: Uint8Array): Greeting {
  const text = Buffer.from(bytes.subarray(0, bytesNeeded)).toString("latin1");
  if (text === "PRI") return "http2";
  return /^[A-Z]{3}$/.test(text) ? "http1" : "unknown";
}

/**
 * Waits for the first bytes of a connection, puts them back and tells what they are; `undefined` when they did not come in
 * time or the peer went. The socket is paused then.
 */
export function awaitGreeting(
  socket: Socket,
  clock: Clock,
  timeoutMs: number,
  told: (greeting: Greeting | undefined) => void,
): void {
  let head: Buffer | undefined;
  const done = (greeting: Greeting | undefined) => {
    cancel();
    socket.off("data", taken);
    socket.off("end", gone);
    socket.off("close", gone);
    socket.pause();
    if (head) socket.unshift(head);
    told(greeting);
  };
  const taken = (chunk: Buffer) => {
    head = head ? Buffer.concat([head, chunk]) : chunk;
    if (head.byteLength >= bytesNeeded) done(greetingOf(head));
  };
  const gone = () => done(undefined);
  const cancel: Cancel = clock.after(timeoutMs, gone);
  socket.on("data", taken);
  socket.on("end", gone);
  socket.on("close", gone);
}
