import { CrossvalError } from '../errors.ts';
import { compareRowsWithTop, firstNonFinite, type RowComparison, type RowMetrics, topK } from '../metrics.ts';
import { sha256OfFloats } from '../sha256.ts';
import type { LogitsRow } from '../side.ts';
import { type Excess, excesses, type RowLimits } from '../thresholds.ts';
import { jsonNumber } from '../json.ts';
import type { LadderFailure, LadderFailureCode } from './report.ts';

/** What the comparison of one row came to. Exactly one of the three kinds. */
export type RowOutcome =
  | ({ readonly kind: 'value'; readonly position: number } & RowComparison)
  /** Equal digests: the same bits, though how far from others is not known. */
  | { readonly kind: 'digest'; readonly position: number }
  | { readonly kind: 'problem'; readonly position: number; readonly problem: Problem };

export type Problem = Pick<LadderFailure, 'code' | 'message' | 'details'>;
export type Emit = (onLogits: (row: LogitsRow) => void) => Promise<void>;
/** Two rows with values, valid during the call. */
export type OnPair = (position: number, reference: Float32Array, ours: Float32Array, metrics: RowMetrics) => void;

const CODE_OF_ERROR: Partial<Record<CrossvalError['code'], LadderFailureCode>> = {
  CROSSVAL_EMPTY: 'ROW_EMPTY',
  CROSSVAL_LENGTH_MISMATCH: 'ROW_LENGTH_DIFFERS',
  CROSSVAL_NON_FINITE: 'NON_FINITE',
};

type Party = 'reference' | 'ours';
const WHOSE: Record<Party, string> = { reference: 'The reference', ours: 'Our side' };

export interface StreamOptions {
  /** Called for each pair of rows as it is compared. */
  readonly onPair?: OnPair | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compares the rows of two evaluations, which run at the same time, as they come: one outcome for each expected position
 * and one for each row that nobody asked for. A side that throws leaves its missing rows as problems.
 *
 * A row is held, in a buffer that is used again, until the other side has given its own: memory is bounded by how far
 * one side runs ahead, which for engines of one thread is a micro-batch.
 *
 * @param wanted - of the expected positions, those to compare; the others are only counted as given
 */
export async function compareRowStreams(
  expected: readonly number[],
  wanted: (position: number) => boolean,
  emitReference: Emit,
  emitOurs: Emit,
  { onPair, signal }: StreamOptions = {},
): Promise<RowOutcome[]> {
  const positions = new Set(expected);
  const outcomes = new Map<number, RowOutcome | Promise<RowOutcome>>();
  const extra: RowOutcome[] = [];
  const given: Record<Party, Set<number>> = { reference: new Set(), ours: new Set() };
  const held: Record<Party, Map<number, LogitsRow>> = { reference: new Map(), ours: new Map() };
  const free: Float32Array<ArrayBuffer>[] = [];
  const hold = (row: LogitsRow): LogitsRow => {
    if (row.values === undefined) return row;
    const length = row.values.length;
    const at = free.findIndex((buffer) => buffer.length === length);
    const buffer = at < 0 ? new Float32Array(length) : free.splice(at, 1)[0]!;
    buffer.set(row.values);
    return { ...row, values: buffer };
  };
  const receive =
    (party: Party, other: Party) =>
    (row: LogitsRow): void => {
      const { position } = row;
      if (given[party].has(position) || !positions.has(position)) {
        extra.push(unexpected(row, WHOSE[party]));
        return;
      }
      given[party].add(position);
      if (!wanted(position)) return;
      const counterpart = held[other].get(position);
      if (counterpart === undefined) {
        held[party].set(position, hold(row));
        return;
      }
      held[other].delete(position);
      const [theirs, mine] = party === 'ours' ? [counterpart, row] : [row, counterpart];
      outcomes.set(position, compareRow(theirs, mine, onPair));
      if (counterpart.values !== undefined) free.push(counterpart.values as Float32Array<ArrayBuffer>);
    };
  const [referenceError, ourError] = await Promise.all([
    errorOf(signal, () => emitReference(receive('reference', 'ours'))),
    errorOf(signal, () => emitOurs(receive('ours', 'reference'))),
  ]);
  const rows = await Promise.all(
    expected.map((position): RowOutcome | Promise<RowOutcome> | undefined => {
      if (!given.reference.has(position)) return missing(position, WHOSE.reference, referenceError);
      if (!given.ours.has(position)) return missing(position, WHOSE.ours, ourError);
      return outcomes.get(position);
    }),
  );
  // A side that throws after its last row has failed all the same.
  const position = expected.at(-1) ?? 0;
  for (const [party, error] of [
    ['reference', referenceError],
    ['ours', ourError],
  ] as const) {
    if (error !== undefined) extra.push({ kind: 'problem', position, problem: sideFailure(WHOSE[party], error) });
  }
  return [...rows.filter((row) => row !== undefined), ...extra];
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
  return `${metric} is ${value ?? 'not known'}, the limit ${limit}`;
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

function compareRow(
  reference: LogitsRow,
  ours: LogitsRow,
  onPair: OnPair | undefined,
): RowOutcome | Promise<RowOutcome> {
  if (reference.values !== undefined && ours.values !== undefined) {
    const outcome = compareByValue(ours.position, reference.values, ours.values);
    if (outcome.kind === 'value') onPair?.(ours.position, reference.values, ours.values, outcome.metrics);
    return outcome;
  }
  return compareByDigest(reference, ours);
}

function compareByValue(position: number, reference: Float32Array, ours: Float32Array): RowOutcome {
  try {
    return { kind: 'value', position, ...compareRowsWithTop(reference, ours) };
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
