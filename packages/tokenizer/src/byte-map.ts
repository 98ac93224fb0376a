// GPT-2's reversible map from bytes to printable characters, in which byte-level BPE spells its tokens: the printable
// bytes of Latin-1 stand for themselves, the other 68 are U+0100, U+0101, … in ascending order. So " a" is "Ġa".
// Source: openai/gpt-2 src/encoder.py, bytes_to_unicode.

const characterOfByte: string[] = [];
const byteOfCharacter = new Map<string, number>();
let hidden = 0;
for (let byte = 0; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  const character = String.fromCharCode(printable ? byte : 0x100 + hidden++);
  characterOfByte.push(character);
  byteOfCharacter.set(character, byte);
}

/** The 256 characters, by byte. */
export const BYTE_CHARACTERS: readonly string[] = characterOfByte;

const utf8 = new TextEncoder();

/** The UTF-8 bytes of `text`, one character each. */
export function spellBytes(text: string): string {
  let spelled = '';
  for (const byte of utf8.encode(text)) spelled += characterOfByte[byte];
  return spelled;
}

/** The bytes that `token` spells. A character outside the map, which no trainer writes, stands for its own UTF-8. */
export function bytesOfSpelling(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) bytes.push(...utf8.encode(character));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
