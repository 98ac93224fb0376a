/**
 * A 128-bit digest that finds accidental changes and tells models apart: four lanes of 32 bits over little-endian
 * words, each step a bijection, so that no single changed word goes unnoticed. No protection from somebody who wants two
 * inputs to be alike. A gigabyte takes well under a second, which SHA-256 in JavaScript does not.
 */
export class WordHash {
  readonly #lanes = Int32Array.of(0x243f6a88, 0x05a308d3, 0x13198a2e, 0x03707344); // digits of pi
  #length = 0;

  /** @param bytes - their number is part of the digest; behind a multiple of 16 they are padded with zeros */
  update(bytes: Uint8Array): this {
    const whole = bytes.length & ~15;
    const isAligned = bytes.byteOffset % 4 === 0;
    if (isAligned) this.#mix(new Int32Array(bytes.buffer, bytes.byteOffset, whole / 4));
    else this.#mix(new Int32Array(bytes.slice(0, whole).buffer));
    if (whole < bytes.length) {
      const rest = new Uint8Array(16);
      rest.set(bytes.subarray(whole));
      this.#mix(new Int32Array(rest.buffer));
    }
    this.#length += bytes.length;
    return this;
  }

  /** 16 bytes. */
  digest(): Uint8Array<ArrayBuffer> {
    const words = this.#lanes.map((lane, index) => {
      let word = lane ^ (this.#length + index);
      word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
      word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
      return word ^ (word >>> 16);
    });
    return new Uint8Array(words.buffer);
  }

  /** @param words - a multiple of four */
  #mix(words: Int32Array): void {
    let [a, b, c, d] = this.#lanes as unknown as [number, number, number, number];
    for (let i = 0; i < words.length; i += 4) {
      a = Math.imul(a ^ words[i]!, 0x9e3779b1);
      b = Math.imul(b ^ words[i + 1]!, 0x85ebca77);
      c = Math.imul(c ^ words[i + 2]!, 0xc2b2ae3d);
      d = Math.imul(d ^ words[i + 3]!, 0x27d4eb2f);
      a ^= a >>> 15;
      b ^= b >>> 15;
      c ^= c >>> 15;
      d ^= d >>> 15;
    }
    this.#lanes.set([a, b, c, d]);
  }
}
