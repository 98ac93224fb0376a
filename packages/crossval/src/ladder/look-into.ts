import { tracedIds } from '../case.ts';
import { compareOperations, type OperationTable } from '../operations.ts';
import { captureTrace } from '../trace/capture.ts';
import { explain } from '../why/explain.ts';
import { explainTokens } from '../why/tokens.ts';
import { errorOf, sideFailure } from './compare-row-streams.ts';
import { type Candidate, locate } from './locate.ts';
import type { DecodeStep, LadderFailure, LadderReport } from './report.ts';
import type { LadderOptions } from './run-ladder.ts';

type Findings = Pick<LadderReport, 'where' | 'whereNotes' | 'why' | 'operations'>;

/**
 * Where a failure is and why: traces of both sides, our operations one by one, and a second run of each side.
 *
 * @param failure - the first; undefined where nothing failed: with `perOp` our operations are fed all the same
 * @param steps - what was generated
 */
export async function lookInto(
  failure: LadderFailure | undefined,
  steps: readonly DecodeStep[],
  options: LadderOptions,
): Promise<Findings> {
  const { ours, reference, cases, signal } = options;
  const nothing: Findings = { where: null, whereNotes: [], why: [], operations: null };
  if (failure === undefined) return { ...nothing, ...(await operationsAlone(options)) };
  if (options.explain === false || failure.rung === 'preflight') return nothing;
  if (failure.rung === 'tokens') return { ...nothing, why: explainTokens(failure, ours.identity) };
  const { located, notes } = await locate(ours, reference, candidatesFor(failure, steps, options), {
    budgetBytes: options.traceBudgetBytes,
    signal,
  });
  let operations: OperationTable | undefined;
  if (located !== undefined && ours.replay !== undefined) {
    const error = await errorOf(signal, async () => {
      operations = await compareOperations(ours, located.reference, signal);
    });
    if (error !== undefined) notes.push(`Operations could not be fed: ${sideFailure('A side', error).message}`);
  }
  const ladderCase = cases.find(({ id }) => id === failure.case);
  const why = await explain({ failure, located, operations, ladderCase, ours, reference, steps, signal });
  if (located === undefined) return { ...nothing, whereNotes: notes, why };
  const { case: id, mode, ids, diff } = located;
  return { where: { case: id, mode, ids, diff }, whereNotes: notes, why, operations: operations ?? null };
}

/** The table of the first case that can be fed. */
async function operationsAlone(options: LadderOptions): Promise<Pick<Findings, 'operations' | 'whereNotes'>> {
  const { cases, ours, reference, perOp, signal } = options;
  const notes: string[] = [];
  if (perOp !== true) return { operations: null, whereNotes: notes };
  for (const ladderCase of cases) {
    const { id, mode, trace } = ladderCase;
    if (!trace) continue;
    let operations: OperationTable | undefined;
    const error = await errorOf(signal, async () => {
      const view = await captureTrace(reference, tracedIds(ladderCase), { mode, signal });
      operations = await compareOperations(ours, view, signal);
    });
    if (operations !== undefined) return { operations, whereNotes: notes };
    notes.push(`Operations of ${id} could not be fed: ${sideFailure('A side', error).message}`);
  }
  return { operations: null, whereNotes: notes };
}

/** What may be traced to find the failure: the case itself, then those that a recording is sure to hold. */
function candidatesFor(
  failure: LadderFailure,
  steps: readonly DecodeStep[],
  { cases }: Pick<LadderOptions, 'cases'>,
): Candidate[] {
  const failed = cases.find(({ id }) => id === failure.case);
  const candidates: Candidate[] = [];
  if (failed !== undefined) {
    const { mode, ids } = failed;
    if (failure.rung === 'decode') {
      // Generated ids are evaluated one at a time, whatever the prompt's mode.
      candidates.push({ ladderCase: failed, mode: 'sequential', ids: [...ids, ...agreedIds(failed.id, steps)] });
    }
    if (failed.trace) candidates.push({ ladderCase: failed, mode, ids: tracedIds(failed) });
    const upTo = ids.slice(0, (failure.position ?? 0) + 1);
    candidates.push({ ladderCase: failed, mode, ids: upTo }, { ladderCase: failed, mode, ids });
  }
  for (const ladderCase of cases) {
    if (!ladderCase.trace) continue;
    candidates.push({ ladderCase, mode: ladderCase.mode, ids: tracedIds(ladderCase) });
  }
  const seen = new Set<string>();
  return candidates.filter(({ mode, ids }) => {
    const key = `${mode} ${ids.join(',')}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** The generated ids of a case up to the first in which the sides differ. */
function agreedIds(id: string, steps: readonly DecodeStep[]): number[] {
  const generated = steps.filter((step) => step.case === id);
  const differing = generated.findIndex(({ reference, ours }) => reference !== ours);
  return generated.slice(0, differing < 0 ? generated.length : differing).flatMap(({ reference }) => reference ?? []);
}
