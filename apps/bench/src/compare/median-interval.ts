import { median } from '@bittern/measure';

/** Between `low` and `high` is the median of what the samples are of, with the probability asked for. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * An interval for a median that assumes nothing about the distribution: between two of the sorted samples, so many in from
 * either end that the median lies outside with a probability of at most `1 - confidence` (the binomial distribution).
 *
 * @returns undefined where the samples are too few to tell: fewer than 7 for 0.975
 */
export function medianInterval(samples: readonly number[], confidence: number): Interval | undefined {
  const sorted = samples.toSorted((a, b) => a - b);
  const count = sorted.length;
  // How likely it is that exactly `below` of the samples are below the median; its logarithm, as 2^-count underflows.
  let logProbability = -count * Math.LN2;
  let outside = 0;
  let inset = -1;
  for (let below = 0; below < count / 2; below++) {
    outside += 2 * Math.exp(logProbability);
    if (!(outside <= 1 - confidence)) break;
    inset = below;
    logProbability += Math.log(count - below) - Math.log(below + 1);
  }
  return inset < 0 ? undefined : { low: sorted[inset]!, high: sorted[count - 1 - inset]! };
}

/** Each of two medians is in its interval with 97.5 %, so their ratio in this one with at least 95 %. */
const CONFIDENCE_OF_EACH = 0.975;

export interface Ratio extends Interval {
  /** Of the medians: current by base. */
  readonly ratio: number;
}

/** How much longer the current samples are than those of the base, with 95 %; undefined where there are too few. */
export function ratioOfMedians(base: readonly number[], current: readonly number[]): Ratio | undefined {
  const from = medianInterval(base, CONFIDENCE_OF_EACH);
  const to = medianInterval(current, CONFIDENCE_OF_EACH);
  if (from === undefined || to === undefined) return undefined;
  return { ratio: median(current) / median(base), low: to.low / from.high, high: to.high / from.low };
}
