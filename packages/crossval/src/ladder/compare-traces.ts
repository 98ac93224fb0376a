import { type LadderCase, tracedIds } from '../case.ts';
import { compareBits, firstNonFinite } from '../metrics.ts';
import { sha256OfFloats } from '../sha256.ts';
import type { Side, TraceTap } from '../side.ts';
import { elementsOf, keyOf, labelOf, sameShape } from '../trace/tap-layout.ts';
import { checkMask } from './masks.ts';
import { type Json, jsonNumber } from '../json.ts';
import type { LadderFailure, TapDifference } from './report.ts';

export interface TraceComparison {
  /** Of the rungs shapes and masks; undefined where the trace passes them. */
  shapeFailure: LadderFailure | undefined;
  maskFailure: LadderFailure | undefined;
  /** The first tap that differs, in the reference's order. */
  divergence: TapDifference | undefined;
  taps: number;
  tapsByValue: number;
  tapsByDigest: number;
  tapValues: number;
  maskRows: number;
  maskRowsAgainstReference: number;
}

const ATTENTION_PROBABILITIES = /^kq_soft_max_ext-\d+$/;
const ATTENTION_SCORES = /^kq-\d+$/;

/**
 * Runs both traces of a case once and compares places, shapes, masks and values.
 *
 * The reference may have kept some steps only; ours are compared for those. Our taps are compared as they come, because
 * their data is valid during the call only.
 */
export async function compareTraces(
  ladderCase: LadderCase,
  ours: Side,
  reference: Side,
  signal: AbortSignal | undefined,
): Promise<TraceComparison> {
  const { id, mode } = ladderCase;
  const ids = tracedIds(ladderCase);
  const options = signal === undefined ? { mode } : { mode, signal };
  const expected: TraceTap[] = [];
  await reference.trace(ids, {
    ...options,
    onTap: (tap) => expected.push(tap.data === undefined ? tap : { ...tap, data: tap.data.slice() }),
  });
  const indexOf = new Map(expected.map((tap, index) => [keyOf(tap), index]));
  const keptSteps = new Set(expected.map(({ step }) => step));

  const seen: TraceTap[] = [];
  const differences: TapDifference[] = [];
  const digests: Promise<void>[] = [];
  const tokensOfStep = new Map<number, number>();
  /** Ours of the layer that runs: a copy, because its probabilities come with a later tap. */
  let scores: TraceTap | undefined;
  const result: TraceComparison = {
    shapeFailure: undefined,
    maskFailure: undefined,
    divergence: undefined,
    taps: 0,
    tapsByValue: 0,
    tapsByDigest: 0,
    tapValues: 0,
    maskRows: 0,
    maskRowsAgainstReference: 0,
  };

  function note(index: number, rest: Pick<TapDifference, 'element' | 'reference' | 'ours' | 'differing'>): void {
    const { name, occurrence, step } = expected[index]!;
    differences.push({ case: id, index, name, occurrence, step, ...rest });
  }

  function compareByValue(index: number, theirs: Float32Array, mine: Float32Array): void {
    result.tapsByValue++;
    result.tapValues += mine.length;
    const { differing, firstDiffering } = compareBits(theirs, mine);
    // Two equal NaNs are no agreement.
    const element = firstDiffering ?? firstNonFinite(mine);
    if (element === undefined) return;
    note(index, { element, reference: jsonNumber(theirs[element]!), ours: jsonNumber(mine[element]!), differing });
  }

  function compareByDigest(index: number, theirs: TraceTap, mine: TraceTap): void {
    const theirDigest = digestOf(theirs);
    const ourDigest = digestOf(mine);
    if (theirDigest === undefined || ourDigest === undefined) return;
    const bad = mine.data === undefined ? undefined : firstNonFinite(mine.data);
    const badValue = bad === undefined ? null : jsonNumber(mine.data?.[bad] ?? Number.NaN);
    digests.push(
      Promise.all([theirDigest, ourDigest]).then(([a, b]) => {
        result.tapsByDigest++;
        if (bad !== undefined) {
          note(index, { element: bad, reference: null, ours: badValue, differing: null });
        } else if (a !== b) {
          note(index, { element: null, reference: null, ours: null, differing: null });
        }
      }),
    );
  }

  await ours.trace(ids, {
    ...options,
    onTap: (tap) => {
      if (ATTENTION_PROBABILITIES.test(tap.name)) tokensOfStep.set(tap.step, tap.shape.at(-2) ?? 1);
      if (!keptSteps.has(tap.step)) return;
      const { data, ...place } = tap;
      seen.push(place);
      const index = indexOf.get(keyOf(tap));
      const theirs = index === undefined ? undefined : expected[index];
      // The order and shape check below names what is wrong with a tap that cannot be compared.
      if (index === undefined || theirs === undefined || !sameShape(theirs.shape, tap.shape)) return;
      if (data !== undefined && data.length !== elementsOf(tap.shape)) {
        result.shapeFailure ??= shapeFailure(id, 'SHAPE_DIFFERS', theirs, tap, `ours has ${data.length} values`);
        return;
      }
      if (data !== undefined && ATTENTION_SCORES.test(tap.name)) scores = { ...tap, data: data.slice() };
      if (data !== undefined && ATTENTION_PROBABILITIES.test(tap.name)) {
        const start = mode === 'sequential' ? tap.step : tokensBefore(tokensOfStep, tap.step);
        const key = keyOf({ ...tap, name: tap.name.replace('kq_soft_max_ext', 'kq') });
        const theirScores = expected[indexOf.get(key) ?? -1];
        const mask = checkMask(
          tap,
          start,
          { weights: data, scores: scores !== undefined && keyOf(scores) === key ? scoresOf(scores, tap) : undefined },
          theirs.data && { weights: theirs.data, scores: theirScores && scoresOf(theirScores, tap) },
        );
        result.maskRows += mask.rows;
        result.maskRowsAgainstReference += mask.rowsAgainstReference;
        if (mask.problem !== undefined) result.maskFailure ??= { rung: 'masks', case: id, ...mask.problem };
      }
      if (data !== undefined && theirs.data !== undefined) compareByValue(index, theirs.data, data);
      else compareByDigest(index, theirs, tap);
    },
  });
  await Promise.all(digests);
  result.taps = seen.length;
  result.shapeFailure ??= compareOrder(id, expected, seen);
  result.divergence = differences.toSorted((a, b) => a.index - b.index)[0];
  return result;
}

