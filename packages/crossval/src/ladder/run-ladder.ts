import { expectedPositions, type LadderCase } from '../case.ts';
import type { RowMetrics } from '../metrics.ts';
import type { Side } from '../side.ts';
import {
  EXACT_THRESHOLDS,
  type LadderThresholds,
  largerIsBetter,
  PLAYBOOK_THRESHOLDS,
  type RowLimits,
} from '../thresholds.ts';
import { compareRowStreams, errorOf, judge, type OnPair, type RowOutcome, sideFailure } from './compare-row-streams.ts';
import { checkSides } from './check-sides.ts';
import { compareTokens } from './compare-tokens.ts';
import { compareTraces, tapFailure, type TraceComparison } from './compare-traces.ts';
import { decodeCase } from './decode-case.ts';
import { lookInto } from './look-into.ts';
import {
  type DecodeStep,
  type LadderCounts,
  type LadderFailure,
  type LadderReport,
  type NoiseReport,
  type RowReport,
  type Rung,
  type RungResult,
  RUNGS,
  type Scatter,
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
  /** Runs at the same time as `ours`: an engine needs a session for each. */
  readonly reference: Side;
  readonly cases: readonly LadderCase[];
  /** Default: the playbook's. Not used under `exact`. */
  readonly thresholds?: LadderThresholds;
  /** Every bit of every row, generated row and traced operation must be equal. Default: false. */
  readonly exact?: boolean;
  /** Which rungs are climbed, in their own order. Default: all. */
  readonly rungs?: readonly Rung[];
  /** Whether both sides must have the same model file. Default: true. */
  readonly sameModel?: boolean;
  /** Which prompt positions are compared. Default: all. */
  readonly positions?: { readonly from?: number; readonly count?: number };
  /** Whether a failure is looked into: both sides are traced again, and run twice. Default: true. */
  readonly explain?: boolean;
  /** Values of one side's trace held at a time, in bytes, when a failure is looked into. Default: 256 MiB. */
  readonly traceBudgetBytes?: number;
  /** Also feed each of our operations the reference's own inputs. Default: false. */
  readonly perOp?: boolean;
  /** Noise of the reference, as it was measured: part of the report. */
  readonly noise?: readonly NoiseReport[];
  /** Pieces of ids, for people; asked of our side's tokenizer. */
  readonly piece?: (id: number) => string;
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
 * first rung that fails; nothing to compare is a failure. After a failure it looks for where and why.
 *
 * @returns a report, also where a side throws. It rejects only with `signal.reason`.
 */
export async function runLadder(options: LadderOptions): Promise<LadderReport> {
  const exact = options.exact ?? false;
  const thresholds = exact ? EXACT_THRESHOLDS : (options.thresholds ?? PLAYBOOK_THRESHOLDS);
  const wanted = new Set(options.rungs ?? RUNGS);
  if (wanted.size === 0) throw new RangeError('rungs is empty, so that nothing could fail. Give at least one.');
  if (wanted.has('first-logit')) requireLimits(thresholds.firstLogit, 'firstLogit');
  if (wanted.has('positions')) requireLimits(thresholds.positions, 'positions');
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
    if (failures.length > 0 || !wanted.has(rung)) {
      rungs.push({ rung, status: wanted.has(rung) ? 'not-run' : 'skipped', compared: 0 });
      continue;
    }
    options.signal?.throwIfAborted();
    const outcome = await climb[rung]();
    failures = outcome.failures;
    if (failures.length === 0 && !(outcome.compared > 0)) failures = [nothingCompared(rung)];
    rungs.push({ rung, status: failures.length === 0 ? 'pass' : 'fail', compared: outcome.compared });
  }
  const found = await lookInto(failures[0], ladder.steps, options);
  const ran = (rung: Rung): boolean => rungs.some((of) => of.rung === rung && /^(?:pass|fail)$/.test(of.status));
  const rows = ladder.rowReports((position) => ran('positions') || (position === 0 && ran('first-logit')));
  return {
    format: 'bittern-ladder',
    version: 1,
    verdict: failures.length === 0 ? 'pass' : 'fail',
    exact,
    thresholds,
    ours: options.ours.identity,
    reference: options.reference.identity,
    cases: options.cases.map(({ id, text, mode, ids }) => {
      const { piece } = options;
      return { id, text, mode, ids, pieces: piece === undefined ? null : ids.map((at) => piece(at)) };
    }),
    rungs,
    failures,
    counts: ladder.counts,
    maxAbs: ladder.worst.maxAbs?.value ?? null,
    worst: ladder.worst,
    firstDivergence: ladder.traces.find(({ divergence }) => divergence !== undefined)?.divergence ?? null,
    rows,
    pieces: piecesOf(rows, ladder.steps, options.piece),
    decode: ladder.steps,
    scatter: ladder.scatters(),
    ...found,
    noise: options.noise ?? [],
  };
}

