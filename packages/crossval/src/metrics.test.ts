import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareBits, compareRows, topK } from './metrics.ts';

const rows = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -100, max: 100 }), { minLength: 1 });

describe('compareRows', () => {
  test('gives the numbers worked out by hand', () => {
    // Differences 0, 1, -2, 0.
    const metrics = compareRows(Float32Array.of(1, 2, 3, 4), Float32Array.of(1, 1, 5, 4));
    expect(metrics).toMatchObject({
      count: 4,
      maxAbs: 2,
      mse: 5 / 4,
      meanAbs: 3 / 4,
      differing: 2,
      firstDiffering: 1,
      top1: 0,
      top5: 1,
    });
    expect(metrics.l2).toBeCloseTo(Math.sqrt(5), 15);
    // (1 + 2 + 15 + 16) / (sqrt 30 * sqrt 43)
    expect(metrics.cosine).toBeCloseTo(34 / Math.sqrt(30 * 43), 15);
  });

  test('gives KL(reference || ours) in nats', () => {
    // Softmax of (ln 3, 0) is (3/4, 1/4), of (0, 0) is (1/2, 1/2).
    const reference = Float32Array.of(Math.fround(Math.log(3)), 0);
    const uniform = Float32Array.of(0, 0);
    expect(compareRows(reference, uniform).kl).toBeCloseTo(0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), 7);
    expect(compareRows(uniform, reference).kl).toBeCloseTo(0.5 * Math.log(2 / 3) + 0.5 * Math.log(2), 7);
  });

  test('does not clamp the KL of probabilities that underflow', () => {
    // The reference is sure of id 0, ours of id 1; each gives the other e^-1000, which is no f64 probability.
    expect(compareRows(Float32Array.of(1000, 0), Float32Array.of(0, 1000)).kl).toBe(1000);
  });

  test('shifting all logits changes the error, not the distribution', () => {
    const metrics = compareRows(Float32Array.of(0, 1, 2), Float32Array.of(8, 9, 10));
    expect(metrics.maxAbs).toBe(8);
    expect(Math.abs(metrics.kl)).toBeLessThan(1e-14);
  });

  test('has no cosine where a row is all zeros', () => {
    expect(compareRows(Float32Array.of(0, 0), Float32Array.of(1, 0)).cosine).toBeNull();
  });

  test('sees the sign of zero, which no difference shows', () => {
    expect(compareRows(Float32Array.of(0, 1), Float32Array.of(-0, 1))).toMatchObject({
      maxAbs: 0,
      differing: 1,
      firstDiffering: 0,
    });
  });

  test.each([
    ['NaN in ours', [1, 2], [1, Number.NaN], 'CROSSVAL_NON_FINITE'],
    ['NaN in the reference', [Number.NaN, 2], [1, 2], 'CROSSVAL_NON_FINITE'],
    ['NaN in both', [Number.NaN], [Number.NaN], 'CROSSVAL_NON_FINITE'],
    ['infinity', [1, 2], [1, Infinity], 'CROSSVAL_NON_FINITE'],
    ['nothing', [], [], 'CROSSVAL_EMPTY'],
    ['a shorter row', [1, 2], [1], 'CROSSVAL_LENGTH_MISMATCH'],
    ['an empty row', [1], [], 'CROSSVAL_LENGTH_MISMATCH'],
  ])('refuses %s', (_, reference, ours, code) => {
    expect(() => compareRows(Float32Array.from(reference), Float32Array.from(ours))).toThrow(
      expect.objectContaining({ code }),
    );
  });

  test('a row equals itself', () => {
    fc.assert(
      fc.property(rows, (values) => {
        const row = Float32Array.from(values);
        expect(compareRows(row, row.slice())).toMatchObject({
          cosine: row.every((value) => value === 0) ? null : 1,
          maxAbs: 0,
          mse: 0,
          l2: 0,
          kl: 0,
          top1: 1,
          top5: 1,
          top10: 1,
          differing: 0,
          firstDiffering: null,
        });
      }),
    );
  });
});

describe('topK', () => {
  test('breaks ties by the lowest id', () => {
    expect(topK(Float32Array.of(1, 3, 2, 3, 3), 2)).toEqual([1, 3]);
    expect(topK(Float32Array.of(5, 5, 5), 2)).toEqual([0, 1]);
  });

  test('equals sorting', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 12 }), (values, k) => {
        const row = Float32Array.from(values);
        const sorted = [...row.keys()].toSorted((a, b) => row[b]! - row[a]! || a - b);
        expect(topK(row, k)).toEqual(sorted.slice(0, k));
      }),
    );
  });
});

test('compareBits counts and finds the first difference', () => {
  expect(compareBits(Float32Array.of(1, 2, 3), Float32Array.of(1, 4, 5))).toEqual({ differing: 2, firstDiffering: 1 });
});