/** Scores of the same shape as their probabilities. */
function scoresOf(scores: TraceTap, probabilities: TraceTap): Float32Array | undefined {
  return sameShape(scores.shape, probabilities.shape) ? scores.data : undefined;
}

function digestOf(tap: TraceTap): Promise<string> | undefined {
  if (tap.sha256 !== undefined) return Promise.resolve(tap.sha256);
  return tap.data === undefined ? undefined : sha256OfFloats(tap.data);
}

/** Position of the first token of a micro-batch. */
function tokensBefore(tokensOfStep: ReadonlyMap<number, number>, step: number): number {
  let tokens = 0;
  for (const [earlier, count] of tokensOfStep) if (earlier < step) tokens += count;
  return tokens;
}

function compareOrder(
  caseId: string,
  expected: readonly TraceTap[],
  seen: readonly TraceTap[],
): LadderFailure | undefined {
  if (expected.length === 0 || seen.length === 0) {
    const whose = expected.length === 0 ? 'The reference' : 'Our side';
    return {
      rung: 'shapes',
      code: 'TRACE_EMPTY',
      case: caseId,
      message: `${whose} gave no taps for ${caseId}.`,
      details: { reference: expected.length, ours: seen.length },
    };
  }
  const expectedKeys = new Set(expected.map(keyOf));
  const seenKeys = new Set(seen.map(keyOf));
  for (let index = 0; index < Math.max(expected.length, seen.length); index++) {
    const theirs = expected[index];
    const mine = seen[index];
    if (theirs !== undefined && (mine === undefined || !seenKeys.has(keyOf(theirs)))) {
      return shapeFailure(caseId, 'TAP_MISSING', theirs, mine, 'our trace does not have it');
    }
    if (mine !== undefined && (theirs === undefined || !expectedKeys.has(keyOf(mine)))) {
      return shapeFailure(caseId, 'TAP_UNEXPECTED', theirs, mine, 'the reference does not have ours');
    }
    if (theirs === undefined || mine === undefined) continue;
    if (keyOf(theirs) !== keyOf(mine)) {
      return shapeFailure(caseId, 'TAP_ORDER_DIFFERS', theirs, mine, `ours has ${labelOf(mine)} there`);
    }
    if (!sameShape(theirs.shape, mine.shape)) {
      const what = `[${theirs.shape.join(', ')}] in the reference, [${mine.shape.join(', ')}] in ours`;
      return shapeFailure(caseId, 'SHAPE_DIFFERS', theirs, mine, what);
    }
  }
  return undefined;
}

function shapeFailure(
  caseId: string,
  code: 'TAP_MISSING' | 'TAP_UNEXPECTED' | 'TAP_ORDER_DIFFERS' | 'SHAPE_DIFFERS',
  theirs: TraceTap | undefined,
  mine: TraceTap | undefined,
  what: string,
): LadderFailure {
  const named = code === 'TAP_UNEXPECTED' ? (mine ?? theirs)! : (theirs ?? mine)!;
  return {
    rung: 'shapes',
    code,
    case: caseId,
    message: `Tap ${labelOf(named)} of ${caseId}: ${what}.`,
    details: { reference: describe(theirs), ours: describe(mine) },
  };
}

function describe(tap: TraceTap | undefined): Json {
  if (tap === undefined) return null;
  return { name: tap.name, occurrence: tap.occurrence, step: tap.step, shape: [...tap.shape] };
}

/** Under `exact`: the first tap that differs, or that some could not be compared. */
export function tapFailure(trace: TraceComparison): LadderFailure | undefined {
  const { divergence, taps, tapsByValue, tapsByDigest } = trace;
  if (divergence !== undefined) {
    const { case: caseId, name, occurrence, step, element, ours, reference } = divergence;
    const where = element === null ? 'its digest' : `element ${element}: the reference has ${reference}, ours ${ours}`;
    return {
      rung: 'positions',
      code: 'TAP_DIFFERS',
      case: caseId,
      message: `The first operation of ${caseId} that differs is ${name} (occurrence ${occurrence}, step ${step}): ${where}.`,
      details: { ...divergence },
    };
  }
  const compared = tapsByValue + tapsByDigest;
  if (compared === taps) return undefined;
  return {
    rung: 'positions',
    code: 'NOT_COMPARABLE',
    case: null,
    message: `Only ${compared} of ${taps} taps could be compared: the others have neither values nor a digest on one side.`,
    details: { taps, compared },
  };
}
