import { MassaError } from "../core/errors.ts";
import type { Cancel } from "../core/world.ts";
import type { HeaderBlock, ServerStream, StreamReceiver } from "../wire/http2.ts";
import { Base64Reader } from "./base64.ts";
import type { GrpcCall } from "./call.ts";
import { accepts, type Exchange } from "./exchange.ts";

/** How one request of gRPC-Web and its answer are written. */
export interface WebForm {
  /** Whether the request body is base64, and whether the response body is. */
  readonly isTextIn: boolean;
  readonly isTextOut: boolean;
  /** Of the response. */
  readonly contentType: string;
}

const requestType = /^application\/grpc-web(-text)?(\+proto)?\s*(;|$)/i;
const textTypes = ["application/grpc-web-text", "application/grpc-web-text+proto"];

/** Tells by the headers whether a request is gRPC-Web; undefined when it is not, or carries something else than protobuf. */
export function webFormOf(exchange: Exchange, contentType: string): WebForm | undefined {
  const match = requestType.exec(contentType);
  if (!match) return undefined;
  const [, text, suffix = ""] = match;
  const isTextIn = text !== undefined;
  const isTextOut = isTextIn || accepts(exchange.headers, ...textTypes);
  return { isTextIn, isTextOut, contentType: `application/grpc-web${isTextOut ? "-text" : ""}${suffix.toLowerCase()}` };
}

/** Makes of an exchange the stream that a gRPC call knows: trailers become the last frame of the body, text becomes base64. */
export class WebStream implements ServerStream {
  readonly #exchange: Exchange;
  readonly #form: WebForm;

  constructor(exchange: Exchange, form: WebForm) {
    this.#exchange = exchange;
    this.#form = form;
  }

  get bufferedBytes(): number {
    return this.#exchange.bufferedBytes;
  }

  respond(headers: HeaderBlock): void {
    this.#exchange.respond(200, this.#headOf(headers));
  }

  respondOnly(headers: HeaderBlock): void {
    const head: Record<string, string | string[]> = {};
    const trailers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(headers)) {
      (name === "grpc-status" || name === "grpc-message" ? trailers : head)[name] = value;
    }
    this.#exchange.respondWhole(200, this.#headOf(head), this.#bodyOf(trailersFrame(trailers)));
  }

  write(bytes: Uint8Array): boolean {
    return this.#exchange.write(this.#bodyOf(bytes));
  }

  finish(trailers: HeaderBlock): void {
    this.#exchange.write(this.#bodyOf(trailersFrame(trailers)));
    this.#exchange.end();
  }

  reset(): void {
    this.#exchange.abort();
  }

  breakOff(): void {
    this.#exchange.abort();
  }

  pause(): void {
    this.#exchange.pause();
  }

  resume(): void {
    this.#exchange.resume();
  }

  #headOf(headers: HeaderBlock): HeaderBlock {
    const named = Object.entries(headers).filter(([name]) => name !== ":status");
    return { ...Object.fromEntries(named), "content-type": this.#form.contentType };
  }

  #bodyOf(bytes: Uint8Array): Uint8Array {
    if (!this.#form.isTextOut) return bytes;
    return Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64"), "latin1");
  }
}

const trailersFlag = 0x80;

function trailersFrame(trailers: HeaderBlock): Uint8Array {
  const text = Object.entries(trailers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
  const body = Buffer.from(text.join(""), "latin1");
  const frame = Buffer.alloc(5 + body.byteLength);
  frame[0] = trailersFlag;
  frame.writeUInt32BE(body.byteLength, 1);
  frame.set(body, 5);
  return frame;
}

/** Hears of the body of a gRPC-Web request for its call: decodes text, and ends a call whose body does not come. */
export class WebReceiver implements StreamReceiver {
  readonly #call: GrpcCall;
  readonly #text: Base64Reader | undefined;
  #cancelTimer: Cancel | undefined;

  constructor(call: GrpcCall, form: WebForm) {
    this.#call = call;
    this.#text = form.isTextIn ? new Base64Reader() : undefined;
  }

  /** What to stop when the body has come whole. */
  set bodyTimer(cancel: Cancel) {
    this.#cancelTimer = cancel;
  }

  data(bytes: Uint8Array): void {
    if (!this.#text) {
      this.#call.data(bytes);
      return;
    }
    const decoded = this.#text.push(bytes);
    if (decoded === undefined) this.#refuse("the body is no base64 text");
    else if (decoded.byteLength > 0) this.#call.data(decoded);
  }

  ended(): void {
    this.#cancelTimer?.();
    if (this.#text?.isCut === true) this.#refuse("the body ended in the middle of a group of base64 text");
    this.#call.ended();
  }

  drained(): void {
    this.#call.drained();
  }

  closed(): void {
    this.#cancelTimer?.();
    this.#call.closed();
  }

  #refuse(text: string): void {
    this.#call.abort(new MassaError("internal", text));
  }
}
