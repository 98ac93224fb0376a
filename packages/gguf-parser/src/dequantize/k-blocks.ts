import { half } from './half.ts';
import type { BlockDecoder } from './simple-blocks.ts';

/**
 * K-quants: 256 elements in groups of 16 or 32, each group with a small integer scale (and minimum) that is multiplied
 * by the block's f16 one. value = (d * scale) * q - dmin * minimum; all products are exact in f32 but Q6_K's last.
 * Source of the layouts: ggml-org/llama.cpp ggml/src/ggml-common.h at 01243c5.
 */

/** 16 bytes (low half scale, high half minimum of a group of 16), 64 bytes of 2-bit q, f16 d, f16 dmin. */
export const q2_K: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at + 80);
  const dmin = half(bytes, at + 82);
  for (let i = 0; i < 256; i++) {
    const packed = bytes[at + (i >> 4)]!;
    const q = twoBits(bytes, at + 16, i);
    out[to + i] = d * (packed & 0xf) * q - dmin * (packed >> 4);
  }
};

/**
 * 32 bytes of third bits (byte i % 32, bit i / 32; 0 means q - 4), 64 bytes of 2-bit q, 12 bytes of sixteen 6-bit
 * scales + 32, f16 d.
 */
export const q3_K: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at + 108);
  for (let group = 0; group < 16; group++) {
    const low = (bytes[at + 96 + (group & 7)]! >> (group < 8 ? 0 : 4)) & 0xf;
    const high = (bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2))) & 3;
    const scale = d * ((low | (high << 4)) - 32);
    for (let i = group * 16; i < group * 16 + 16; i++) {
      const third = (bytes[at + (i & 31)]! >> (i >> 5)) & 1;
      out[to + i] = scale * (twoBits(bytes, at + 32, i) - (third === 1 ? 0 : 4));
    }
  }
};

/** f16 d, f16 dmin, 12 bytes of eight 6-bit scales and minimums, 128 bytes of 4-bit q. */
export const q4_K: BlockDecoder = (bytes, at, out, to) => {
  for (let group = 0; group < 8; group++) {
    const { scale, minimum } = scaleAndMinimum(bytes, at, group);
    for (let i = group * 32; i < group * 32 + 32; i++) {
      out[to + i] = scale * fourBits(bytes, at + 16, i) - minimum;
    }
  }
};

/** As Q4_K, with 32 bytes of fifth bits (byte i % 32, bit i / 32) before the q. */
export const q5_K: BlockDecoder = (bytes, at, out, to) => {
  for (let group = 0; group < 8; group++) {
    const { scale, minimum } = scaleAndMinimum(bytes, at, group);
    for (let i = group * 32; i < group * 32 + 32; i++) {
      const fifth = ((bytes[at + 16 + (i & 31)]! >> group) & 1) << 4;
      out[to + i] = scale * (fourBits(bytes, at + 48, i) | fifth) - minimum;
    }
  }
};

/** 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 signed scales of groups of 16, f16 d. All six bits hold q + 32. */
export const q6_K: BlockDecoder = (bytes, at, out, to) => {
  const d = half(bytes, at + 208);
  for (let i = 0; i < 256; i++) {
    // In each half of 128: low bits of i and of 64 + i share a byte; so do the high bits of i, 32 + i, 64 + i, 96 + i.
    const within = i & 127;
    const low = (bytes[at + (i >> 7) * 64 + (within & 63)]! >> (within < 64 ? 0 : 4)) & 0xf;
    const high = twoBits(bytes, at + 128, i);
    const scale = d * ((bytes[at + 192 + (i >> 4)]! << 24) >> 24);
    out[to + i] = scale * ((low | (high << 4)) - 32);
  }
};

/** Of 256 2-bit numbers: 128 in 32 bytes, byte p with those of p, 32 + p, 64 + p, 96 + p, lowest bits first. */
function twoBits(bytes: Uint8Array, at: number, i: number): number {
  return (bytes[at + ((i >> 7) << 5) + (i & 31)]! >> (((i >> 5) & 3) * 2)) & 3;
}

/** Of 256 4-bit numbers: 64 in 32 bytes, byte p with those of p (low half) and 32 + p (high half). */
function fourBits(bytes: Uint8Array, at: number, i: number): number {
  return (bytes[at + ((i >> 6) << 5) + (i & 31)]! >> (i & 32 ? 4 : 0)) & 0xf;
}

/**
 * Six bits each of group 0..7 in the 12 bytes after d and dmin. Groups 0..3: the low six bits of byte `group` (scale)
 * and 4 + `group` (minimum). Groups 4..7: four bits each in byte 4 + `group`, and their top two bits are the top two
 * of the bytes that hold groups 0..3.
 */
function scaleAndMinimum(bytes: Uint8Array, at: number, group: number): { scale: number; minimum: number } {
  const d = half(bytes, at);
  const dmin = half(bytes, at + 2);
  const packed = (index: number): number => bytes[at + 4 + index]!;
  if (group < 4) {
    return { scale: d * (packed(group) & 63), minimum: dmin * (packed(4 + group) & 63) };
  }
  const scale = (packed(4 + group) & 0xf) | ((packed(group - 4) >> 6) << 4);
  const minimum = (packed(4 + group) >> 4) | ((packed(group) >> 6) << 4);
  return { scale: d * scale, minimum: dmin * minimum };
}
