import type { RowMetrics } from './metrics.ts';

/** What a row may differ by. A limit that is absent is not checked; at least one must be there. */
export interface RowLimits {
  readonly maxAbs?: number;
  readonly mse?: number;
  /** Nats. */
  readonly kl?: number;
  /** At least this fraction, 0..1. */
  readonly top5?: number;
  /** Values with different bits. */
  readonly differing?: number;
}

export interface LadderThresholds {
  readonly firstLogit: RowLimits;
  readonly positions: RowLimits;
}

/** The parity playbook's table. Greedy ids have no tolerance: they must be identical. */
export const PLAYBOOK_THRESHOLDS: LadderThresholds = {
  firstLogit: { mse: 1e-6, maxAbs: 5e-4 },
  positions: { mse: 2e-6, kl: 5e-4, top5: 0.95, maxAbs: 1e-3 },
};

/** Every bit of every value. */
export const EXACT_THRESHOLDS: LadderThresholds = {
  firstLogit: { differing: 0 },
  positions: { differing: 0 },
};

export interface Excess {
  readonly metric: keyof RowLimits;
  readonly value: number;
  readonly limit: number;
}

/** The limits that a row does not keep. Written so that a NaN, as value or as limit, is never kept. */
export function excesses(metrics: RowMetrics, limits: RowLimits): Excess[] {
  const found: Excess[] = [];
  for (const metric of ['differing', 'maxAbs', 'mse', 'kl'] as const) {
    const limit = limits[metric];
    if (limit !== undefined && !(metrics[metric] <= limit)) found.push({ metric, value: metrics[metric], limit });
  }
  if (limits.top5 !== undefined && !(metrics.top5 >= limits.top5)) {
    found.push({ metric: 'top5', value: metrics.top5, limit: limits.top5 });
  }
  return found;
}
