import { CrossvalError } from '../errors.ts';
import { compareRows, firstNonFinite, type RowMetrics, topK } from '../metrics.ts';
import { sha256OfFloats } from '../sha256.ts';
import type { LogitsRow } from '../side.ts';
import { type Excess, excesses, type RowLimits } from '../thresholds.ts';
import { jsonNumber } from '../json.ts';
import type { LadderFailure, LadderFailureCode } from './report.ts';

/** What the comparison of one row came to. Exactly one of the three kinds. */
export type RowOutcome =
  | { readonly kind: 'value'; readonly position: number; readonly metrics: RowMetrics }
  /** Equal digests: the same bits, though how far from others is not known. */
  | { readonly kind: 'digest'; readonly position: number }
  | { readonly kind: 'problem'; readonly position: number; readonly problem: Problem };

type Problem = Pick<LadderFailure, 'code' | 'message' | 'details'>;
type Emit = (onLogits: (row: LogitsRow) => void) => Promise<void>;

const CODE_OF_ERROR: Partial<Record<CrossvalError['code'], LadderFailureCode>> = {
  CROSSVAL_EMPTY: 'ROW_EMPTY',
  CROSSVAL_LENGTH_MISMATCH: 'ROW_LENGTH_DIFFERS',
  CROSSVAL_NON_FINITE: 'NON_FINITE',
};

/**
 * Compares the rows of two evaluations as they come, one outcome for each expected position and one for each row that
 * nobody asked for. A side that throws leaves its missing rows as problems.
 */
export async function compareRowStreams(
  expected: readonly number[],
  emitReference: Emit,
  emitOurs: Emit,
  signal: AbortSignal | undefined,
): Promise<RowOutcome[]> {
  const theirs = new Map<number, LogitsRow>();
  const extra: RowOutcome[] = [];
  const referenceError = await errorOf(signal, () =>
    emitReference((row) => {
      if (theirs.has(row.position) || !expected.includes(row.position)) extra.push(unexpected(row, 'The reference'));
      else theirs.set(row.position, row.values === undefined ? row : { ...row, values: row.values.slice() });
    }),
  );
  const outcomes = new Map<number, RowOutcome | Promise<RowOutcome>>();
  const ourError = await errorOf(signal, () =>
    emitOurs((row) => {
      const reference = theirs.get(row.position);
      if (outcomes.has(row.position) || !expected.includes(row.position)) extra.push(unexpected(row, 'Our side'));
      else if (reference !== undefined) outcomes.set(row.position, compareRow(reference, row));
    }),
  );
  const rows = await Promise.all(
    expected.map((position): RowOutcome | Promise<RowOutcome> => {
      if (!theirs.has(position)) return missing(position, 'The reference', referenceError);
      return outcomes.get(position) ?? missing(position, 'Our side', ourError);
    }),
  );
  // A side that throws after its last row has failed all the same.
  const position = expected.at(-1) ?? 0;
  if (referenceError !== undefined) {
    extra.push({ kind: 'problem', position, problem: sideFailure('The reference', referenceError) });
  }
  if (ourError !== undefined) extra.push({ kind: 'problem', position, problem: sideFailure('Our side', ourError) });
  return [...rows, ...extra];
}

/** A failure if the outcome is a problem or does not keep the limits. */
export function judge(outcome: RowOutcome, limits: RowLimits): Problem | undefined {
  if (outcome.kind === 'digest') return undefined;
  if (outcome.kind === 'problem') return outcome.problem;
  const { metrics, position } = outcome;
  const found = excesses(metrics, limits);
  if (found.length === 0) return undefined;
  const { differing, count, firstDiffering, maxAbs } = metrics;
  const exact = found.some(({ metric }) => metric === 'differing');
  return {
    code: exact ? 'LOGITS_DIFFER' : 'THRESHOLD_EXCEEDED',
    message: exact
      ? `Position ${position}: ${differing} of ${count} logits differ, by up to ${maxAbs}, first id ${firstDiffering}.`
      : `Position ${position}: ${found.map(describeExcess).join(', ')}.`,
    details: { exceeded: found.map((excess) => ({ ...excess })), metrics: { ...metrics } },
  };
}

