/** Samples in the order in which they were taken, and what they say together. */
export interface Summary {
  readonly samples: readonly number[];
  readonly median: number;
  /** A tenth of the samples is below, a tenth above: what noise does to one of them. */
  readonly p10: number;
  readonly p90: number;
}

/** @throws {RangeError} for no samples, or one that is not a finite number: a measurement that did not take place */
export function summarize(samples: readonly number[]): Summary {
  return { samples, median: median(samples), p10: quantile(samples, 0.1), p90: quantile(samples, 0.9) };
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/**
 * Linear between neighbours, as R's type 7 and NumPy's default.
 *
 * @param fraction - 0 is the smallest sample, 1 the largest
 */
export function quantile(samples: readonly number[], fraction: number): number {
  if (!(fraction >= 0 && fraction <= 1)) throw new RangeError(`The fraction ${fraction} is not from 0 to 1.`);
  if (samples.length === 0) throw new RangeError('There are no samples.');
  const wrong = samples.find((sample) => !Number.isFinite(sample));
  if (wrong !== undefined) throw new RangeError(`A sample is ${wrong}.`);
  const sorted = samples.toSorted((a, b) => a - b);
  const place = fraction * (sorted.length - 1);
  const below = sorted[Math.floor(place)]!;
  const above = sorted[Math.ceil(place)]!;
  return below + (above - below) * (place - Math.floor(place));
}
