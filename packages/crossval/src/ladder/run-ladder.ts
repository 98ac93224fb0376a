import { expectedPositions, type LadderCase } from '../case.ts';
import type { RowMetrics } from '../metrics.ts';
import type { EvaluationMode, Side, SideIdentity } from '../side.ts';
import { EXACT_THRESHOLDS, type LadderThresholds, PLAYBOOK_THRESHOLDS, type RowLimits } from '../thresholds.ts';
import { compareRowStreams, errorOf, judge, type RowOutcome, sideFailure } from './compare-row-streams.ts';
import { compareTraces, type TraceComparison } from './compare-traces.ts';
import {
  type LadderCounts,
  type LadderFailure,
  type LadderReport,
  type Rung,
  type RungResult,
  RUNGS,
  type WorstMetrics,
} from './report.ts';

export interface LadderProgress {
  readonly rung: Rung;
  /** Id of the case that is being compared. */
  readonly case: string;
  /** Cases of this rung that are finished. */
  readonly done: number;
  readonly total: number;
}

export interface LadderOptions {
  readonly ours: Side;
  readonly reference: Side;
  readonly cases: readonly LadderCase[];
  /** Default: the playbook's. Not used under `exact`. */
  readonly thresholds?: LadderThresholds;
  /** Every bit of every row, generated row and traced operation must be equal. Default: false. */
  readonly exact?: boolean;
  readonly onProgress?: (progress: LadderProgress) => void;
  readonly signal?: AbortSignal;
}

/** What one rung came to. */
interface RungOutcome {
  readonly compared: number;
  readonly failures: readonly LadderFailure[];
}

/**
 * Climbs the parity ladder: preflight, tokens, shapes, masks, first logit, positions, greedy decode. It stops at the
 * first rung that fails; nothing to compare is a failure. Each side traces, evaluates and decodes a case once.
 *
 * @returns a report, also where a side throws. It rejects only with `signal.reason`.
 */
export async function runLadder(options: LadderOptions): Promise<LadderReport> {
  const exact = options.exact ?? false;
  const thresholds = exact ? EXACT_THRESHOLDS : (options.thresholds ?? PLAYBOOK_THRESHOLDS);
  requireLimits(thresholds.firstLogit, 'firstLogit');
  requireLimits(thresholds.positions, 'positions');
  const ladder = new Ladder(options, exact, thresholds);
  const climb: Record<Rung, () => RungOutcome | Promise<RungOutcome>> = {
    preflight: () => ladder.preflight(),
    tokens: () => ladder.tokens(),
    shapes: () => ladder.shapes(),
    masks: () => ladder.masks(),
    'first-logit': () => ladder.firstLogit(),
    positions: () => ladder.positions(),
    decode: () => ladder.decode(),
  };
  const rungs: RungResult[] = [];
  let failures: readonly LadderFailure[] = [];
  for (const rung of RUNGS) {
    if (failures.length > 0) {
      rungs.push({ rung, status: 'not-run', compared: 0 });
      continue;
    }
    options.signal?.throwIfAborted();
    const outcome = await climb[rung]();
    failures = outcome.failures;
    if (failures.length === 0 && !(outcome.compared > 0)) failures = [nothingCompared(rung)];
    rungs.push({ rung, status: failures.length === 0 ? 'pass' : 'fail', compared: outcome.compared });
  }
  return {
    format: 'bittern-ladder',
    version: 1,
    verdict: failures.length === 0 ? 'pass' : 'fail',
    exact,
    thresholds,
    ours: options.ours.identity,
    reference: options.reference.identity,
    rungs,
    failures,
    counts: ladder.counts,
    maxAbs: ladder.worst.maxAbs?.value ?? null,
    worst: ladder.worst,
    firstDivergence: ladder.traces.find(({ divergence }) => divergence !== undefined)?.divergence ?? null,
  };
}

function requireLimits(limits: RowLimits, name: string): void {
  if (Object.values(limits).every((limit) => limit === undefined)) {
    throw new RangeError(`thresholds.${name} has no limit, so that nothing could fail. Give at least one.`);
  }
}

function nothingCompared(rung: Rung): LadderFailure {
  return {
    rung,
    code: 'NOTHING_COMPARED',
    case: null,
    message: `Rung ${rung} had nothing to compare, which is not a pass. ${HOW_TO_COMPARE[rung]}`,
    details: {},
  };
}

