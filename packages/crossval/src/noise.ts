import { expectedPositions, type LadderCase } from './case.ts';
import { CrossvalError } from './errors.ts';
import { compareRowStreams } from './ladder/compare-row-streams.ts';
import type { NoiseReport, WorstMetrics } from './ladder/report.ts';
import type { EvaluationMode, LogitsRow, Side } from './side.ts';
import { type GatedMetric, type LadderThresholds, largerIsBetter, type RowLimits } from './thresholds.ts';

/** The reference, evaluated in one way. */
export interface NoiseVariant {
  /** For people, such as `batch-all, 2 threads`. */
  readonly name: string;
  readonly side: Side;
  readonly mode: EvaluationMode;
}

const METRICS: readonly (keyof WorstMetrics)[] = [
  'maxAbs',
  'mse',
  'l2',
  'meanAbs',
  'kl',
  'cosine',
  'top1',
  'top5',
  'top10',
];

/**
 * How far the reference is from itself: each variant against the first, on the rows that both give with values.
 *
 * @throws CrossvalError CROSSVAL_EMPTY where no two rows could be compared
 */
export async function measureNoise(
  variants: readonly NoiseVariant[],
  cases: readonly Pick<LadderCase, 'ids'>[],
  signal?: AbortSignal,
): Promise<NoiseReport[]> {
  const [base, ...others] = variants;
  if (base === undefined || others.length === 0) {
    throw new CrossvalError(
      'CROSSVAL_EMPTY',
      'There are no two ways to evaluate the reference, so no noise to measure.',
    );
  }
  const reports: NoiseReport[] = [];
  for (const other of others) {
    const worst = { firstLogit: {} as Worst, positions: {} as Worst };
    let rows = 0;
    for (const { ids } of cases) {
      const positions = new Set(expectedPositions(base.mode, ids.length));
      const shared = expectedPositions(other.mode, ids.length).filter((position) => positions.has(position));
      const evaluate = (variant: NoiseVariant) => (onLogits: (row: LogitsRow) => void) =>
        variant.side.evaluate(ids, {
          mode: variant.mode,
          ...(signal === undefined ? {} : { signal }),
          onLogits: (row) => {
            if (shared.includes(row.position)) onLogits(row);
          },
        });
      const outcomes = await compareRowStreams(shared, () => true, evaluate(base), evaluate(other), { signal });
      for (const outcome of outcomes) {
        if (outcome.kind === 'problem' && outcome.problem.code !== 'DIGEST_DIFFERS') {
          throw new CrossvalError('CROSSVAL_NOT_COMPARABLE', `Noise of the reference: ${outcome.problem.message}`);
        }
        if (outcome.kind !== 'value') continue;
        rows++;
        const of = outcome.position === 0 ? worst.firstLogit : worst.positions;
        for (const metric of METRICS) widen(of, metric, outcome.metrics[metric]);
      }
    }
    reports.push({ what: `${base.name} against ${other.name}`, rows, ...worst });
  }
  if (!reports.some(({ rows }) => rows > 0)) {
    throw new CrossvalError('CROSSVAL_EMPTY', 'No two rows of the reference could be compared by value.');
  }
  return reports;
}

type Worst = Partial<Record<keyof WorstMetrics, number>>;

function widen(worst: Worst, metric: keyof WorstMetrics, value: number | null): void {
  if (value === null) return;
  const before = worst[metric];
  const wider = before === undefined || (largerIsBetter(metric) ? value < before : value > before);
  if (wider) worst[metric] = value;
}

/** Limits that pass what passes `base` and what the reference's own noise comes to. */
export function calibrated(base: LadderThresholds, noise: readonly NoiseReport[]): LadderThresholds {
  const loosened = (limits: RowLimits, which: 'firstLogit' | 'positions'): RowLimits =>
    Object.fromEntries(
      Object.entries(limits).map(([metric, limit]) => {
        const values = noise.flatMap((report) => report[which][metric as keyof WorstMetrics] ?? []);
        const better = largerIsBetter(metric as GatedMetric);
        return [metric, better ? Math.min(limit, ...values) : Math.max(limit, ...values)];
      }),
    );
  return {
    source: `${base.source}, loosened to the noise of the reference`,
    firstLogit: loosened(base.firstLogit, 'firstLogit'),
    positions: loosened(base.positions, 'positions'),
  };
}
