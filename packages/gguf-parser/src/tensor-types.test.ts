import { expect, test } from 'vitest';
import { describeTensorTypes, typeIdOf, typeNameOf } from './dialects.ts';
import { tensorSizeBytes } from './tensor-types.ts';

/**
 * The 2B4T model's feed-forward weights, 6912 x 2560, and the bits per weight of ggml-org/llama.cpp
 * gguf-py/gguf/constants.py, GGML_QUANT_SIZES, of which sizes follow.
 */
test.each([
  [0, 'F32', 32],
  [1, 'F16', 16],
  [2, 'Q4_0', 4.5],
  [3, 'Q4_1', 5],
  [6, 'Q5_0', 5.5],
  [7, 'Q5_1', 6],
  [8, 'Q8_0', 8.5],
  [9, 'Q8_1', 9],
  [10, 'Q2_K', 2.625],
  [11, 'Q3_K', 3.4375],
  [12, 'Q4_K', 4.5],
  [13, 'Q5_K', 5.5],
  [14, 'Q6_K', 6.5625],
  [15, 'Q8_K', 9.125],
  [16, 'IQ2_XXS', 2.0625],
  [17, 'IQ2_XS', 2.3125],
  [18, 'IQ3_XXS', 3.0625],
  [19, 'IQ1_S', 1.5625],
  [20, 'IQ4_NL', 4.5],
  [21, 'IQ3_S', 3.4375],
  [22, 'IQ2_S', 2.5625],
  [23, 'IQ4_XS', 4.25],
  [24, 'I8', 8],
  [25, 'I16', 16],
  [26, 'I32', 32],
  [27, 'I64', 64],
  [28, 'F64', 64],
  [29, 'IQ1_M', 1.75],
  [30, 'BF16', 16],
  [31, 'Q4_0_4_4', 4.5],
  [32, 'Q4_0_4_8', 4.5],
  [33, 'Q4_0_8_8', 4.5],
  [34, 'TQ1_0', 1.6875],
  [35, 'TQ2_0', 2.0625],
  [39, 'MXFP4', 4.25],
  [40, 'NVFP4', 4.5],
  [41, 'Q1_0', 1.125],
  [42, 'Q2_0', 2.25],
] as const)('type %i of ggml is %s with %d bits per element', (id, name, bits) => {
  expect(typeNameOf('ggml', id)).toBe(name);
  expect(typeIdOf('ggml', name)).toBe(id);
  expect(tensorSizeBytes(name, [2560, 6912])).toBe((6912 * 2560 * bits) / 8);
});

test.each(['bitnet.cpp', 'bitnet.cpp-2026'] as const)('%s: 36 is I2_S, 37 I8_S, 38 TL1', (dialect) => {
  expect([36, 37, 38].map((id) => typeNameOf(dialect, id))).toEqual(['I2_S', 'I8_S', 'TL1']);
  for (const name of ['I2_S', 'TL1'] as const) {
    expect(tensorSizeBytes(name, [2560, 6912])).toBe(4_423_680 + 32);
  }
});

test('TL2: triples in 5 bits, the last 256 columns as pairs in 4, rounded up to 32 bytes, and 32 bytes more', () => {
  expect(typeNameOf('bitnet.cpp', 39)).toBe('TL2');
  expect(typeNameOf('bitnet.cpp-2026', 42)).toBe('TL2');
  expect(tensorSizeBytes('TL2', [2560, 6912])).toBe((768 * 6912 * 5) / 8 + (128 * 6912 * 4) / 8 + 32);
  expect(tensorSizeBytes('TL2', [352, 1])).toBe(96 + 32); // 20 + 64 bytes, rounded up to 96
  expect(tensorSizeBytes('TL2', [128, 4])).toBeNaN();
});

test('numbers that were removed or never given are unknown', () => {
  for (const id of [4, 5, 36, 37, 38, 43, -1, Number.NaN]) {
    expect(typeNameOf('ggml', id)).toBeUndefined();
  }
  expect(describeTensorTypes('bitnet.cpp')).toMatch(/^F32 \(0\), .*, TL1 \(38\), TL2 \(39\)$/);
  expect(() => typeIdOf('ggml', 'I2_S')).toThrow(RangeError);
});
