import type { Clock } from "../core/world.ts";

/** Tells the time as a `date` header does (RFC 9110 section 6.6.1); the text is made once a second. */
export function createHttpDate(clock: Clock): () => string {
  let second = -1;
  let text = "";
  return () => {
    const now = Math.floor(clock.now() / 1_000);
    if (now !== second) {
      second = now;
      text = new Date(now * 1_000).toUTCString();
    }
    return text;
  };
}