const HOW_TO_COMPARE: Record<Rung, string> = {
  preflight: 'Give at least one case.',
  tokens: 'Give cases with ids.',
  shapes: 'Add a case of which the reference has a trace.',
  masks: 'Add a case whose trace has kq_soft_max_ext with values on our side.',
  'first-logit': 'Add a case with logits for position 0: mode batch-all or sequential, or a prompt of one id.',
  positions: 'Give cases with ids.',
  decode: 'Give cases with greedy ids.',
};

/** One climb: the rungs in order, and what they leave for later ones. */
class Ladder {
  readonly counts: LadderCounts = {
    cases: 0,
    tokens: 0,
    tracedCases: 0,
    taps: 0,
    tapsByValue: 0,
    tapsByDigest: 0,
    tapValues: 0,
    maskRows: 0,
    maskRowsAgainstReference: 0,
    rowsByValue: 0,
    rowsByDigest: 0,
    rowValues: 0,
    differingValues: 0,
    decodeSteps: 0,
    decodeRowsByValue: 0,
    decodeRowsByDigest: 0,
  };
  readonly worst: WorstMetrics = {
    maxAbs: null,
    mse: null,
    l2: null,
    meanAbs: null,
    kl: null,
    cosine: null,
    top1: null,
    top5: null,
    top10: null,
  };
  /** Filled by `shapes`, in the order of the cases. */
  readonly traces: TraceComparison[] = [];
  /** Filled by `firstLogit`, by case. */
  readonly #rows = new Map<LadderCase, RowOutcome[]>();
  readonly #options: LadderOptions;
  readonly #exact: boolean;
  readonly #thresholds: LadderThresholds;

  constructor(options: LadderOptions, exact: boolean, thresholds: LadderThresholds) {
    this.#options = options;
    this.#exact = exact;
    this.#thresholds = thresholds;
  }

  preflight(): RungOutcome {
    const { ours, reference, cases } = this.#options;
    const failures: LadderFailure[] = [];
    const fail = (
      code: LadderFailure['code'],
      message: string,
      details: LadderFailure['details'] = {},
      caseId: string | null = null,
    ) => failures.push({ rung: 'preflight', code, case: caseId, message, details });

    for (const [whose, identity] of [
      ['Our side', ours.identity],
      ['The reference', reference.identity],
    ] as const) {
      const lacks = missingIdentity(identity);
      if (lacks !== undefined) fail('IDENTITY_MISSING', `${whose} does not say its ${lacks}.`, { side: whose, lacks });
    }
    if (failures.length === 0 && ours.identity.model.sha256 !== reference.identity.model.sha256) {
      const [mine, theirs] = [ours.identity.model, reference.identity.model];
      fail(
        'MODEL_DIFFERS',
        `The reference computed ${theirs.file} (SHA-256 ${theirs.sha256}), ours is ${mine.file} (${mine.sha256}).`,
        { reference: { ...theirs }, ours: { ...mine } },
      );
    }
    if (cases.length === 0) fail('NO_CASES', 'There are no cases to compare. Give at least one.');
    const seen = new Set<string>();
    for (const { id, ids, greedyCount } of cases) {
      if (ids.length === 0) fail('BAD_CASE', `Case ${id} has no ids.`, {}, id);
      if (!(greedyCount > 0)) fail('BAD_CASE', `Case ${id} has no greedy ids.`, {}, id);
      if (seen.has(id)) fail('BAD_CASE', `Case ${id} is there twice.`, {}, id);
      seen.add(id);
    }
    this.counts.cases = cases.length;
    return { compared: cases.length, failures };
  }

