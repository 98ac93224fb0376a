import { expect, test } from 'vitest';
import { medianInterval, ratioOfMedians } from './median-interval.ts';

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

// Of 20 samples, 4 or fewer are below the median with 0.0059, 5 or fewer with 0.0207: twice the one is within 0.025, twice
// the other is not. Of 10: 1 with 0.0107, 2 with 0.0547. Of 50: 16 with 0.0077, 17 with 0.0164.
test.each([
  [6, undefined],
  [7, { low: 1, high: 7 }],
  [8, { low: 1, high: 8 }],
  [10, { low: 2, high: 9 }],
  [20, { low: 5, high: 16 }],
  [50, { low: 17, high: 34 }],
])('%i samples', (count, interval) => {
  expect(medianInterval(upTo(count), 0.975)).toEqual(interval);
  expect(medianInterval(upTo(count).toReversed(), 0.975)).toEqual(interval);
});

test('thousands of samples, of which 2^-count is no longer a number', () => {
  const { low, high } = medianInterval(upTo(10_000), 0.95)!;
  // The normal approximation: 5000 and about 1.96 times half of the root of 10 000
  expect(Math.abs(low - (5000 - 98))).toBeLessThanOrEqual(2);
  expect(Math.abs(high - (5001 + 98))).toBeLessThanOrEqual(2);
});

test('the ratio is current by base, and equal samples have 1 within', () => {
  const samples = upTo(40);
  const same = ratioOfMedians(samples, samples)!;
  expect(same.ratio).toBe(1);
  expect(same.low < 1 && same.high > 1).toBe(true);
  const base = samples.map((n) => 100 + n / 100);
  const slower = ratioOfMedians(
    base,
    base.map((ms) => 1.1 * ms),
  )!;
  expect(slower.ratio).toBeCloseTo(1.1, 9);
  expect(slower.low).toBeGreaterThan(1.09);
  expect(ratioOfMedians(base, [1, 2])).toBeUndefined();
});
