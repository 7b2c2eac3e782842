import type { HeaderList } from "../wire/http2.ts";

/** Why a request is not served. It is the last one of its connection. */
export interface Refusal {
  readonly status: number;
  readonly text: string;
}

/** What is wrong with the head of a request of HTTP/1.x that the parser has let through; `version` is the text behind `HTTP/`. */
export function refusalOf(version: string, headers: HeaderList): Refusal | undefined {
  if (version !== "1.1" && version !== "1.0") {
    return { status: 505, text: `HTTP/${version} is not served in this form: use HTTP/1.1` };
  }
  let hosts = 0;
  for (let at = 0; at < headers.length; at += 2) {
    const value = headers[at + 1]!;
    switch (headers[at]) {
      case "host":
        hosts += 1;
        if (!validHost.test(value)) return bad(`host: ${shown(value)} is no host with or without a port`);
        break;
      case "transfer-encoding":
        // Whoever sends it by HTTP/1.0 may have been misunderstood on the way (RFC 9112 section 6.1).
        if (version === "1.0") return bad("HTTP/1.0 has no transfer-encoding: use HTTP/1.1");
        if (value.toLowerCase() !== "chunked") {
          return { status: 501, text: `transfer-encoding ${shown(value)} is not supported: use chunked alone` };
        }
        break;
    }
  }
  // HTTP/1.1 asks for exactly one, HTTP/1.0 for none (RFC 9112 section 3.2).
  const hasHost = hosts === 1 || (hosts === 0 && version === "1.0");
  return hasHost ? undefined : bad("the request needs one host header");
}

/** A registered name without commas, which are of two headers that became one; an address in brackets; or nothing. */
const validHost = /^(\[[\w.:%~!$&'()*+;=-]+\]|[\w.%~!$&'()*+;=-]*)(:\d*)?$/;

function bad(text: string): Refusal {
  return { status: 400, text };
}

function shown(value: string): string {
  return JSON.stringify(value.slice(0, 100));
}

const requestLine = /^([\w!#$%&'*+.^`|~-]+) \S+ HTTP\/1\.[01]\r?$/;

/** The method of the line in which a parser stopped at `offset`, if that line is one of a request of HTTP/1.x. */
export function methodAt(packet: Buffer, offset: number): string | undefined {
  const end = packet.indexOf("\n", offset);
  const start = offset === 0 ? 0 : packet.lastIndexOf("\n", offset - 1) + 1;
  return end < 0 ? undefined : requestLine.exec(packet.toString("latin1", start, end))?.[1];
}
