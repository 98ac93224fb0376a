import { describe, expect, test } from 'vitest';
import { Limits } from '../src/limits.ts';

describe.each([1, 2, 3])('%i thread(s) over a tiny buffer', (threads) => {
  test('give finite times above 0, sample after sample', async () => {
    const limits = await Limits.start({ threads, bufferBytes: 100_000, operations: 1e5, cachedBytes: 1e5 });
    try {
      expect(limits.dotOperations).toBe(threads * 1e5);
      expect(limits.cachedBytes).toBe(threads * 7 * 16_384);
      for (let repeat = 0; repeat < 20; repeat++) {
        const { readMs, readPagesMs, cachedMs, dotMs } = limits.sample();
        const times = [readMs, readPagesMs, cachedMs, ...Object.values(dotMs)];
        expect(times).toHaveLength(6);
        for (const time of times) expect(time > 0 && time < Infinity).toBe(true);
      }
    } finally {
      limits.dispose();
    }
  });
});

test('threads that do not answer are given up, after a second wait', async () => {
  using limits = await Limits.start({ threads: 1, bufferBytes: 1024, operations: 4e11, patienceMs: 1 });
  expect(() => limits.sample()).toThrow(expect.objectContaining({ name: 'MeasureError', code: 'MEASURE_NO_ANSWER' }));
});

test('disposing twice is fine', async () => {
  const limits = await Limits.start({ threads: 1, bufferBytes: 1024 });
  limits.dispose();
  expect(() => limits.dispose()).not.toThrow();
});