function describeExcess({ metric, value, limit }: Excess): string {
  return `${metric} is ${value}, the limit ${limit}`;
}

/** What a side threw; a cancelled run is thrown on. */
export async function errorOf(signal: AbortSignal | undefined, run: () => Promise<unknown>): Promise<unknown> {
  try {
    await run();
  } catch (error) {
    signal?.throwIfAborted();
    return error ?? new Error('a side threw nothing');
  }
  signal?.throwIfAborted();
  return undefined;
}

export function sideFailure(whose: string, error: unknown): Problem {
  const text = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : null;
  return { code: 'SIDE_FAILED', message: `${whose} failed: ${text}`, details: { side: whose, code, error: text } };
}

function missing(position: number, whose: string, error: unknown): RowOutcome {
  const problem: Problem =
    error === undefined
      ? { code: 'ROW_MISSING', message: `${whose} gave no logits for position ${position}.`, details: { side: whose } }
      : sideFailure(whose, error);
  return { kind: 'problem', position, problem };
}

function unexpected(row: LogitsRow, whose: string): RowOutcome {
  const message = `${whose} gave logits for position ${row.position} twice or unasked.`;
  return {
    kind: 'problem',
    position: row.position,
    problem: { code: 'ROW_UNEXPECTED', message, details: { side: whose } },
  };
}

function compareRow(reference: LogitsRow, ours: LogitsRow): RowOutcome | Promise<RowOutcome> {
  if (reference.values !== undefined && ours.values !== undefined) {
    return compareByValue(ours.position, reference.values, ours.values);
  }
  return compareByDigest(reference, ours);
}

function compareByValue(position: number, reference: Float32Array, ours: Float32Array): RowOutcome {
  try {
    return { kind: 'value', position, metrics: compareRows(reference, ours) };
  } catch (error) {
    const code = error instanceof CrossvalError ? CODE_OF_ERROR[error.code] : undefined;
    if (code === undefined || !(error instanceof CrossvalError)) throw error;
    return {
      kind: 'problem',
      position,
      problem: { code, message: `Position ${position}: ${error.message}`, details: {} },
    };
  }
}

/** Reads our values before it first waits: they are valid during the call only. */
async function compareByDigest(reference: LogitsRow, ours: LogitsRow): Promise<RowOutcome> {
  const { position } = ours;
  const problem = (code: LadderFailureCode, message: string, details: Problem['details'] = {}): RowOutcome => ({
    kind: 'problem',
    position,
    problem: { code, message: `Position ${position}: ${message}`, details },
  });
  const bad = ours.values === undefined ? undefined : firstNonFinite(ours.values);
  if (bad !== undefined) {
    return problem('NON_FINITE', `our row has ${ours.values?.[bad]} at index ${bad}.`, {
      index: bad,
      value: jsonNumber(ours.values?.[bad] ?? Number.NaN),
    });
  }
  const theirTop = reference.top?.map(([id]) => id) ?? null;
  const ourTop =
    ours.values === undefined
      ? (ours.top?.map(([id]) => id).slice(0, theirTop?.length) ?? null)
      : topK(ours.values, theirTop?.length ?? 5);
  const [theirDigest, ourDigest] = await Promise.all([digestOf(reference), digestOf(ours)]);
  if (theirDigest === undefined || ourDigest === undefined) {
    return problem('NOT_COMPARABLE', 'one side has neither values nor a digest.');
  }
  const details = { reference: theirDigest, ours: ourDigest, referenceTop: theirTop, ourTop };
  if (theirDigest !== ourDigest) {
    return problem('DIGEST_DIFFERS', 'the digests differ, and without both rows how far is not known.', details);
  }
  if (theirTop !== null && ourTop !== null && theirTop.join() !== ourTop.join()) {
    return problem('TOP_DIFFERS', 'the digests are equal, the largest logits are not.', details);
  }
  return { kind: 'digest', position };
}

function digestOf(row: LogitsRow): Promise<string> | string | undefined {
  return row.sha256 ?? (row.values === undefined ? undefined : sha256OfFloats(row.values));
}
