/** Random numbers for inputs (mulberry32). */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return this.u32() % limit;
  }

  /** About normal, standard deviation `scale`. */
  normal(length: number, scale = 1): Float32Array {
    return Float32Array.from({ length }, () => {
      let sum = -6;
      for (let i = 0; i < 12; i++) sum += this.u32() / 2 ** 32;
      return sum * scale;
    });
  }

  /** Finite f32 of every magnitude between 2^low and 2^high. */
  wide(length: number, low = -140, high = 127): Float32Array {
    return Float32Array.from({ length }, () => {
      const exponent = low + this.below(high - low);
      return (this.u32() & 1 ? -1 : 1) * (1 + this.u32() / 2 ** 32) * 2 ** exponent;
    });
  }

  /** Bits of finite f16. */
  f16(length: number): number[] {
    return Array.from({ length }, () => {
      const bits = this.below(0x10000);
      return (bits & 0x7c00) === 0x7c00 ? bits & 0x83ff : bits;
    });
  }

  /** Bits of f16 between -2 and 2. */
  smallF16(length: number): number[] {
    return Array.from({ length }, () => (this.below(2) << 15) | this.below(0x4000));
  }

  codes(length: number): Uint8Array {
    return Uint8Array.from(
      { length },
      () => this.#code() | (this.#code() << 2) | (this.#code() << 4) | (this.#code() << 6),
    );
  }

  /** Bytes of two nibbles 0..8. */
  nibbles(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => (this.below(9) << 4) | this.below(9));
  }

  int8(length: number): Int8Array {
    return Int8Array.from({ length }, () => this.below(256) - 128);
  }

  #code(): number {
    return this.below(3);
  }
}
