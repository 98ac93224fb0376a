import type { ReceiptPredicate } from './statement.ts';

/** Some samples, as numbers that are computed from them. Milliseconds. */
export interface SampleFigures {
  readonly count: number;
  readonly median: number;
  readonly p95: number;
  /** The tenth and the ninetieth hundredth. */
  readonly p10: number;
  readonly p90: number;
}

/** How fast a run was, computed from its raw samples alone. */
export interface ReceiptFigures {
  readonly prefill: SampleFigures;
  readonly firstToken: SampleFigures;
  readonly decode: SampleFigures;
  /** Of the median. */
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** Undefined where there are no samples: nothing was decoded. */
export function figuresOf({ runs, prompt }: Pick<ReceiptPredicate, 'runs' | 'prompt'>): ReceiptFigures | undefined {
  const steps = runs.flatMap(({ decodeMs }) => decodeMs);
  if (steps.length === 0) return undefined;
  const prefill = sampleFigures(runs.map(({ prefillMs }) => prefillMs));
  const decode = sampleFigures(steps);
  return {
    prefill,
    firstToken: sampleFigures(runs.map(({ firstTokenMs }) => firstTokenMs)),
    decode,
    prefillTokensPerSecond: (1000 * prompt.ids.length) / prefill.median,
    decodeTokensPerSecond: 1000 / decode.median,
  };
}

function sampleFigures(samples: readonly number[]): SampleFigures {
  const sorted = samples.toSorted((a, b) => a - b);
  // Between neighbours it is linear, as R's type 7.
  const quantile = (fraction: number): number => {
    const place = fraction * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
    return below + (above - below) * (place - Math.floor(place));
  };
  return {
    count: sorted.length,
    median: quantile(0.5),
    p95: quantile(0.95),
    p10: quantile(0.1),
    p90: quantile(0.9),
  };
}
