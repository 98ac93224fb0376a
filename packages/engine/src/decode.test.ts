import { describe, expect, test } from 'vitest';
import { argmax } from './decode.ts';

describe('argmax', () => {
  test('is the lowest id with the largest logit', () => {
    expect(argmax(Float32Array.of(-3, -1, -2))).toBe(1);
    expect(argmax(Float32Array.of(1, 5, 5, 2, 5))).toBe(1);
    expect(argmax(Float32Array.of(-0, 0))).toBe(0);
    expect(argmax(Float32Array.of(4))).toBe(0);
  });

  test.each([Number.NaN, Infinity, -Infinity])('%d anywhere is an error', (bad) => {
    for (const at of [0, 1, 2]) {
      const logits = Float32Array.of(1, 2, 3);
      logits[at] = bad;
      expect(() => argmax(logits)).toThrow(expect.objectContaining({ code: 'ENGINE_NOT_FINITE' }));
    }
  });
});
