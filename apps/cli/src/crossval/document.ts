import type { BisectResult, LadderFailureCode, LadderReport } from '@bittern/crossval';
import { EXIT_CODES, type ExitCode } from '../exit-codes.ts';

export type Status = 'ok' | 'diverged' | 'not-compared';

/** What `crossval --json` prints; its JSON Schema is `crossval.schema.json`. The names with `_` are the playbook's. */
export interface CrossvalDocument {
  readonly format: 'bittern-crossval';
  readonly version: 1;
  readonly status: Status;
  /** Null where it did not come to a comparison. */
  readonly backend: string | null;
  /** Why nothing was compared. */
  readonly message?: string;
  /** First position, of the prompt or generated, that fails; -1 if none does, or tokens or traces fail before. */
  readonly divergence_token: number;
  readonly metrics: CrossvalMetrics;
  /** One for each reference. */
  readonly ladders: readonly LadderReport[];
  /** With `--bisect`: for each ladder with a failing case; null where no prefix diverges. */
  readonly bisect?: readonly (BisectResult | null)[];
}

/** Over all rows of prompt logits; null where none was compared by value. */
interface CrossvalMetrics {
  readonly min_cosine_similarity: number | null;
  readonly max_l2_distance: number | null;
  /** Over all logits of all rows. */
  readonly mean_abs_difference: number | null;
  readonly max_abs_difference: number | null;
  readonly max_mse: number | null;
  readonly max_kl_divergence: number | null;
  readonly min_top5_overlap: number | null;
  /** Rows of prompt logits that were compared, over all ladders. */
  readonly token_count: number;
  readonly compared_by_value: number;
  /** With the reference's digests only: equal, or how far is not known. */
  readonly compared_by_digest: number;
}

/** Failures that say nothing about our engine: there was nothing, or not the same thing, to compare. */
const NOT_COMPARED: ReadonlySet<LadderFailureCode> = new Set<LadderFailureCode>([
  'IDENTITY_MISSING',
  'MODEL_DIFFERS',
  'NO_CASES',
  'BAD_CASE',
  'NOTHING_COMPARED',
  'NOT_COMPARABLE',
]);

export const EXIT_CODE_OF: Readonly<Record<Status, ExitCode>> = {
  ok: EXIT_CODES.success,
  diverged: EXIT_CODES.failed,
  'not-compared': EXIT_CODES.notCompared,
};

export function summarize(
  backend: string,
  ladders: readonly LadderReport[],
  bisect: readonly (BisectResult | null)[] | undefined,
): CrossvalDocument {
  const failures = ladders.flatMap((ladder) => ladder.failures);
  const passed = ladders.length > 0 && ladders.every(({ verdict }) => verdict === 'pass');
  const diverged = failures.some(({ code }) => !NOT_COMPARED.has(code));
  const first = failures.flatMap(({ position }) => position ?? []);
  return {
    format: 'bittern-crossval',
    version: 1,
    status: passed ? 'ok' : diverged ? 'diverged' : 'not-compared',
    backend,
    divergence_token: first.length === 0 ? -1 : Math.min(...first),
    metrics: metricsOf(ladders),
    ladders,
    ...(bisect === undefined ? {} : { bisect }),
  };
}

/** A comparison that did not take place. */
export function notCompared(message: string): CrossvalDocument {
  return {
    format: 'bittern-crossval',
    version: 1,
    status: 'not-compared',
    backend: null,
    message,
    divergence_token: -1,
    metrics: metricsOf([]),
    ladders: [],
  };
}

function metricsOf(ladders: readonly LadderReport[]): CrossvalMetrics {
  const rows = ladders.flatMap((ladder) => ladder.rows.flatMap(({ metrics }) => metrics ?? []));
  const least = (values: readonly (number | null)[]): number | null => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((a, b) => Math.min(a, b));
  };
  const most = (values: readonly number[]): number | null => {
    const negated = least(values.map((value) => -value));
    return negated === null ? null : 0 - negated;
  };
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  const byValue = ladders.reduce((sum, { counts }) => sum + counts.rowsByValue, 0);
  const byDigest = ladders.reduce((sum, { counts }) => sum + counts.rowsByDigest, 0);
  return {
    min_cosine_similarity: least(rows.map(({ cosine }) => cosine)),
    max_l2_distance: most(rows.map(({ l2 }) => l2)),
    mean_abs_difference: count === 0 ? null : rows.reduce((sum, row) => sum + row.meanAbs * row.count, 0) / count,
    max_abs_difference: most(rows.map(({ maxAbs }) => maxAbs)),
    max_mse: most(rows.map(({ mse }) => mse)),
    max_kl_divergence: most(rows.map(({ kl }) => kl)),
    min_top5_overlap: least(rows.map(({ top5 }) => top5)),
    token_count: byValue + byDigest,
    compared_by_value: byValue,
    compared_by_digest: byDigest,
  };
}
