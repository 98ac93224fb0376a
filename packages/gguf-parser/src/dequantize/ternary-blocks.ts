import { half } from './half.ts';
import type { BlockDecoder } from './simple-blocks.ts';

/**
 * Ternary weights of mainline ggml, 256 in a block with an f16 scale at its end.
 * Source of the layouts: ggml-org/llama.cpp ggml/src/ggml-common.h at 01243c5.
 */

/**
 * Base 3: a byte b holds five weights as ceil(n * 256 / 243), n being their digits; multiplying by 3 moves the next
 * digit into bits 8 and 9. 32 bytes (weights p, 32 + p, …), 16 bytes (16 apart), and 4 bytes of four weights (4 apart).
 */
export const tq1_0: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at + 52);
  let first = to;
  for (const [start, count, digits] of [
    [0, 32, 5],
    [32, 16, 5],
    [48, 4, 4],
  ] as const) {
    for (let p = 0; p < count; p++) {
      let rest = bytes[at + start + p]!;
      for (let digit = 0; digit < digits; digit++) {
        rest *= 3;
        out[first + digit * count + p] = d * ((rest >> 8) - 1);
        rest &= 0xff;
      }
    }
    first += count * digits;
  }
};

/** 64 bytes of 2-bit codes 0, 1, 2: 128 in 32 bytes, byte p with those of p, 32 + p, 64 + p, 96 + p, lowest bits first. */
export const tq2_0: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at + 64);
  for (let i = 0; i < 256; i++) {
    const code = (bytes[at + ((i >> 7) << 5) + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
    out[to + i] = d * (code - 1);
  }
};
