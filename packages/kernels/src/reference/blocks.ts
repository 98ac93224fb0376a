// The tensor types of llama.cpp (numerics, section 11): one row, or one block, at a time.
import type { Lanes } from '../contract.ts';
import { f16Value, fma, sumByHalving } from './float.ts';

const { fround } = Math;

/** A row of quantized weights, as blocks of integers and what they are multiplied by. */
interface BlockType {
  readonly columns: number;
  readonly bytes: number;
  readonly scaleAt: number;
  /** Integer weights of a block, [columns]; of K-types times the scale of their 16. */
  decode(block: Uint8Array): number[];
}

const int8 = (byte: number): number => (byte << 24) >> 24;

export const Q8_0: BlockType = {
  columns: 32,
  bytes: 34,
  scaleAt: 0,
  decode: (block) => Array.from(block.subarray(2, 34), int8),
};

export const Q4_0: BlockType = {
  columns: 32,
  bytes: 18,
  scaleAt: 0,
  decode: (block) => Array.from({ length: 32 }, (_, c) => ((block[2 + (c % 16)]! >> (c < 16 ? 0 : 4)) & 15) - 8),
};

/** Code 0..63 of a column. */
function q6KCode(block: Uint8Array, column: number): number {
  const half = column >> 7;
  const inHalf = column & 127;
  const low = (block[64 * half + (inHalf & 63)]! >> (inHalf < 64 ? 0 : 4)) & 15;
  const high = (block[128 + 32 * half + (inHalf & 31)]! >> (2 * (inHalf >> 5))) & 3;
  return low | (high << 4);
}

export const Q6_K: BlockType = {
  columns: 256,
  bytes: 210,
  scaleAt: 208,
  decode: (block) => Array.from({ length: 256 }, (_, c) => (q6KCode(block, c) - 32) * int8(block[192 + (c >> 4)]!)),
};

/** Code 0..3 of a column. */
function tq2_0Code(block: Uint8Array, column: number): number {
  return (block[32 * (column >> 7) + (column & 31)]! >> (2 * ((column >> 5) & 3))) & 3;
}

export const TQ2_0: BlockType = {
  columns: 256,
  bytes: 66,
  scaleAt: 64,
  decode: (block) => Array.from({ length: 256 }, (_, c) => tq2_0Code(block, c) - 1),
};

/** A TQ2_0 block of the weights of a TQ1_0 block. */
export function tq2_0Block(tq1_0: Uint8Array): Uint8Array {
  const block = new Uint8Array(66);
  for (let column = 0; column < 256; column++) {
    const [byte, digit] =
      column < 160
        ? [column % 32, Math.floor(column / 32)]
        : column < 240
          ? [32 + ((column - 160) % 16), Math.floor((column - 160) / 16)]
          : [48 + ((column - 240) % 4), Math.floor((column - 240) / 4)];
    const code = (((tq1_0[byte]! * 3 ** digit) % 256) * 3) >> 8;
    block[32 * (column >> 7) + (column & 31)]! |= code << (2 * ((column >> 5) & 3));
  }
  block.set(tq1_0.subarray(52, 54), 64);
  return block;
}

function scaleOf(type: BlockType, block: Uint8Array): number {
  return f16Value(block[type.scaleAt]! | (block[type.scaleAt + 1]! << 8));
}

/** The elements of a block: integer weight times scale; of Q6_K the 16's scale times the block's, times the code less 32. */
export function widenBlock(type: BlockType, block: Uint8Array): number[] {
  const d = scaleOf(type, block);
  if (type !== Q6_K) return type.decode(block).map((weight) => fround(weight * d));
  return Array.from({ length: 256 }, (_, c) =>
    fround((q6KCode(block, c) - 32) * fround(d * int8(block[192 + (c >> 4)]!))),
  );
}

/**
 * Dot product of a row with a quantized row, in eight lanes; four neighbouring columns of every 32 share a lane.
 *
 * @param scales - of the quantized row's blocks
 * @param fused - whether an integer sum is multiplied and added in one rounding
 */
export function dotBlocks(
  type: BlockType,
  row: Uint8Array,
  values: Int8Array,
  scales: Float32Array,
  fused: boolean,
): number {
  const lanes = new Float32Array(8);
  for (let b = 0; b < scales.length; b++) {
    const block = row.subarray(b * type.bytes, (b + 1) * type.bytes);
    const sums = Array.from({ length: 8 }, () => 0);
    for (const [c, weight] of type.decode(block).entries()) {
      sums[(c >> 2) & 7]! += weight * values[b * type.columns + c]!;
    }
    if (type === TQ2_0) regroup(sums, values.subarray(256 * b, 256 * (b + 1)));
    const scale = fround(scales[b]! * scaleOf(type, block));
    for (const [lane, sum] of sums.entries()) {
      lanes[lane] = fused ? fma(scale, sum, lanes[lane]!) : fround(sum * scale) + lanes[lane]!;
    }
  }
  return sumByHalving(lanes);
}

/** Sums of (code - 1) * value become those of code * value, less the sum of 32 neighbouring values a lane. */
function regroup(sums: number[], values: Int8Array): void {
  for (const [c, value] of values.entries()) {
    sums[(c >> 2) & 7]! += value;
    sums[c >> 5]! -= value;
  }
}

/** Dot product of rows of bf16 values, whose products f32 holds exactly. Length a multiple of 32. */
export function dotBf16(a: ArrayLike<number>, b: ArrayLike<number>, lanes: Lanes): number {
  const sums = new Float32Array(32);
  for (let i = 0; i < a.length; i++) sums[i % 32]! += a[i]! * b[i]!;
  if (lanes === 16) return fround(sumByHalving(sums.subarray(0, 16)) + sumByHalving(sums.subarray(16)));
  return sumByHalving(
    Float32Array.from({ length: 8 }, (_, i) =>
      fround(fround(sums[i]! + sums[i + 16]!) + fround(sums[i + 8]! + sums[i + 24]!)),
    ),
  );
}
