import { argmax, REPETITION_WINDOW, type Sampler } from './decode.ts';
import { needsAllLogits } from './errors.ts';
import { largest } from './largest.ts';
import { refuseUnknownOptions } from './options.ts';
import { DEFAULT_TOP_K, type Logits } from './top-logits.ts';

export interface SamplerOptions {
  /** Divides the logits; 0 is greedy. Default 0.8. */
  readonly temperature?: number;
  /** Only the k largest logits take part; 0 is all. Default 40. */
  readonly topK?: number;
  /** Only the most likely ids that together have this probability, in (0, 1]. Default 1: all. */
  readonly topP?: number;
  /** Only ids at least this fraction as likely as the most likely one, in [0, 1]. Default 0: all. */
  readonly minP?: number;
  /**
   * Divides positive logits, and multiplies negative ones, of ids among the last 64 of prompt and answer; more than 0.
   * Default 1: off.
   */
  readonly repetitionPenalty?: number;
  /** Whole number, 0 to 2^32 - 1. The same seed gives the same choices on every platform. */
  readonly seed: number;
}

/**
 * Samples an id, in llama.cpp's order: the repetition penalty, `topK` (equal logits: lowest id first), `topP`, `minP`,
 * `temperature`, then one random number chooses by softmax. `topP` and `minP` look at the probabilities before the
 * temperature; those of `topP` are relative to what `topK` left. All in f64, but the penalized logits, which are f32.
 * Only IEEE additions, multiplications and divisions decide, so a seed reproduces anywhere.
 *
 * Of a screened session it takes rows that have as many logits as `topK`, and no repetition penalty: it throws
 * ENGINE_NEEDS_ALL_LOGITS for others.
 */
export function createSampler(options: SamplerOptions): Sampler<Logits> {
  const { temperature = 0.8, topK = DEFAULT_TOP_K, topP = 1, minP = 0, repetitionPenalty = 1, seed } = options;
  refuseUnknownOptions(options, ['temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'seed']);
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new RangeError(`temperature ${temperature} is not a number from 0 up`);
  if (!(Number.isInteger(topK) && topK >= 0)) throw new RangeError(`topK ${topK} is not a whole number from 0 up`);
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`topP ${topP} is not a number above 0, up to 1`);
  if (!(minP >= 0 && minP <= 1)) throw new RangeError(`minP ${minP} is not a number from 0 to 1`);
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty)))
    throw new RangeError(`repetitionPenalty ${repetitionPenalty} is not a number above 0`);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new RangeError(`seed ${seed} is not a whole number from 0 to 4294967295`);

  const random = randomNumbers(seed);
  let penalized: Float32Array | undefined;
  return (row, previous = []) => {
    if (repetitionPenalty !== 1) penalized = penalize(row, previous, repetitionPenalty, penalized);
    if (temperature === 0) return argmax(penalized ?? row);
    const { ids, logits } = largest(penalized ?? row, topK);
    const top = logits[0]!;
    let places = Array.from(logits.keys()); // of those that take part
    if (topP < 1 || minP > 0) {
      const likelihoods = logits.map((logit) => exponential(logit - top)); // relative to the most likely one's
      const count = countToReach(topP, likelihoods);
      places = places.filter((place) => place < count && likelihoods[place]! >= minP);
    }
    const weights = places.map((place) => exponential((logits[place]! - top) / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let left = random() * total;
    for (const [index, weight] of weights.entries()) {
      left -= weight;
      if (left < 0) return ids[places[index]!]!;
    }
    return ids[places.at(-1)!]!; // rounding can leave a last bit over
  };
}

/** Why a repetition penalty is not for a screened session. */
export const PENALTY_NEEDS_ALL = 'A repetition penalty lets logits that are not among the largest become so';

/** Logits of ids that occur in `previous` made less likely; the others as they are. */
function penalize(
  logits: Logits,
  previous: readonly number[],
  penalty: number,
  into: Float32Array | undefined,
): Float32Array {
  if ('ids' in logits) throw needsAllLogits(PENALTY_NEEDS_ALL, logits.logits.length);
  const penalized = into?.length === logits.length ? into : new Float32Array(logits.length);
  penalized.set(logits);
  for (const id of new Set(previous.slice(-REPETITION_WINDOW))) {
    const logit = logits[id]!;
    penalized[id] = logit > 0 ? logit / penalty : logit * penalty;
  }
  return penalized;
}

/** How many of the ids, most likely first, have `topP` of the probability together; at least one. */
function countToReach(topP: number, weights: readonly number[]): number {
  if (topP >= 1) return weights.length;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  for (const [index, weight] of weights.entries()) {
    sum += weight;
    if (sum >= topP * total) return index + 1;
  }
  return weights.length;
}

const POWER_VIEW = new DataView(new ArrayBuffer(8));

/**
 * e^x for x <= 0, within 2e-15 relative down to 1e-300. Math.exp may differ between JavaScript engines in the last
 * bit, and a seed would then give another text; this is a fixed sequence of IEEE operations.
 */
export function exponential(x: number): number {
  if (x < -690) return 0;
  const n = Math.round(x * Math.LOG2E);
  // ln 2 in two parts (fdlibm's e_exp.c): n times the first is exact
  const r = x - n * 0.6931471803691238 - n * 1.9082149292705877e-10;
  let sum = 1;
  for (let k = 14; k >= 1; k--) sum = 1 + (sum * r) / k; // Taylor series, |r| <= 0.347
  POWER_VIEW.setUint32(0, (1023 + n) << 20); // sign, exponent and upper mantissa of 2^n
  return sum * POWER_VIEW.getFloat64(0);
}

/** xoshiro128** (Blackman and Vigna), its state filled by splitmix32; f64 in [0, 1) with 53 bits from two draws. */
export function randomNumbers(seed: number): () => number {
  let mix = seed;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let d = splitmix();
  const rotateLeft = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));
  const next = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return result >>> 0;
  };
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) * 2 ** -53;
}
