import { argmax, notFinite, type Sampler } from './decode.ts';
import { EngineError } from './errors.ts';
import { refuseUnknownOptions } from './options.ts';
import { indicesOfLargest, type Logits } from './top-logits.ts';

export interface SamplerOptions {
  /** Divides the logits; 0 is greedy. Default 0.8. */
  readonly temperature?: number;
  /** Only the k largest logits take part; 0 is all. Default 40. */
  readonly topK?: number;
  /** Whole number, 0 to 2^32 - 1. The same seed gives the same choices on every platform. */
  readonly seed: number;
}

/**
 * Samples an id: the `topK` largest logits (equal ones: lowest id first), divided by `temperature`, softmax in f64,
 * then one random number. Only IEEE additions, multiplications and divisions decide, so a seed reproduces anywhere.
 */
export function createSampler(options: SamplerOptions): Sampler<Logits> {
  const { temperature = 0.8, topK = 40, seed } = options;
  refuseUnknownOptions(options, ['temperature', 'topK', 'seed']);
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new RangeError(`temperature ${temperature} is not a number from 0 up`);
  if (!(Number.isInteger(topK) && topK >= 0)) throw new RangeError(`topK ${topK} is not a whole number from 0 up`);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new RangeError(`seed ${seed} is not a whole number from 0 to 4294967295`);
  if (temperature === 0) return argmax;

  const random = randomNumbers(seed);
  return (logits) => {
    const { ids, logits: chosen } = largest(logits, topK);
    const weights = chosen.map((logit) => exponential((logit - chosen[0]!) / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let left = random() * total;
    for (const [index, weight] of weights.entries()) {
      left -= weight;
      if (left < 0) return ids[index]!;
    }
    return ids[weights.length - 1]!; // rounding can leave a last bit over
  };
}

/**
 * Ids and logits of the `topK` largest (0 for all), largest first, equal ones by id.
 *
 * @throws {EngineError} ENGINE_NOT_FINITE; ENGINE_NEEDS_ALL_LOGITS where `row` is not as many
 */
function largest(row: Logits, topK: number): { readonly ids: ArrayLike<number>; readonly logits: readonly number[] } {
  const { vocabSize, ids, logits } = 'ids' in row ? row : { vocabSize: row.length, ids: undefined, logits: row };
  const bad = logits.findIndex((logit) => !Number.isFinite(logit));
  if (bad >= 0) throw notFinite(ids?.[bad] ?? bad, logits[bad]!);
  const count = topK === 0 ? vocabSize : Math.min(topK, vocabSize);
  if (count > logits.length) {
    throw new EngineError(
      'ENGINE_NEEDS_ALL_LOGITS',
      `This sampler chooses among ${topK === 0 ? 'all logits' : `the ${topK} largest logits`}, and the screened session gives ${logits.length}. Use a session with a larger topK or the exact head, or sample with a topK of at most ${logits.length}.`,
    );
  }
  const indices = ids ? Array.from({ length: count }, (_, index) => index) : indicesOfLargest(logits, count);
  return { ids: ids ?? indices, logits: indices.map((index) => logits[index]!) };
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
