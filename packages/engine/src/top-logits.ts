/** The largest logits of a position, largest first; of equal ones the lowest id first. */
export interface TopLogits {
  /** Vocabulary ids, as many as the session was asked for. */
  readonly ids: Uint32Array;
  /** Of these ids, with the exact head's bits. */
  readonly logits: Float32Array;
  /** How many there are in all. */
  readonly vocabSize: number;
}

/** What an evaluation gives for a position: f32 [vocabSize], or in a screened session the largest of these. */
export type Logits = Float32Array | TopLogits;

/** Among how many logits samplers choose by default. */
export const DEFAULT_TOP_K = 40;

/** How many a screened session gives by default: those that samplers choose among, if there are as many. */
export function defaultTopK({ vocabSize }: { readonly vocabSize: number }): number {
  return Math.min(DEFAULT_TOP_K, vocabSize);
}

/** Indices of the `count` largest logits, largest first, of equal ones the lowest first. All are finite. */
export function indicesOfLargest(logits: Float32Array, count: number): number[] {
  if (count === logits.length) {
    return Array.from(logits.keys()).toSorted((a, b) => logits[b]! - logits[a]! || a - b);
  }
  const indices: number[] = []; // insertion: few, of many
  for (let index = 0; index < logits.length; index++) {
    const logit = logits[index]!;
    if (indices.length === count && logit <= logits[indices[count - 1]!]!) continue;
    let low = 0;
    let high = indices.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (logits[indices[middle]!]! >= logit) low = middle + 1;
      else high = middle;
    }
    indices.splice(low, 0, index);
    if (indices.length > count) indices.pop();
  }
  return indices;
}
