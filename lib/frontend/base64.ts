const groupCharacters = 4;
const groups = /^(?:[A-Za-z0-9+/]{4})*$/;
const lastGroup = /^[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)$/;

/** Decodes base64 as a stream. Padded groups may stand anywhere, for writers encode each of their chunks by itself. */
export class Base64Reader {
  /** Characters of a group that has not come whole. */
  #rest = "";

  /** Whether the text so far ends within a group. */
  get isCut(): boolean {
    return this.#rest !== "";
  }

  /** The bytes of all groups that have come whole; undefined for what is no base64. */
  push(chunk: Uint8Array): Uint8Array | undefined {
    const text = this.#rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString("latin1");
    const whole = text.length - (text.length % groupCharacters);
    this.#rest = text.slice(whole);
    const pieces: Buffer[] = [];
    for (let at = 0; at < whole;) {
      const mark = text.indexOf("=", at);
      const end = mark < 0 || mark >= whole ? whole : mark - (mark % groupCharacters) + groupCharacters;
      const piece = text.slice(at, end);
      if (!isBase64(piece)) return undefined;
      pieces.push(Buffer.from(piece, "base64"));
      at = end;
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }
}

function isBase64(text: string): boolean {
  if (groups.test(text)) return true;
  return groups.test(text.slice(0, -groupCharacters)) && lastGroup.test(text.slice(-groupCharacters));
}
