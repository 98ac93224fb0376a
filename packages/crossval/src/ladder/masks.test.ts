import { describe, expect, test } from 'vitest';
import { type Attention, checkMask, type MaskCheck } from './masks.ts';

const POSITION = 3;
const CELLS = 32;
/** 1 over the root of a head of 64. */
const SCALE = 1 / 8;

/** One head at one position: softmax in f32 over the cells that the row sees, 0 for the others. */
function attention(row: readonly number[], { sees = [0, 1, 2, 3], scale = SCALE } = {}): Attention {
  const [weights, scores] = [new Float32Array(CELLS), new Float32Array(CELLS)];
  scores.set(row);
  const largest = Math.max(...sees.map((cell) => scores[cell]!));
  for (const cell of sees) weights[cell] = Math.exp(scale * (scores[cell]! - largest));
  const sum = weights.reduce((total, power) => total + power, 0);
  return { weights: weights.map((power) => power / sum), scores };
}

function check(ours: Attention, theirs?: Attention): MaskCheck {
  return checkMask({ name: 'kq_soft_max_ext-0', step: 3, shape: [1, 1, CELLS] }, POSITION, ours, theirs);
}

/** The code and cell of what is found with these as ours and the reference, and the other way round. */
function bothWays(a: Attention, b: Attention): unknown[] {
  return [check(a, b), check(b, a)].map(({ problem }) => problem && [problem.code, problem.details]);
}

const cellOf = (code: string, cell: number): unknown => [code, expect.objectContaining({ cell })];

test('a weight that underflows on one side is not masked', () => {
  const seen = attention([1000, 170, 990, 980]);
  const underflowed = attention([1000, 168, 990, 980]);
  // The smallest f32 against nothing, and a fair weight against nothing because the scores are others.
  expect([seen.weights[1], underflowed.weights[1]]).toEqual([2 ** -149, 0]);
  expect(bothWays(seen, underflowed)).toEqual([undefined, undefined]);
  expect(bothWays(attention([1000, 990, 990, 980]), underflowed)).toEqual([undefined, undefined]);
  // Scores that are scaled by too much.
  const unscaled = attention([1000, 890, 990, 980], { scale: 1 });
  expect(unscaled.weights[1]).toBe(0);
  expect(bothWays(attention([1000, 890, 990, 980]), unscaled)).toEqual([undefined, undefined]);
});

describe('a cell that one side masks is found', () => {
  test('by a score near the largest, though no seen cell has a smaller one', () => {
    const row = [40, -20, 30, 20];
    const causal = attention(row);
    for (const cell of [0, 1, 2, 3]) {
      const masked = attention(row, { sees: [0, 1, 2, 3].filter((of) => of !== cell) });
      expect(bothWays(causal, masked)).toEqual([cellOf('MASK_DIFFERS', cell), cellOf('MASK_DIFFERS', cell)]);
    }
  });

  test('by a score above that of a seen cell, though far from the largest', () => {
    const row = [900, 500, 880, 700];
    expect(bothWays(attention(row), attention(row, { sees: [0, 1, 2] }))).toEqual([
      cellOf('MASK_DIFFERS', 3),
      cellOf('MASK_DIFFERS', 3),
    ]);
    // The smallest one, which at a steeper scale would have underflowed.
    expect(bothWays(attention(row), attention(row, { sees: [0, 2, 3] }))).toEqual([undefined, undefined]);
  });

  test('where it gives no cell any weight', () => {
    const nothing = { ...attention([4, 3, 2, 1]), weights: new Float32Array(CELLS) };
    expect(bothWays(attention([4, 3, 2, 1]), nothing)).toEqual([cellOf('MASK_DIFFERS', 0), cellOf('MASK_DIFFERS', 0)]);
  });

  test('not where its own scores are not known', () => {
    const row = [4, 3, 2, 1];
    const masked = { ...attention(row, { sees: [0, 1, 2] }), scores: undefined };
    expect(check(masked, attention(row))).toEqual({ rows: 1, rowsAgainstReference: 0, problem: undefined });
    expect(check(attention(row), masked)).toEqual({ rows: 1, rowsAgainstReference: 1, problem: undefined });
  });
});

test('a later cell needs no score', () => {
  const causal = { ...attention([4, 3, 2, 1, 5]), scores: undefined };
  const leaking = { ...attention([4, 3, 2, 1, 5], { sees: [0, 1, 2, 3, 4] }), scores: undefined };
  expect(bothWays(leaking, causal)).toEqual([cellOf('MASK_LEAK', 4), cellOf('MASK_DIFFERS', 4)]);
  expect(check(leaking).problem?.code).toBe('MASK_LEAK');
  // What it hides by its size has underflowed.
  const drowned = attention([4, 3, 2, 1, 5000], { sees: [0, 1, 2, 3, 4] });
  expect(bothWays(causal, drowned)[0]).toEqual(cellOf('MASK_DIFFERS', 4));
});
