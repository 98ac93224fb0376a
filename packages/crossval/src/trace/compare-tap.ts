import { compareBits, firstNonFinite } from '../metrics.ts';

/** How far an operation's result is from the reference's. Numbers that would be NaN or infinite are null. */
export interface TapMetrics {
  readonly count: number;
  /** Values with different bits, and those that are NaN or infinite on either side. */
  readonly differing: number;
  /** Index of the first of these; null where there is none. */
  readonly firstDiffering: number | null;
  readonly maxAbs: number | null;
  /** Largest absolute value of the reference. */
  readonly referenceMax: number | null;
  /** Euclidean norm of the difference, over that of the reference; null where the reference is all zeros. */
  readonly relative: number | null;
  readonly cosine: number | null;
  /** Largest distance in f32 steps; null where a value is NaN. */
  readonly maxUlp: number | null;
}

/** The lengths must be equal. Two equal NaNs are no agreement. */
export function compareTap(reference: Float32Array, ours: Float32Array): TapMetrics {
  const { differing, firstDiffering } = compareBits(reference, ours);
  const bad = [firstNonFinite(reference), firstNonFinite(ours)].filter((index) => index !== undefined);
  const first = [...bad, ...(firstDiffering === null ? [] : [firstDiffering])];
  let maxAbs = 0;
  let referenceMax = 0;
  let squares = 0;
  let dot = 0;
  let referenceSquares = 0;
  let ourSquares = 0;
  for (let index = 0; index < reference.length; index++) {
    const a = reference[index]!;
    const b = ours[index]!;
    const difference = Math.abs(a - b);
    // Math.max, because a NaN must reach the result.
    maxAbs = Math.max(maxAbs, difference);
    referenceMax = Math.max(referenceMax, Math.abs(a));
    squares += difference * difference;
    dot += a * b;
    referenceSquares += a * a;
    ourSquares += b * b;
  }
  const norms = Math.sqrt(referenceSquares * ourSquares);
  return {
    count: reference.length,
    differing: Math.max(differing, bad.length > 0 ? 1 : 0),
    firstDiffering: first.length === 0 ? null : Math.min(...first),
    maxAbs: finite(maxAbs),
    referenceMax: finite(referenceMax),
    relative: finite(Math.sqrt(squares / referenceSquares)),
    cosine: finite(dot / norms),
    maxUlp: differing === 0 ? (bad.length > 0 ? null : 0) : largestUlp(reference, ours),
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function largestUlp(reference: Float32Array, ours: Float32Array): number | null {
  const a = new Int32Array(reference.buffer, reference.byteOffset, reference.length);
  const b = new Int32Array(ours.buffer, ours.byteOffset, ours.length);
  let largest = 0;
  for (let index = 0; index < a.length; index++) {
    if (Number.isNaN(reference[index]) || Number.isNaN(ours[index])) return null;
    const distance = Math.abs(ordered(a[index]!) - ordered(b[index]!));
    if (distance > largest) largest = distance;
  }
  return largest;
}

/** The bits of an f32 as a number that grows with the value, neighbours one apart; -0 is below +0. */
function ordered(bits: number): number {
  return bits >= 0 ? bits : -(bits & 0x7fffffff) - 1;
}
