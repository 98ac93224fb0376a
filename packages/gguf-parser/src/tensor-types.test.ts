import { expect, test } from 'vitest';
import { describeTensorTypes, tensorSizeBytes, tensorTypeOf } from './tensor-types.ts';

/** The 2B4T model's feed-forward weights, 6912 x 2560, and ggml's bits per weight, of which sizes follow. */
test.each([
  [0, 'F32', 32],
  [1, 'F16', 16],
  [2, 'Q4_0', 4.5],
  [3, 'Q4_1', 5],
  [6, 'Q5_0', 5.5],
  [7, 'Q5_1', 6],
  [8, 'Q8_0', 8.5],
  [10, 'Q2_K', 2.625],
  [11, 'Q3_K', 3.4375],
  [12, 'Q4_K', 4.5],
  [13, 'Q5_K', 5.5],
  [14, 'Q6_K', 6.5625],
  [24, 'I8', 8],
  [25, 'I16', 16],
  [26, 'I32', 32],
  [27, 'I64', 64],
  [28, 'F64', 64],
  [30, 'BF16', 16],
  [34, 'TQ1_0', 1.6875],
  [35, 'TQ2_0', 2.0625],
])('type %i is %s with %d bits per element', (id, name, bits) => {
  const type = tensorTypeOf(id)!;
  expect(type.name).toBe(name);
  expect(tensorSizeBytes(type, 6912 * 2560)).toBe((6912 * 2560 * bits) / 8);
});

test.each([36, 38])('type %i has 2 bits per element and 32 bytes more', (id) => {
  expect(tensorSizeBytes(tensorTypeOf(id)!, 6912 * 2560)).toBe(4_423_680 + 32);
});

test('ids that are ambiguous, removed or never in files are unknown', () => {
  for (const id of [4, 5, 9, 31, 37, 39, 42, -1, Number.NaN]) {
    expect(tensorTypeOf(id)).toBeUndefined();
  }
  expect(describeTensorTypes()).toMatch(/^F32 \(0\), .*, TL1 \(38\)$/);
});