  async tokens(): Promise<RungOutcome> {
    const failures: LadderFailure[] = [];
    await this.#eachCase('tokens', this.#options.cases, async ({ id, text, parseSpecial, ids }) => {
      let ours: readonly number[] = [];
      const error = await errorOf(this.#options.signal, async () => {
        ours = await this.#options.ours.tokenize(text, { parseSpecial, ...this.#signal });
      });
      if (error !== undefined) {
        failures.push({ rung: 'tokens', case: id, ...sideFailure('Our side', error) });
        return;
      }
      this.counts.tokens += ids.length;
      const index = firstDifference(ids, ours);
      if (index === undefined) return;
      const [theirId, ourId] = [ids[index] ?? null, ours[index] ?? null];
      failures.push({
        rung: 'tokens',
        code: 'TOKENS_DIFFER',
        case: id,
        message: `Tokens of ${id} differ first at index ${index}: the reference has ${theirId ?? 'none'}, ours ${ourId ?? 'none'} (${ids.length} and ${ours.length} ids).`,
        details: { index, reference: theirId, ours: ourId, referenceLength: ids.length, ourLength: ours.length },
      });
    });
    return { compared: this.counts.tokens, failures };
  }

  async shapes(): Promise<RungOutcome> {
    const { cases, ours, reference, signal } = this.#options;
    const traced = cases.filter(({ trace }) => trace);
    const failures: LadderFailure[] = [];
    await this.#eachCase('shapes', traced, async (ladderCase) => {
      const error = await errorOf(signal, async () => {
        const comparison = await compareTraces(ladderCase, ours, reference, signal);
        this.traces.push(comparison);
        this.counts.tracedCases++;
        this.counts.taps += comparison.taps;
        this.counts.tapsByValue += comparison.tapsByValue;
        this.counts.tapsByDigest += comparison.tapsByDigest;
        this.counts.tapValues += comparison.tapValues;
        this.counts.maskRows += comparison.maskRows;
        this.counts.maskRowsAgainstReference += comparison.maskRowsAgainstReference;
        if (comparison.shapeFailure !== undefined) failures.push(comparison.shapeFailure);
      });
      if (error !== undefined) failures.push({ rung: 'shapes', case: ladderCase.id, ...sideFailure('A side', error) });
    });
    return { compared: this.counts.taps, failures };
  }

  masks(): RungOutcome {
    return {
      compared: this.counts.maskRows,
      failures: this.traces.flatMap(({ maskFailure }) => maskFailure ?? []),
    };
  }

  /** Evaluates every case, because the rows of position 0 are judged first; `positions` judges the rest. */
  async firstLogit(): Promise<RungOutcome> {
    const { cases, ours, reference, signal } = this.#options;
    const failures: LadderFailure[] = [];
    let compared = 0;
    await this.#eachCase('first-logit', cases, async (ladderCase) => {
      const { id, ids, mode } = ladderCase;
      const evaluate = (side: Side) => (onLogits: Parameters<Side['evaluate']>[1]['onLogits']) =>
        side.evaluate(ids, { mode, onLogits, ...this.#signal });
      const positions = expectedPositions(mode, ids.length);
      const outcomes = await compareRowStreams(positions, evaluate(reference), evaluate(ours), signal);
      this.#rows.set(ladderCase, outcomes);
      for (const outcome of outcomes) this.#count(id, outcome);
      const first = outcomes.find(({ position }) => position === 0);
      if (first === undefined) return;
      compared++;
      const problem = judge(first, this.#thresholds.firstLogit);
      if (problem !== undefined) failures.push({ rung: 'first-logit', case: id, position: 0, ...problem });
    });
    return { compared, failures };
  }

  positions(): RungOutcome {
    const failures: LadderFailure[] = [];
    if (this.#exact) {
      for (const trace of this.traces) {
        const failure = tapFailure(trace);
        if (failure !== undefined) failures.push(failure);
      }
    }
    for (const [{ id }, outcomes] of this.#rows) {
      for (const outcome of outcomes) {
        const problem = judge(outcome, this.#thresholds.positions);
        if (problem === undefined) continue;
        failures.push({ rung: 'positions', case: id, position: outcome.position, ...problem });
        break;
      }
    }
    return { compared: this.counts.rowsByValue + this.counts.rowsByDigest, failures };
  }

  async decode(): Promise<RungOutcome> {
    const failures: LadderFailure[] = [];
    await this.#eachCase('decode', this.#options.cases, async (ladderCase) => {
      const failure = await this.#decodeCase(ladderCase);
      if (failure !== undefined) failures.push({ rung: 'decode', case: ladderCase.id, ...failure });
    });
    return { compared: this.counts.decodeSteps, failures };
  }

  async #decodeCase({
    id,
    ids,
    mode,
    greedyCount,
  }: LadderCase): Promise<Omit<LadderFailure, 'rung' | 'case'> | undefined> {
    const { ours, reference, signal } = this.#options;
    const greedy = new Map<Side, readonly number[]>();
    const decode = (side: Side) => async (onLogits: Parameters<Side['evaluate']>[1]['onLogits']) => {
      const common: { mode: EvaluationMode; count: number } = { mode, count: greedyCount };
      // Generated rows count only where every bit does; greedy ids have no tolerance anyway.
      const rows = this.#exact ? { onLogits } : {};
      greedy.set(side, await side.decode(ids, { ...common, ...rows, ...this.#signal }));
    };
    const positions = this.#exact ? Array.from({ length: greedyCount }, (_, step) => ids.length - 1 + step) : [];
    let outcomes: RowOutcome[] = [];
    const error = await errorOf(signal, async () => {
      if (this.#exact) outcomes = await compareRowStreams(positions, decode(reference), decode(ours), signal);
      else await Promise.all([decode(reference)(() => {}), decode(ours)(() => {})]);
    });
    if (error !== undefined) return sideFailure('A side', error);
    const [theirs, mine] = [greedy.get(reference), greedy.get(ours)];
    const failed = outcomes.flatMap((outcome) => {
      const problem = judge(outcome, this.#thresholds.positions);
      return problem === undefined ? [] : [{ position: outcome.position, ...problem }];
    });
    for (const { kind } of outcomes) {
      if (kind === 'value') this.counts.decodeRowsByValue++;
      if (kind === 'digest') this.counts.decodeRowsByDigest++;
    }
    // A side that threw is among the outcomes.
    if (theirs === undefined || mine === undefined) return failed[0];
    this.counts.decodeSteps += Math.min(theirs.length, mine.length, greedyCount);
    const step = firstDifference(theirs, mine);
    if (step !== undefined) {
      const [theirId, ourId] = [theirs[step] ?? null, mine[step] ?? null];
      return {
        code: 'GREEDY_DIFFERS',
        position: ids.length + step,
        message: `Greedy ids of ${id} differ first at step ${step}: the reference has ${theirId ?? 'none'}, ours ${ourId ?? 'none'}.`,
        details: { step, reference: theirId, ours: ourId, firstDifferingRow: failed[0]?.position ?? null },
      };
    }
    if (mine.length !== greedyCount) {
      const message = `Both sides gave ${mine.length} greedy ids of ${id}, not ${greedyCount}.`;
      return { code: 'GREEDY_SHORT', message, details: { expected: greedyCount, given: mine.length } };
    }
    return failed[0];
  }

  /** For spreading into options: absent and undefined are different under exactOptionalPropertyTypes. */
  get #signal(): { signal?: AbortSignal } {
    return this.#options.signal === undefined ? {} : { signal: this.#options.signal };
  }

  async #eachCase(
    rung: Rung,
    cases: readonly LadderCase[],
    compare: (ladderCase: LadderCase) => Promise<void>,
  ): Promise<void> {
    for (const [done, ladderCase] of cases.entries()) {
      this.#options.signal?.throwIfAborted();
      this.#options.onProgress?.({ rung, case: ladderCase.id, done, total: cases.length });
      await compare(ladderCase);
    }
  }

  #count(caseId: string, outcome: RowOutcome): void {
    if (outcome.kind === 'digest') this.counts.rowsByDigest++;
    if (outcome.kind !== 'value') return;
    const { metrics, position } = outcome;
    this.counts.rowsByValue++;
    this.counts.rowValues += metrics.count;
    this.counts.differingValues += metrics.differing;
    for (const metric of Object.keys(this.worst) as (keyof WorstMetrics)[]) {
      const value: RowMetrics[typeof metric] = metrics[metric];
      if (value === null) continue;
      const worst = this.worst[metric]?.value;
      const smallerIsWorse = metric === 'cosine' || metric.startsWith('top');
      if (worst === undefined || (smallerIsWorse ? value < worst : value > worst)) {
        this.worst[metric] = { value, case: caseId, position };
      }
    }
  }
}

function missingIdentity({ name, version, model }: SideIdentity): string | undefined {
  if (!name) return 'name';
  if (!version) return 'version';
  if (!model?.file) return 'model file';
  return /^[0-9a-f]{64}$/.test(model.sha256) ? undefined : 'model SHA-256 in lower-case hex';
}

function firstDifference(a: readonly number[], b: readonly number[]): number | undefined {
  for (let index = 0; index < Math.max(a.length, b.length); index++) if (a[index] !== b[index]) return index;
  return undefined;
}

/** Under `exact`: the first tap that differs, or that some could not be compared. */
function tapFailure(trace: TraceComparison): LadderFailure | undefined {
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
