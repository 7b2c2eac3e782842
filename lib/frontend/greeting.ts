import type { Socket } from "node:net";
import type { Cancel, Clock } from "../core/world.ts";

/** What the first bytes of a connection are: HTTP/2 with prior knowledge, HTTP/1.1, or nothing we know. */
export type Greeting = "http2" | "http1" | "unknown";

/** Why there is none: too few bytes came in time, or the peer went without one, as those do who only look whether the port is open. */
export type NoGreeting = "late" | "gone";

/** Three bytes of a method, which is a token of any letters, or a shorter one and what follows it. */
const methodBegin = /^[\w!#$%&'*+.^`|~-]+( |$)/;

/** Tells by the first three bytes, undefined until they have come. No method of HTTP/1.1 begins with `PRI`. */
function greetingOf(bytes: Buffer): Greeting | undefined {
  const text = bytes.toString("latin1", 0, 5);
  // An empty line before the first request is ignored (RFC 9112 section 2.2).
  const start = text.startsWith("\r\n") ? 2 : 0;
  const begin = text.slice(start, start + 3);
  if (begin.length < 3) return undefined;
  if (begin === "PRI") return start === 0 ? "http2" : "unknown";
  return methodBegin.test(begin) ? "http1" : "unknown";
}

/**
 * Waits for the first bytes of a connection, puts them back and tells what they are, or that they did not come. The socket is
 * paused then.
 */
export function awaitGreeting(
  socket: Socket,
  clock: Clock,
  timeoutMs: number,
  told: (greeting: Greeting | NoGreeting) => void,
): void {
  let head: Buffer | undefined;
  const done = (greeting: Greeting | NoGreeting) => {
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
    const greeting = greetingOf(head);
    if (greeting) done(greeting);
  };
  const gone = () => done(head ? "late" : "gone");
  const cancel: Cancel = clock.after(timeoutMs, () => done("late"));
  socket.on("data", taken);
  socket.on("end", gone);
  socket.on("close", gone);
}
