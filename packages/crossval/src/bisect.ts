import { expectedPositions } from './case.ts';
import { CrossvalError } from './errors.ts';
import { compareRowStreams, judge, type RowOutcome } from './ladder/compare-row-streams.ts';
import type { EvaluationMode, LogitsRow, Side } from './side.ts';
import type { RowLimits } from './thresholds.ts';

export interface BisectOptions {
  readonly mode: EvaluationMode;
  /** What a row may differ by. */
  readonly limits: RowLimits;
  readonly signal?: AbortSignal | undefined;
}

export interface BisectResult {
  readonly mode: EvaluationMode;
  /** Ids of the whole prompt. */
  readonly promptLength: number;
  /** The shortest prefix that diverges: with one id less every row keeps its limits. */
  readonly length: number;
  /** The first position of it that diverges, and its id. */
  readonly position: number;
  readonly token: number;
  /** Why, for people. */
  readonly message: string;
  /** The prefixes that were evaluated, in order. */
  readonly tried: readonly { readonly length: number; readonly diverges: boolean }[];
}

/**
 * The shortest prefix of a prompt that diverges, by binary search: about log2 of its length evaluations on each side.
 *
 * @returns undefined if the whole prompt does not diverge
 * @throws CrossvalError CROSSVAL_EMPTY for no ids, CROSSVAL_NOT_COMPARABLE where a side fails or gives no row; a recording
 *   holds whole prompts only and fails so
 */
export async function bisect(
  ours: Side,
  reference: Side,
  ids: readonly number[],
  options: BisectOptions,
): Promise<BisectResult | undefined> {
  const { mode, limits, signal } = options;
  if (ids.length === 0) throw new CrossvalError('CROSSVAL_EMPTY', 'There are no ids to bisect.');
  const tried: { length: number; diverges: boolean }[] = [];
  const found = new Map<number, { position: number; message: string }>();
  const diverges = async (length: number): Promise<boolean> => {
    signal?.throwIfAborted();
    const prefix = ids.slice(0, length);
    const evaluate = (side: Side) => (onLogits: (row: LogitsRow) => void) =>
      side.evaluate(prefix, { mode, onLogits, ...(signal === undefined ? {} : { signal }) });
    const outcomes = await compareRowStreams(
      expectedPositions(mode, length),
      () => true,
      evaluate(reference),
      evaluate(ours),
      { signal },
    );
    requireCompared(outcomes, length);
    const failed = outcomes.flatMap((outcome) => {
      const problem = judge(outcome, limits);
      return problem === undefined ? [] : [{ position: outcome.position, message: problem.message }];
    })[0];
    if (failed !== undefined) found.set(length, failed);
    tried.push({ length, diverges: failed !== undefined });
    return failed !== undefined;
  };
  if (!(await diverges(ids.length))) return undefined;
  let [agrees, diverging] = [0, ids.length];
  while (diverging - agrees > 1) {
    const middle = Math.floor((agrees + diverging) / 2);
    if (await diverges(middle)) diverging = middle;
    else agrees = middle;
  }
  const { position, message } = found.get(diverging)!;
  return { mode, promptLength: ids.length, length: diverging, position, token: ids[position]!, message, tried };
}

/** A row that could not be compared tells nothing about the prefix. */
function requireCompared(outcomes: readonly RowOutcome[], length: number): void {
  const failures = new Set<string>(['SIDE_FAILED', 'ROW_MISSING', 'ROW_UNEXPECTED', 'NOT_COMPARABLE']);
  for (const outcome of outcomes) {
    if (outcome.kind !== 'problem' || !failures.has(outcome.problem.code)) continue;
    throw new CrossvalError('CROSSVAL_NOT_COMPARABLE', `A prefix of ${length} ids: ${outcome.problem.message}`);
  }
}
