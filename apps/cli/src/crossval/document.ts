import type { BisectResult, LadderFailure, LadderFailureCode, LadderReport, OtherOutcome } from '@bittern/crossval';
import { EXIT_CODES, type ExitCode } from '../exit-codes.ts';
import { type ForcedOperation, OPERATION_TOLERANCE } from '../live/forced-operations.ts';

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
  /** Against a running llama.cpp: each of its operations on our engine's inputs. Null where there was none. */
  readonly forcedOperations: readonly ForcedOperation[] | null;
  /** What was not compared because it is not installed. */
  readonly notInstalled: readonly string[];
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

/** A running reference that died, hung or lied has not been compared with, either. */
function saysNothingOfOurs({ code, details }: LadderFailure): boolean {
  const referenceFailed = code === 'SIDE_FAILED' && String(details['code']).startsWith('BRIDGE_');
  return NOT_COMPARED.has(code) || referenceFailed;
}

export const EXIT_CODE_OF: Readonly<Record<Status, ExitCode>> = {
  ok: EXIT_CODES.success,
  diverged: EXIT_CODES.failed,
  'not-compared': EXIT_CODES.notCompared,
};

/** What was compared. */
type Comparison = Pick<CrossvalDocument, 'ladders' | 'forcedOperations' | 'notInstalled' | 'bisect'> & {
  readonly backend: string;
};

export function summarize(comparison: Comparison): CrossvalDocument {
  const { ladders, forcedOperations: forced } = comparison;
  const failures = ladders.flatMap((ladder) => ladder.failures);
  const climbed = ladders.length > 0 && ladders.every(({ verdict }) => verdict === 'pass');
  const passed = climbed && (forced === null || (forced.length > 0 && forced.every((of) => of.passed)));
  const diverged = failures.some((failure) => !saysNothingOfOurs(failure)) || forced?.some((of) => !of.passed);
  const first = failures.flatMap(({ position }) => position ?? []);
  return {
    format: 'bittern-crossval',
    version: 1,
    status: passed ? 'ok' : diverged ? 'diverged' : 'not-compared',
    divergence_token: first.length === 0 ? -1 : Math.min(...first),
    metrics: metricsOf(ladders),
    ...comparison,
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
    forcedOperations: null,
    notInstalled: [],
  };
}

/** What a document has beside its ladders, for reports. */
export function otherOutcomesOf(
  name: string,
  { message, forcedOperations: forced, notInstalled }: CrossvalDocument,
): OtherOutcome[] {
  const outcomes = notInstalled.map((missing): OtherOutcome => {
    return { kind: 'not-installed', name: `${name}: ${missing}`, message: 'not compared with it' };
  });
  if (message !== undefined) outcomes.push({ kind: 'not-compared', name, message });
  if (forced === null) return outcomes;
  const failed = forced.filter(({ passed }) => !passed);
  const allowed = `${OPERATION_TOLERANCE} of the largest value is allowed`;
  outcomes.push({
    kind: failed.length === 0 && forced.length > 0 ? 'passed' : 'failed',
    name: `${name}: llama.cpp, operation by operation`,
    message:
      failed.length === 0
        ? `${forced.length} operations compared; ${allowed}`
        : failed
            .map(({ operation, worst, worstNode }) => `${operation} is ${worst} off in ${worstNode}; ${allowed}`)
            .join('. '),
  });
  return outcomes;
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