function piecesOf(
  rows: readonly RowReport[],
  steps: readonly DecodeStep[],
  piece: LadderOptions['piece'],
): LadderReport['pieces'] {
  if (piece === undefined) return {};
  const ids = new Set([
    ...rows.flatMap(({ top }) => [...(top?.reference ?? []), ...(top?.ours ?? [])].map(({ id }) => id)),
    ...steps.flatMap(({ reference, ours }) => [reference ?? [], ours ?? []].flat()),
  ]);
  return Object.fromEntries(Array.from(ids, (id) => [id, piece(id)]));
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

/** Points of a scatter plot: evenly spaced ids. */
const SCATTER_POINTS = 512;

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
  /** In the order of the cases. */
  readonly traces: TraceComparison[] = [];
  readonly steps: DecodeStep[] = [];
  #tracing: Promise<readonly LadderFailure[]> | undefined;
  #evaluating: Promise<void> | undefined;
  readonly #rows = new Map<LadderCase, RowOutcome[]>();
  readonly #failures = new Map<RowOutcome, LadderFailure['code']>();
  readonly #scatters = new Map<string, Scatter & { maxAbs: number }>();
  readonly #options: LadderOptions;
  readonly #exact: boolean;
  readonly #thresholds: LadderThresholds;

  constructor(options: LadderOptions, exact: boolean, thresholds: LadderThresholds) {
    this.#options = options;
    this.#exact = exact;
    this.#thresholds = thresholds;
  }

  preflight(): RungOutcome {
    this.counts.cases = this.#options.cases.length;
    return { compared: this.counts.cases, failures: checkSides(this.#options) };
  }

  async tokens(): Promise<RungOutcome> {
    const { cases, ours, piece, signal } = this.#options;
    const failures: LadderFailure[] = [];
    await this.#eachCase('tokens', cases, async (ladderCase) => {
      const failure = await compareTokens(ladderCase, ours, piece, signal);
      if (failure === undefined || failure.code === 'TOKENS_DIFFER') this.counts.tokens += ladderCase.ids.length;
      if (failure !== undefined) failures.push(failure);
    });
    return { compared: this.counts.tokens, failures };
  }

  async shapes(): Promise<RungOutcome> {
    const failures = await this.#traceAll();
    return { compared: this.counts.taps, failures };
  }

  async masks(): Promise<RungOutcome> {
    await this.#traceAll();
    return {
      compared: this.counts.maskRows,
      failures: this.traces.flatMap(({ maskFailure }) => maskFailure ?? []),
    };
  }

  /** Judges position 0; `positions` judges the rest. */
  async firstLogit(): Promise<RungOutcome> {
    await this.#evaluateAll('first-logit');
    const failures: LadderFailure[] = [];
    let compared = 0;
    for (const [{ id }, outcomes] of this.#rows) {
      const first = outcomes.find(({ position }) => position === 0);
      if (first === undefined) continue;
      compared++;
      const problem = judge(first, this.#thresholds.firstLogit);
      if (problem === undefined) continue;
      this.#failures.set(first, problem.code);
      failures.push({ rung: 'first-logit', case: id, position: 0, ...problem });
    }
    return { compared, failures };
  }

  async positions(): Promise<RungOutcome> {
    await this.#evaluateAll('positions');
    const failures: LadderFailure[] = [];
    if (this.#exact) {
      for (const trace of this.traces) {
        const failure = tapFailure(trace);
        if (failure !== undefined) failures.push(failure);
      }
    }
    for (const [{ id }, outcomes] of this.#rows) {
      let told = false;
      for (const outcome of outcomes) {
        const problem = judge(outcome, this.#thresholds.positions);
        if (problem === undefined) continue;
        this.#failures.set(outcome, problem.code);
        if (!told) failures.push({ rung: 'positions', case: id, position: outcome.position, ...problem });
        told = true;
      }
    }
    return { compared: this.counts.rowsByValue + this.counts.rowsByDigest, failures };
  }

  async decode(): Promise<RungOutcome> {
    const { cases, ours, reference, signal } = this.#options;
    const failures: LadderFailure[] = [];
    // Generated rows count only where every bit does; greedy ids have no tolerance anyway.
    const limits = this.#exact ? this.#thresholds.positions : undefined;
    await this.#eachCase('decode', cases, async (ladderCase) => {
      const { steps, rowsByValue, rowsByDigest, failure } = await decodeCase(
        ladderCase,
        ours,
        reference,
        limits,
        signal,
      );
      this.steps.push(...steps);
      this.counts.decodeSteps += Math.min(steps.length, ladderCase.greedyCount);
      this.counts.decodeRowsByValue += rowsByValue;
      this.counts.decodeRowsByDigest += rowsByDigest;
      if (failure !== undefined) failures.push({ rung: 'decode', case: ladderCase.id, ...failure });
    });
    return { compared: this.counts.decodeSteps, failures };
  }

  /** @param judged - whether the rung that judges a position has run */
  rowReports(judged: (position: number) => boolean): RowReport[] {
    return [...this.#rows].flatMap(([{ id, ids }, outcomes]) =>
      outcomes.map((outcome): RowReport => {
        const { kind, position } = outcome;
        const failure = this.#failures.get(outcome) ?? (kind === 'problem' ? outcome.problem.code : null);
        return {
          case: id,
          position,
          token: ids[position] ?? -1,
          comparedBy: kind === 'problem' ? 'nothing' : kind,
          metrics: kind === 'value' ? outcome.metrics : null,
          top: kind === 'value' ? outcome.top : null,
          judged: judged(position),
          failure,
        };
      }),
    );
  }

  scatters(): Scatter[] {
    return Array.from(this.#scatters.values(), ({ case: id, position, points }) => ({ case: id, position, points }));
  }

  /** Runs and compares every trace, once; gives the failures of rung `shapes`. */
  #traceAll(): Promise<readonly LadderFailure[]> {
    this.#tracing ??= this.#compareTraces();
    return this.#tracing;
  }

  async #compareTraces(): Promise<readonly LadderFailure[]> {
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
    return failures;
  }

  /** Evaluates and compares every case, once. */
  #evaluateAll(rung: Rung): Promise<void> {
    this.#evaluating ??= this.#compareRows(rung);
    return this.#evaluating;
  }

  async #compareRows(rung: Rung): Promise<void> {
    const { cases, ours, reference, signal, positions: { from = 0, count = Infinity } = {} } = this.#options;
    await this.#eachCase(rung, cases, async (ladderCase) => {
      const { id, ids, mode } = ladderCase;
      const evaluate = (side: Side) => (onLogits: Parameters<Side['evaluate']>[1]['onLogits']) =>
        side.evaluate(ids, { mode, onLogits, ...this.#signal });
      const outcomes = await compareRowStreams(
        expectedPositions(mode, ids.length),
        (position) => position >= from && position < from + count,
        evaluate(reference),
        evaluate(ours),
        { onPair: this.#scatterOf(id), signal },
      );
      this.#rows.set(ladderCase, outcomes);
      for (const outcome of outcomes) this.#count(id, outcome);
    });
  }

  /** Keeps some logits of the row that differs most. */
  #scatterOf(id: string): OnPair {
    return (position, reference, ours, { maxAbs }) => {
      const before = this.#scatters.get(id);
      if (before !== undefined && maxAbs <= before.maxAbs) return;
      const stride = Math.max(1, Math.ceil(reference.length / SCATTER_POINTS));
      const points = Array.from({ length: Math.ceil(reference.length / stride) }, (_, index) => {
        const at = index * stride;
        return { id: at, reference: reference[at]!, ours: ours[at]! };
      });
      this.#scatters.set(id, { case: id, position, points, maxAbs });
    };
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
      if (worst === undefined || (largerIsBetter(metric) ? value < worst : value > worst)) {
        this.worst[metric] = { value, case: caseId, position };
      }
    }
  }
}
