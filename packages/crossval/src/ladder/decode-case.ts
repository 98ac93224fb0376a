import type { LadderCase } from '../case.ts';
import { topK } from '../metrics.ts';
import type { LogitsRow, Side } from '../side.ts';
import type { RowLimits } from '../thresholds.ts';
import {
  compareRowStreams,
  errorOf,
  judge,
  type Problem,
  type RowOutcome,
  sideFailure,
} from './compare-row-streams.ts';
import type { DecodeStep } from './report.ts';

export interface DecodeOutcome {
  readonly steps: readonly DecodeStep[];
  readonly rowsByValue: number;
  readonly rowsByDigest: number;
  readonly failure: (Problem & { readonly position?: number }) | undefined;
}

/** The two largest logits of a row, where they are known. */
type Leaders = readonly (readonly [id: number, logit: number])[];

/**
 * Decodes a case greedily on both sides. Ids have no tolerance; under `limits` neither have the rows they were taken
 * from. Beside each id stands how sure it was: the gap between the two largest logits.
 */
export async function decodeCase(
  { id, ids, mode, greedyCount }: LadderCase,
  ours: Side,
  reference: Side,
  limits: RowLimits | undefined,
  signal: AbortSignal | undefined,
): Promise<DecodeOutcome> {
  const greedy = new Map<Side, readonly number[]>();
  const leaders = new Map<Side, Map<number, Leaders>>([
    [ours, new Map()],
    [reference, new Map()],
  ]);
  const decode = (side: Side) => async (onLogits: (row: LogitsRow) => void) => {
    const seen = leaders.get(side)!;
    const options = {
      mode,
      count: greedyCount,
      onLogits(row: LogitsRow) {
        seen.set(row.position, leadersOf(row));
        onLogits(row);
      },
    };
    greedy.set(side, await side.decode(ids, signal === undefined ? options : { ...options, signal }));
  };
  const first = ids.length - 1;
  const positions = Array.from({ length: greedyCount }, (_, step) => first + step);
  let outcomes: RowOutcome[] = [];
  const error = await errorOf(signal, async () => {
    outcomes = await compareRowStreams(positions, () => true, decode(reference), decode(ours), { signal });
  });
  const none = { steps: [], rowsByValue: 0, rowsByDigest: 0 };
  if (error !== undefined) return { ...none, failure: sideFailure('A side', error) };
  const [theirs, mine] = [greedy.get(reference), greedy.get(ours)];
  // A side that threw is among the outcomes.
  if (theirs === undefined || mine === undefined) {
    const thrown = outcomes.flatMap((outcome) => (outcome.kind === 'problem' ? [outcome.problem] : []))[0];
    return { ...none, failure: thrown ?? { code: 'SIDE_FAILED', message: 'A side gave no ids.', details: {} } };
  }
  const byPosition = new Map(outcomes.map((outcome) => [outcome.position, outcome]));
  const steps = Array.from({ length: Math.max(theirs.length, mine.length) }, (_, step): DecodeStep => {
    const outcome = byPosition.get(first + step);
    return {
      case: id,
      step,
      reference: theirs[step] ?? null,
      ours: mine[step] ?? null,
      referenceGap: gapOf(leaders.get(reference)!.get(first + step)),
      ourGap: gapOf(leaders.get(ours)!.get(first + step)),
      maxAbs: outcome?.kind === 'value' ? outcome.metrics.maxAbs : outcome?.kind === 'digest' ? 0 : null,
    };
  });
  const failedRow = outcomes.flatMap((outcome) => {
    const problem = limits === undefined ? unusable(outcome) : judge(outcome, limits);
    return problem === undefined ? [] : [{ position: outcome.position, ...problem }];
  })[0];
  return {
    steps,
    rowsByValue: outcomes.filter(({ kind }) => kind === 'value').length,
    rowsByDigest: outcomes.filter(({ kind }) => kind === 'digest').length,
    failure:
      idFailure(id, ids.length, greedyCount, steps, theirs, mine, failedRow?.position ?? null) ??
      failedRow ??
      notLargest(id, ids.length, mine, leaders.get(ours)!, 'Our side') ??
      notLargest(id, ids.length, theirs, leaders.get(reference)!, 'The reference'),
  };
}

/** Without limits a row may differ; it must still be a row. */
function unusable(outcome: RowOutcome): Problem | undefined {
  const codes: readonly string[] = ['NON_FINITE', 'ROW_EMPTY', 'ROW_LENGTH_DIFFERS'];
  return outcome.kind === 'problem' && codes.includes(outcome.problem.code) ? outcome.problem : undefined;
}

function idFailure(
  id: string,
  promptLength: number,
  expected: number,
  steps: readonly DecodeStep[],
  theirs: readonly number[],
  mine: readonly number[],
  firstDifferingRow: number | null,
): DecodeOutcome['failure'] {
  const differing = steps.find(({ reference, ours }) => reference !== ours);
  if (differing !== undefined) {
    const { step, reference, ours, referenceGap, ourGap, maxAbs } = differing;
    const gaps = [referenceGap, ourGap].map((gap) => (gap === null ? 'unknown' : String(gap)));
    return {
      code: 'GREEDY_DIFFERS',
      position: promptLength + step,
      message:
        `Greedy ids of ${id} differ first at step ${step}: the reference has ${reference ?? 'none'}, ours ${ours ?? 'none'}. ` +
        `The largest logit leads the second by ${gaps[0]} there, in ours by ${gaps[1]}; the rows differ by ${maxAbs === null ? 'an unknown amount' : `up to ${maxAbs}`}.`,
      details: { step, reference, ours, referenceGap, ourGap, maxAbs, firstDifferingRow },
    };
  }
  if (mine.length === expected && theirs.length === expected) return undefined;
  const message = `Both sides gave ${mine.length} greedy ids of ${id}, not ${expected}.`;
  return { code: 'GREEDY_SHORT', message, details: { expected, given: mine.length } };
}

/** Equal ids that neither row supports are no greedy decoding. */
function notLargest(
  id: string,
  promptLength: number,
  greedy: readonly number[],
  leaders: ReadonlyMap<number, Leaders>,
  whose: string,
): DecodeOutcome['failure'] {
  for (const [step, chosen] of greedy.entries()) {
    const best = leaders.get(promptLength - 1 + step)?.[0];
    if (best === undefined || best[0] === chosen) continue;
    return {
      code: 'GREEDY_NOT_LARGEST',
      position: promptLength + step,
      message: `${whose} generated id ${chosen} at step ${step} of ${id}; the largest logit of its own row is that of id ${best[0]}.`,
      details: { step, side: whose, chosen, largest: best[0] },
    };
  }
  return undefined;
}

function leadersOf({ values, top }: LogitsRow): Leaders {
  if (values !== undefined) return topK(values, 2).map((id) => [id, values[id]!] as const);
  return top?.slice(0, 2) ?? [];
}

function gapOf(leaders: Leaders | undefined): number | null {
  const [first, second] = leaders ?? [];
  const gap = first === undefined || second === undefined ? Number.NaN : first[1] - second[1];
  return Number.isFinite(gap) ? gap : null;
}
