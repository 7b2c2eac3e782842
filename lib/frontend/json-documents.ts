import { MassaError } from "../core/errors.ts";

const [newline, quote, backslash] = [0x0a, 0x22, 0x5c];

/**
 * Cuts a body into JSON documents, one a line as a rule; a document may also span lines, so that a body of one
 * pretty-printed document is one message. What is no JSON ends at the end of its line at the latest, for its parser to refuse.
 */
export class JsonDocuments {
  readonly #bytesMax: number;
  readonly #chunks: Uint8Array[] = [];
  /** Parts of the document under way from earlier chunks. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #heldBytes = 0;
  /** Where in the first chunk the scan stands, and where there the document under way began. */
  #at = 0;
  #start = 0;
  #state: "between" | "nested" | "text" | "word" = "between";
  #depth = 0;
  #isEscaped = false;
  #isEnded = false;

  /** `bytesMax` bounds one document. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes that came and were not taken. */
  get bufferedBytes(): number {
    return this.#heldBytes;
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.byteLength;
  }

  /** No more comes: what is there is the last document, whole or not. */
  end(): void {
    this.#isEnded = true;
  }

  /** The next document, or undefined until more has come. Throws `exhausted` for one over the limit. */
  next(): Uint8Array | undefined {
    for (let chunk = this.#chunks[0]; chunk !== undefined; chunk = this.#chunks[0]) {
      while (this.#at < chunk.byteLength) {
        if (this.#step(chunk[this.#at]!)) return this.#take(chunk);
      }
      this.#keep(chunk);
    }
    if (!this.#isEnded || this.#partBytes === 0) return undefined;
    this.#state = "between";
    return this.#gather();
  }

  /** Goes on by one byte; true: a document ends before the place where the scan stands now. */
  #step(byte: number): boolean {
    this.#at += 1;
    switch (this.#state) {
      case "between":
        if (!isSpace(byte)) this.#open(byte);
        return false;
      case "word":
        return isSpace(byte);
      case "nested":
        if (byte === quote) this.#state = "text";
        else if (isOpening(byte)) this.#depth += 1;
        else if (isClosing(byte)) this.#depth -= 1;
        return this.#depth === 0;
      case "text":
        return this.#stepText(byte);
    }
  }

  #open(byte: number): void {
    this.#heldBytes -= this.#at - 1 - this.#start;
    this.#start = this.#at - 1;
    this.#depth = isOpening(byte) ? 1 : 0;
    this.#state = byte === quote ? "text" : this.#depth === 1 ? "nested" : "word";
  }

  #stepText(byte: number): boolean {
    // No text of JSON holds a line break as it is.
    if (byte === newline) return true;
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === backslash) this.#isEscaped = true;
    else if (byte === quote) {
      this.#state = "nested";
      return this.#depth === 0;
    }
    return false;
  }

  #take(chunk: Uint8Array): Uint8Array {
    this.#part(chunk.subarray(this.#start, this.#at));
    this.#state = "between";
    this.#isEscaped = false;
    this.#start = this.#at;
    return this.#gather();
  }

  /** Puts the chunk that was scanned to its end aside, as far as it belongs to the document under way. */
  #keep(chunk: Uint8Array): void {
    this.#chunks.shift();
    if (this.#state === "between") this.#heldBytes -= chunk.byteLength - this.#start;
    else this.#part(chunk.subarray(this.#start));
    this.#at = 0;
    this.#start = 0;
  }

  #part(bytes: Uint8Array): void {
    this.#partBytes += bytes.byteLength;
    if (this.#partBytes > this.#bytesMax) {
      throw new MassaError("exhausted", `a message is over limits.message of ${this.#bytesMax} bytes`);
    }
    this.#parts.push(bytes);
  }

  #gather(): Uint8Array {
    const document = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#partBytes);
    this.#heldBytes -= this.#partBytes;
    this.#parts = [];
    this.#partBytes = 0;
    return document;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === newline || byte === 0x0d || byte === 0x09;
}

function isOpening(byte: number): boolean {
  return byte === 0x7b || byte === 0x5b;
}

function isClosing(byte: number): boolean {
  return byte === 0x7d || byte === 0x5d;
}
