/** Marsaglia's xorshift of 32 bits: fast, and the same on every machine. */
export class Random {
  #state: number;

  /** @param seed - equal texts give equal numbers */
  constructor(seed: string) {
    this.#state = 0x811c9dc5; // FNV-1a
    for (let i = 0; i < seed.length; i++) this.#state = Math.imul(this.#state ^ seed.charCodeAt(i), 0x01000193);
    this.#state ||= 1;
  }

  /** A whole number of 32 bits, not 0. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  /** From 0 to 1, not 1. */
  fraction(): number {
    return this.next() / 2 ** 32;
  }

  /** Fills `out` with entries of `table` (of 65,536), each chosen by 16 bits. */
  draw(out: Uint8Array | Uint16Array, table: Uint8Array | Uint16Array): void {
    let x = this.#state;
    for (let i = 0; i < out.length; i += 2) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      out[i] = table[x & 0xffff]!;
      if (i + 1 < out.length) out[i + 1] = table[x >>> 16]!;
    }
    this.#state = x;
  }
}
