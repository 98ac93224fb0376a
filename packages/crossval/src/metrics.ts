import { CrossvalError } from './errors.ts';

/** How far a row of logits is from the reference's. All in f64, all finite. */
export interface RowMetrics {
  readonly count: number;
  readonly maxAbs: number;
  readonly mse: number;
  /** Euclidean norm of the difference. */
  readonly l2: number;
  readonly meanAbs: number;
  /** -1..1; null where a row is all zeros. */
  readonly cosine: number | null;
  /** KL(reference || ours) of the two softmax distributions, in nats. */
  readonly kl: number;
  /** Shared fraction of the k largest logits of each row, 0..1. k is at most `count`. */
  readonly top1: number;
  readonly top5: number;
  readonly top10: number;
  /** How many values differ in at least one bit; -0 and +0 differ. */
  readonly differing: number;
  /** Index of the first of these, null where there is none. */
  readonly firstDiffering: number | null;
}

/** One of a row's largest logits. */
export interface TopEntry {
  readonly id: number;
  readonly logit: number;
  /** After softmax. */
  readonly probability: number;
}

/** A comparison of two rows, with the largest logits of each: largest first, lowest id first among equals. */
export interface RowComparison {
  readonly metrics: RowMetrics;
  readonly top: { readonly reference: readonly TopEntry[]; readonly ours: readonly TopEntry[] };
}

/** Index of the first NaN or infinity. */
export function firstNonFinite(values: Float32Array): number | undefined {
  for (let index = 0; index < values.length; index++) if (!Number.isFinite(values[index])) return index;
  return undefined;
}

/** Ids of the k largest values, largest first, lowest id first among equals. At most `values.length` of them. */
export function topK(values: Float32Array, k: number): number[] {
  const best: number[] = [];
  let least = -Infinity;
  for (let id = 0; id < values.length; id++) {
    const value = values[id]!;
    // Strictly larger only: an equal value with a lower id keeps its place.
    if (best.length === k && !(value > least)) continue;
    let rank = best.length;
    while (rank > 0 && value > values[best[rank - 1]!]!) rank--;
    best.splice(rank, 0, id);
    if (best.length > k) best.pop();
    least = values[best.at(-1)!] ?? -Infinity;
  }
  return best;
}

/** Number of f32 values with different bits, and the index of the first. The lengths must be equal. */
export function compareBits(
  reference: Float32Array,
  ours: Float32Array,
): { differing: number; firstDiffering: number | null } {
  checkLengths(reference, ours);
  const a = new Uint32Array(reference.buffer, reference.byteOffset, reference.length);
  const b = new Uint32Array(ours.buffer, ours.byteOffset, ours.length);
  let differing = 0;
  let firstDiffering: number | null = null;
  for (let index = 0; index < a.length; index++) {
    if (a[index] === b[index]) continue;
    differing++;
    firstDiffering ??= index;
  }
  return { differing, firstDiffering };
}

/**
 * Compares two rows of logits.
 *
 * @throws CrossvalError CROSSVAL_EMPTY, CROSSVAL_LENGTH_MISMATCH, CROSSVAL_NON_FINITE: none of these is a number
 */
export function compareRows(reference: Float32Array, ours: Float32Array): RowMetrics {
  return compareRowsWithTop(reference, ours).metrics;
}

/** {@link compareRows}, with the five largest logits of each row. */
export function compareRowsWithTop(reference: Float32Array, ours: Float32Array): RowComparison {
  const { differing, firstDiffering } = compareBits(reference, ours);
  checkFinite(reference, 'reference');
  checkFinite(ours, 'our');
  const count = reference.length;
  let maxAbs = 0;
  let sumAbs = 0;
  let sumSquares = 0;
  let dot = 0;
  let referenceSquares = 0;
  let ourSquares = 0;
  for (let index = 0; index < count; index++) {
    const a = reference[index]!;
    const b = ours[index]!;
    const difference = Math.abs(a - b);
    if (difference > maxAbs) maxAbs = difference;
    sumAbs += difference;
    sumSquares += difference * difference;
    dot += a * b;
    referenceSquares += a * a;
    ourSquares += b * b;
  }
  // One root of the product: equal rows then give exactly 1. The product of two sums of f32 squares cannot overflow f64.
  const norms = Math.sqrt(referenceSquares * ourSquares);
  const referenceTop = topK(reference, 10);
  const ourTop = topK(ours, 10);
  const ourNorm = logSumExp(ours, ours[ourTop[0]!]!);
  const { kl, referenceNorm } = divergence(reference, ours, reference[referenceTop[0]!]!, ourNorm);
  const metrics: RowMetrics = {
    count,
    maxAbs,
    mse: sumSquares / count,
    l2: Math.sqrt(sumSquares),
    meanAbs: sumAbs / count,
    cosine: norms === 0 ? null : dot / norms,
    kl,
    top1: overlap(referenceTop, ourTop, 1),
    top5: overlap(referenceTop, ourTop, 5),
    top10: overlap(referenceTop, ourTop, 10),
    differing,
    firstDiffering,
  };
  const entries = (values: Float32Array, ids: readonly number[], norm: number): TopEntry[] =>
    ids.slice(0, 5).map((id) => ({ id, logit: values[id]!, probability: Math.exp(values[id]! - norm) }));
  return {
    metrics,
    top: { reference: entries(reference, referenceTop, referenceNorm), ours: entries(ours, ourTop, ourNorm) },
  };
}

function checkLengths(reference: Float32Array, ours: Float32Array): void {
  if (reference.length !== ours.length) {
    throw new CrossvalError(
      'CROSSVAL_LENGTH_MISMATCH',
      `The reference has ${reference.length} values, ours has ${ours.length}.`,
    );
  }
  if (reference.length === 0) throw new CrossvalError('CROSSVAL_EMPTY', 'There are no values to compare.');
}

function checkFinite(values: Float32Array, whose: string): void {
  const index = firstNonFinite(values);
  if (index === undefined) return;
  throw new CrossvalError('CROSSVAL_NON_FINITE', `The ${whose} row has ${values[index]} at index ${index}.`);
}

/** log of the sum of exponentials; the largest logit is taken out, so that nothing overflows. */
function logSumExp(logits: Float32Array, max: number): number {
  let sum = 0;
  for (let index = 0; index < logits.length; index++) sum += Math.exp(logits[index]! - max);
  return max + Math.log(sum);
}

/**
 * KL(reference || ours) and the logarithm of the reference's sum of exponentials, with one exponential a logit:
 * the sum of p · (log p - log q) is that of p · (a - b), less the difference of the two norms.
 */
function divergence(
  reference: Float32Array,
  ours: Float32Array,
  max: number,
  ourNorm: number,
): { kl: number; referenceNorm: number } {
  let sum = 0;
  let weighted = 0;
  for (let index = 0; index < reference.length; index++) {
    const exponential = Math.exp(reference[index]! - max);
    sum += exponential;
    weighted += exponential * (reference[index]! - ours[index]!);
  }
  const referenceNorm = max + Math.log(sum);
  return { kl: weighted / sum - (referenceNorm - ourNorm), referenceNorm };
}

function overlap(a: readonly number[], b: readonly number[], k: number): number {
  const ours = new Set(b.slice(0, k));
  const shared = a.slice(0, k).filter((id) => ours.has(id)).length;
  return shared / Math.min(k, a.length);
}
