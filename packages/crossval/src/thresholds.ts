import { checkedJson } from './checked-json.ts';
import { CrossvalError } from './errors.ts';
import type { RowMetrics } from './metrics.ts';

/** What a row may differ by. A limit that is absent is not checked; at least one must be there. */
export interface RowLimits {
  readonly maxAbs?: number;
  readonly mse?: number;
  readonly l2?: number;
  readonly meanAbs?: number;
  /** Nats. */
  readonly kl?: number;
  /** At least this, -1..1. */
  readonly cosine?: number;
  /** At least this fraction, 0..1. */
  readonly top1?: number;
  readonly top5?: number;
  readonly top10?: number;
  /** Values with different bits. */
  readonly differing?: number;
}

export type GatedMetric = keyof RowLimits;

/** Every metric that can gate. */
export const GATED_METRICS: readonly GatedMetric[] = [
  'differing',
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

/** Of these more is better; of the others less. */
const AT_LEAST: ReadonlySet<string> = new Set<GatedMetric>(['cosine', 'top1', 'top5', 'top10']);

export interface LadderThresholds {
  /** Where the limits are from, for people. */
  readonly source: string;
  readonly firstLogit: RowLimits;
  readonly positions: RowLimits;
}

/** The parity playbook's table. Greedy ids have no tolerance: they must be identical. */
export const PLAYBOOK_THRESHOLDS: LadderThresholds = {
  source: 'parity playbook',
  firstLogit: { mse: 1e-6, maxAbs: 5e-4 },
  positions: { mse: 2e-6, kl: 5e-4, top5: 0.95, maxAbs: 1e-3 },
};

/** Every bit of every value. */
export const EXACT_THRESHOLDS: LadderThresholds = {
  source: 'exact',
  firstLogit: { differing: 0 },
  positions: { differing: 0 },
};

export interface Excess {
  readonly metric: GatedMetric;
  /** Null where a row is all zeros and has no cosine. */
  readonly value: number | null;
  readonly limit: number;
}

/** The limits that a row does not keep. Written so that a NaN or null, as value or as limit, is never kept. */
export function excesses(metrics: RowMetrics, limits: RowLimits): Excess[] {
  const found: Excess[] = [];
  for (const metric of GATED_METRICS) {
    const limit = limits[metric];
    if (limit === undefined) continue;
    const value = metrics[metric];
    const kept = value !== null && (AT_LEAST.has(metric) ? value >= limit : value <= limit);
    if (!kept) found.push({ metric, value, limit });
  }
  return found;
}

/** Whether a larger value of a metric is the better one. */
export function largerIsBetter(metric: GatedMetric): boolean {
  return AT_LEAST.has(metric);
}

/** Keeps the limits of these metrics only. */
export function onlyMetrics(thresholds: LadderThresholds, metrics: readonly GatedMetric[]): LadderThresholds {
  const keep = (limits: RowLimits): RowLimits =>
    Object.fromEntries(Object.entries(limits).filter(([metric]) => metrics.includes(metric as GatedMetric)));
  return { ...thresholds, firstLogit: keep(thresholds.firstLogit), positions: keep(thresholds.positions) };
}

/**
 * Limits from JSON: `{"version": 1, "firstLogit": {"maxAbs": 1e-4}, "positions": {"kl": 1e-3, "top5": 1}}`. Metrics are
 * those of {@link RowLimits}.
 *
 * @param source - named in reports
 * @throws CrossvalError CROSSVAL_BAD_THRESHOLDS
 */
export function parseThresholds(json: string, source: string): LadderThresholds {
  const bad = (path: string, what: string): CrossvalError =>
    new CrossvalError('CROSSVAL_BAD_THRESHOLDS', `${source}: ${path} ${what}.`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new CrossvalError('CROSSVAL_BAD_THRESHOLDS', `${source} is not JSON.`, { cause });
  }
  const { fields } = checkedJson(bad);
  const of = fields(parsed, 'the document', ['version', 'firstLogit', 'positions']);
  if (of.version !== 1) throw bad('version', 'is not 1');
  const limits = (value: unknown, path: string): RowLimits => {
    const entries = Object.entries(fields(value, path, Object.keys(Object(value))));
    if (entries.length === 0) throw bad(path, 'has no limit, so that nothing could fail');
    for (const [metric, limit] of entries) {
      if (!(GATED_METRICS as readonly string[]).includes(metric)) {
        throw bad(`${path}.${metric}`, `is no metric; known: ${GATED_METRICS.join(', ')}`);
      }
      if (typeof limit !== 'number' || !Number.isFinite(limit)) throw bad(`${path}.${metric}`, 'is not a number');
    }
    return Object.fromEntries(entries) as RowLimits;
  };
  return { source, firstLogit: limits(of.firstLogit, 'firstLogit'), positions: limits(of.positions, 'positions') };
}
