import { gunzipSync } from "node:zlib";
import { MassaError } from "../core/errors.ts";

const prefixBytes = 5;

/** Puts the 5-byte prefix of gRPC before a message; the message is copied. */
export function frameOf(message: Uint8Array, compressed = false): Uint8Array {
  const frame = Buffer.allocUnsafe(prefixBytes + message.byteLength);
  frame[0] = compressed ? 1 : 0;
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/**
 * Cuts a gRPC body into messages. A message that lies within one chunk is a slice of it; one that spans several is gathered
 * as it comes.
 */
export class FrameReader {
  /** `grpc-encoding` of the body. */
  encoding = "identity";
  readonly #messageBytesMax: number;
  /** What came and was not taken: a part of a chunk, or the beginning of `#own`. */
  #chunk: Buffer = empty;
  /** Where a message is gathered that spans several chunks; undefined while `#chunk` lies in memory that others share. */
  #own: Buffer | undefined;
  #bytes = 0;
  #wanted = prefixBytes;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Bytes that came and were not taken. */
  get bufferedBytes(): number {
    return this.#bytes;
  }

  push(chunk: Uint8Array): void {
    const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#bytes === 0) this.#chunk = buffer;
    else this.#append(buffer);
    this.#bytes += buffer.byteLength;
  }

  /**
   * The next whole message, inflated if it came compressed, or undefined until more has come. Throws `exhausted` for one
   * over the limit, `internal` for one that cannot be inflated, `unimplemented` for an encoding other than gzip.
   */
  next(): Uint8Array | undefined {
    if (this.#bytes < this.#wanted) {
      this.#keep();
      return undefined;
    }
    const length = this.#chunk.readUInt32BE(1);
    if (length > this.#messageBytesMax) {
      throw new MassaError(
        "exhausted",
        `a message of ${length} bytes is over limits.message of ${this.#messageBytesMax} bytes`,
      );
    }
    const end = prefixBytes + length;
    if (this.#bytes < end) {
      this.#wanted = end;
      this.#keep();
      return undefined;
    }
    const compressed = this.#chunk[0] !== 0;
    const message = this.#chunk.subarray(prefixBytes, end);
    this.#bytes -= end;
    this.#chunk = this.#bytes === 0 ? empty : this.#chunk.subarray(end);
    this.#own = undefined;
    this.#wanted = prefixBytes;
    return compressed ? inflated(message, this.encoding, this.#messageBytesMax) : message;
  }

  /** Moves what is left of a chunk to memory of its own: however small it is, it would hold the whole of what was read at once. */
  #keep(): void {
    if (this.#bytes > 0 && this.#own === undefined) this.#append(empty);
  }

  /** Room is made as bytes come, not as a prefix promises, and never for more than the message. */
  #append(more: Buffer): void {
    const bytes = this.#bytes + more.byteLength;
    let own = this.#own;
    if (own === undefined || own.byteLength < bytes) {
      own = Buffer.allocUnsafeSlow(Math.max(bytes, Math.min(this.#wanted, 2 * bytes)));
      this.#chunk.copy(own);
      this.#own = own;
    }
    more.copy(own, this.#bytes);
    this.#chunk = own.subarray(0, bytes);
  }
}

const empty = Buffer.alloc(0);

function inflated(bytes: Uint8Array, encoding: string, messageBytesMax: number): Uint8Array {
  if (encoding === "identity")
    throw new MassaError("internal", "a message is flagged as compressed, but grpc-encoding is identity");
  if (encoding !== "gzip")
    throw new MassaError("unimplemented", `grpc-encoding ${encoding} is not supported: use gzip or identity`);
  try {
    return gunzipSync(bytes, { maxOutputLength: messageBytesMax });
  } catch (failure) {
    if (failure instanceof RangeError) {
      throw new MassaError("exhausted", `a message is inflated over limits.message of ${messageBytesMax} bytes`, {
        cause: failure,
      });
    }
    throw new MassaError("internal", "a message cannot be inflated: it is no gzip stream", { cause: failure });
  }
}
