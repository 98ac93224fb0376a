/** Types that mainline llama.cpp computes ternary weights in. All hold -1, 0 and 1 exactly; the scale is a tensor of its own. */
export type TernaryTarget = 'F32' | 'F16' | 'TQ2_0';

/** Weights of one block of TQ2_0; the rows of a matrix are whole blocks. */
export const TQ2_0_BLOCK = 256;
const TQ2_0_BLOCK_BYTES = 66;
const F16_ONE = 0x3c00;
const F16_SIGN = 0x8000;
/** Weights encoded at a time. */
const CHUNK = 2 ** 20;

/** The codes -1, 0, 1 in a type's bytes, in chunks. */
export function* encodeTernary(codes: Int8Array, target: TernaryTarget): Generator<Uint8Array, void, undefined> {
  for (let start = 0; start < codes.length; start += CHUNK) {
    yield ENCODE[target](codes.subarray(start, start + CHUNK));
  }
}

const ENCODE: Record<TernaryTarget, (codes: Int8Array) => Uint8Array> = {
  F32: (codes) => new Uint8Array(Float32Array.from(codes).buffer),
  F16: (codes) =>
    new Uint8Array(
      Uint16Array.from(codes, (code) => (code === 0 ? 0 : code < 0 ? F16_SIGN | F16_ONE : F16_ONE)).buffer,
    ),
  TQ2_0: encodeTq2,
};

/**
 * ggml's block_tq2_0: 64 bytes of codes 0, 1, 2, then a factor in f16, here 1. Of each 128 weights byte p has p, 32+p,
 * 64+p and 96+p, first ones in the lowest bits.
 */
function encodeTq2(codes: Int8Array): Uint8Array {
  const bytes = new Uint8Array((codes.length / TQ2_0_BLOCK) * TQ2_0_BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < codes.length / TQ2_0_BLOCK; block++) {
    const at = block * TQ2_0_BLOCK_BYTES;
    for (let index = 0; index < TQ2_0_BLOCK; index++) {
      const within = index % 128;
      const byte = at + Math.floor(index / 128) * 32 + (within % 32);
      bytes[byte]! |= (codes[block * TQ2_0_BLOCK + index]! + 1) << (2 * Math.floor(within / 32));
    }
    view.setUint16(at + TQ2_0_BLOCK / 4, F16_ONE, true);
  }
  return bytes;
}
