import { expect, test } from 'vitest';
import { median, quantile, summarize } from './statistics.ts';

test.each([
  [[7], 7],
  [[3, 1], 2],
  [[9, 1, 5], 5],
  [[4, 1, 3, 2], 2.5],
])('the median of %j is %d', (samples, expected) => {
  expect(median(samples)).toBe(expected);
});

test.each([
  [0, 10],
  [0.1, 14],
  [0.25, 20],
  [0.5, 30],
  [0.9, 46],
  [1, 50],
])('the quantile %d of 10, 20, 30, 40, 50 is %d', (fraction, expected) => {
  expect(quantile([50, 10, 40, 20, 30], fraction)).toBeCloseTo(expected, 12);
});

test('a summary keeps the samples in their order', () => {
  const samples = [5, 1, 3];
  expect(summarize(samples)).toEqual({ samples: [5, 1, 3], median: 3, p10: 1.4, p90: 4.6 });
  expect(samples).toEqual([5, 1, 3]);
});

test.each([
  ['no samples', [], 0.5, 'no samples'],
  ['a NaN', [1, Number.NaN], 0.5, 'NaN'],
  ['an infinity', [Infinity, 1], 0.5, 'Infinity'],
  ['a fraction above 1', [1], 1.1, '1.1'],
  ['a fraction that is NaN', [1], Number.NaN, 'NaN'],
])('%s is an error', (_, samples, fraction, message) => {
  expect(() => quantile(samples, fraction)).toThrow(RangeError);
  expect(() => quantile(samples, fraction)).toThrow(message);
});
