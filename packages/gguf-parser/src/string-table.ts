import { GgufError } from './errors.ts';

/** ignoreBOM keeps a leading U+FEFF, which is a token of LLaMA-2's vocabulary; without it the string is ''. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws TypeError for bytes that are not UTF-8: nothing is ever replaced */
export function decodeText(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

/**
 * Strings as the file has them: each a u64 length and that many bytes, which need not be UTF-8. Text is made when it
 * is asked for, because most who open a file never look at its merges, and raw bytes must be readable whatever they are.
 */
export class StringTable {
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #littleEndian: boolean;
  /** What the strings are, for messages: `the value of "general.name"`. */
  readonly #reading: string;

  /** @param bytes - `count` strings, lengths included, which have been checked */
  constructor(bytes: Uint8Array, count: number, littleEndian: boolean, reading: string) {
    this.#bytes = bytes;
    this.count = count;
    this.#littleEndian = littleEndian;
    this.#reading = reading;
  }

  /** Each string's bytes, as views. */
  *[Symbol.iterator](): Generator<Uint8Array, void, undefined> {
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    for (let index = 0, at = 0; index < this.count; index++) {
      // No string reaches 2^32 bytes: it was read in one piece.
      const length = view.getUint32(this.#littleEndian ? at : at + 4, this.#littleEndian);
      yield this.#bytes.subarray(at + 8, at + 8 + length);
      at += 8 + length;
    }
  }

  /** @throws GgufError GGUF_BAD_UTF8 */
  texts(): string[] {
    const texts: string[] = [];
    for (const bytes of this) {
      try {
        texts.push(decodeText(bytes));
      } catch (cause) {
        throw new GgufError(
          'GGUF_BAD_UTF8',
          `String ${texts.length} of ${this.#reading} is not UTF-8. Take its bytes from metadata.stringBytes, ` +
            'or convert the model again.',
          { cause },
        );
      }
    }
    return texts;
  }
}
