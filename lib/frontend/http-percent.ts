import { isUtf8 } from "node:buffer";

/**
 * Percent-decodes a piece of a URL, whose characters are bytes. Undefined for a `%` without two hexadecimal digits,
 * and for what is no UTF-8. `plus` makes spaces of `+`, as forms do.
 */
export function percentDecoded(text: string, plus: boolean): string | undefined {
  if (plain.test(text)) return text;
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at += 1) {
    let code = text.charCodeAt(at);
    if (code === 0x25) {
      code = hexOf(text.charCodeAt(at + 1)) * 16 + hexOf(text.charCodeAt(at + 2));
      at += 2;
    } else if (code === 0x2b && plus) code = 0x20;
    // NaN, for a digit that is none, compares false.
    if (!(code <= 0xff)) return undefined;
    bytes[length++] = code;
  }
  const decoded = bytes.subarray(0, length);
  return isUtf8(decoded) ? decoded.toString() : undefined;
}

/** Stays as it is: ASCII without `%` and `+`. */
const plain = /^[ -$&-*,-~]*$/;

function hexOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : NaN;
}
