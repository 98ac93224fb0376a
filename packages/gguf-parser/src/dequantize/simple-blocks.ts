import { half } from './half.ts';

/**
 * Blocks of 32 with one scale d, and in the `_1` types a minimum m: value = d * q, or d * q + m.
 * Every function here and in the other files decodes one block: from `bytes` at `at` to `out` at `to`.
 * Source: ggml-org/llama.cpp ggml/src/ggml-common.h at 01243c5 (the blocks). A product of an f16 and a small integer is
 * exact in f32, so the only rounding is that of a sum, when it is stored.
 */
export type BlockDecoder = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

/** f16 d, 16 bytes: byte j has q + 8 of element j in its low half and of 16 + j in its high half. */
export const q4_0: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 2 + j]!;
    out[to + j] = d * ((pair & 0xf) - 8);
    out[to + 16 + j] = d * ((pair >> 4) - 8);
  }
};

/** f16 d, f16 m, 16 bytes as in Q4_0 but without the 8. */
export const q4_1: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at);
  const m = half(bytes, at + 2);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 4 + j]!;
    out[to + j] = d * (pair & 0xf) + m;
    out[to + 16 + j] = d * (pair >> 4) + m;
  }
};

/** The fifth bit of element `index`, as 16 or 0, from the 4 bytes that hold 32 of them. */
function fifthBit(bytes: Uint8Array, at: number, index: number): number {
  return ((bytes[at + (index >> 3)]! >> (index & 7)) & 1) << 4;
}

/** f16 d, 4 bytes of fifth bits, 16 bytes as in Q4_0; all five bits hold q + 16. */
export const q5_0: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 6 + j]!;
    out[to + j] = d * (((pair & 0xf) | fifthBit(bytes, at + 2, j)) - 16);
    out[to + 16 + j] = d * (((pair >> 4) | fifthBit(bytes, at + 2, 16 + j)) - 16);
  }
};

/** f16 d, f16 m, 4 bytes of fifth bits, 16 bytes. */
export const q5_1: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at);
  const m = half(bytes, at + 2);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 8 + j]!;
    out[to + j] = d * ((pair & 0xf) | fifthBit(bytes, at + 4, j)) + m;
    out[to + 16 + j] = d * ((pair >> 4) | fifthBit(bytes, at + 4, 16 + j)) + m;
  }
};

/** f16 d, 32 signed bytes. */
export const q8_0: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let j = 0; j < 32; j++) {
    out[to + j] = d * ((bytes[at + 2 + j]! << 24) >> 24);
  }
};
