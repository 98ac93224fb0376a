import type { BlockKernels } from '../contract-blocks.ts';
import type { Pointer } from '../contract.ts';
import type { KernelMemory } from '../memory.ts';
import { dotBf16, dotBlocks, Q4_0, Q6_K, Q8_0, tq2_0Block, TQ2_0, widenBlock } from './blocks.ts';
import { dotBlas, dotF32 } from './dot.ts';
import { roundF16, roundToEven } from './float.ts';

const { fround } = Math;

/** The part of the reference kernels that is for llama.cpp's types. */
export function referenceBlockKernels(memory: KernelMemory): BlockKernels {
  const f32 = (pointer: Pointer, length: number): Float32Array => memory.f32(pointer, length);
  const bits = new DataView(new ArrayBuffer(4));
  const bf16Value = (half: number): number => {
    bits.setUint32(0, half << 16);
    return bits.getFloat32(0);
  };
  const roundBf16 = (value: number): number => {
    bits.setFloat32(0, value);
    const word = bits.getUint32(0);
    if (Number.isNaN(value)) return Number.NaN;
    return bf16Value((word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
  };
  /** A product of `type` for which every quantized row's scale covers a block. */
  const blockGemm =
    (type: typeof Q8_0, fused: boolean): BlockKernels['q8_0Gemm'] =>
    (weights, rowBegin, rowEnd, width, values, scales, count, out, outStride) => {
      const blocks = width / type.columns;
      for (let row = rowBegin; row < rowEnd; row++) {
        const bytes = memory.bytes(weights + row * blocks * type.bytes, blocks * type.bytes);
        for (let index = 0; index < count; index++) {
          f32(out + 4 * (index * outStride + row), 1)[0] = dotBlocks(
            type,
            bytes,
            memory.i8(values + index * width, width),
            f32(scales + 4 * index * blocks, blocks),
            fused,
          );
        }
      }
    };
  const widen =
    (type: typeof Q8_0): BlockKernels['widenQ8_0'] =>
    (source, count, out) => {
      for (let block = 0; block < count / type.columns; block++) {
        const elements = widenBlock(type, memory.bytes(source + block * type.bytes, type.bytes));
        f32(out + 4 * block * type.columns, type.columns).set(elements);
      }
    };
  const tq2_0 = blockGemm(TQ2_0, false);

  return {
    quantizeRowsQ8_0(x, rowBegin, rowEnd, width, values, scales) {
      for (let block = (rowBegin * width) / 32; block < (rowEnd * width) / 32; block++) {
        const source = f32(x + 128 * block, 32);
        const amax = source.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
        const inverse = amax === 0 ? 0 : fround(127 / amax);
        memory.i8(values + 32 * block, 32).set(source.map((value) => quantized(fround(value * inverse))));
        f32(scales + 4 * block, 1)[0] = roundF16(fround(amax / 127));
      }
    },

    quantizeRowsQ8K(x, rowBegin, rowEnd, width, values, scales, sums) {
      for (let block = (rowBegin * width) / 256; block < (rowEnd * width) / 256; block++) {
        const source = f32(x + 1024 * block, 256);
        const largest = source.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
        const inverse = largest === 0 ? 0 : fround(-127 / largest);
        const target = memory.i8(values + 256 * block, 256);
        target.set(source.map((value) => quantized(fround(value * inverse))));
        f32(scales + 4 * block, 1)[0] = largest === 0 ? 0 : fround(1 / inverse);
        for (let i = 0; i < 16; i++) {
          const sum = target.subarray(16 * i, 16 * i + 16).reduce((total, value) => total + value, 0);
          memory.u16(sums + 2 * (16 * block + i), 1)[0] = sum;
        }
      }
    },

    roundToBf16(source, count, out) {
      f32(out, count).set(f32(source, count).map(roundBf16));
    },

    f32Gemv(matrix, rowBegin, rowEnd, width, vector, out, lanes) {
      for (let row = rowBegin; row < rowEnd; row++) {
        f32(out + 4 * row, 1)[0] = dotF32(f32(matrix + 4 * row * width, width), f32(vector, width), lanes);
      }
    },

    f32Gemm(matrix, rowBegin, rowEnd, width, vectors, count, out, outStride, lanes) {
      for (let row = rowBegin; row < rowEnd; row++) {
        for (let index = 0; index < count; index++) {
          f32(out + 4 * (index * outStride + row), 1)[0] = dotBlas(
            f32(matrix + 4 * row * width, width),
            f32(vectors + 4 * index * width, width),
            lanes,
          );
        }
      }
    },

    bf16Gemm(matrix, rowBegin, rowEnd, width, vectors, count, out, outStride, lanes) {
      for (let row = rowBegin; row < rowEnd; row++) {
        const a = Array.from(memory.u16(matrix + 2 * row * width, width), bf16Value);
        for (let index = 0; index < count; index++) {
          const b = f32(vectors + 4 * index * width, width);
          f32(out + 4 * (index * outStride + row), 1)[0] = dotBf16(a, b, lanes);
        }
      }
    },

    q8_0Gemm: blockGemm(Q8_0, true),
    q4_0Gemm: blockGemm(Q4_0, true),
    q6KGemm: blockGemm(Q6_K, true),
    // The sums are those of the values themselves.
    tq2_0Gemm: (weights, rowBegin, rowEnd, width, values, scales, _sums, count, out, outStride) =>
      tq2_0(weights, rowBegin, rowEnd, width, values, scales, count, out, outStride),

    tq1_0ToTq2_0(source, count, out) {
      for (let block = 0; block < count / 256; block++) {
        memory.bytes(out + 66 * block, 66).set(tq2_0Block(memory.bytes(source + 54 * block, 54)));
      }
    },

    copyF32(source, count, out) {
      f32(out, count).set(f32(source, count));
    },

    widenBf16(source, count, out) {
      f32(out, count).set(Array.from(memory.u16(source, count), bf16Value));
    },

    widenQ8_0: widen(Q8_0),
    widenQ4_0: widen(Q4_0),
    widenQ6K: widen(Q6_K),
    widenTq2_0: widen(TQ2_0),

    findNonFiniteF32(source, count) {
      return f32(source, count).findIndex((value) => !Number.isFinite(value));
    },

    findNonFiniteBf16(source, count) {
      return memory.u16(source, count).findIndex((half) => !Number.isFinite(bf16Value(half)));
    },

    findNonFiniteScale(source, count, strideBytes) {
      const isSpecial = (i: number): boolean => (memory.bytes(source + i * strideBytes + 1, 1)[0]! & 0x7c) === 0x7c;
      return Array.from({ length: count }, (_, i) => i).findIndex(isSpecial);
    },
  };
}

/** Rounded to even and limited to int8; NaN, which is 0 times an infinite factor, becomes 0. */
function quantized(value: number): number {
  return Number.isNaN(value) ? 0 : roundToEven(Math.min(127, Math.max(-128, value)));
}
