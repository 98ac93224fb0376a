import type { Json } from '../json.ts';
import type { RowMetrics, TopEntry } from '../metrics.ts';
import type { OperationTable } from '../operations.ts';
import type { EvaluationMode, SideIdentity } from '../side.ts';
import type { LadderThresholds } from '../thresholds.ts';
import type { Cause } from '../why/causes.ts';
import type { Whereabouts } from './locate.ts';

/** The rungs in their order. The ladder stops at the first that fails. */
export const RUNGS = ['preflight', 'tokens', 'shapes', 'masks', 'first-logit', 'positions', 'decode'] as const;
export type Rung = (typeof RUNGS)[number];

export type LadderFailureCode =
  /** A side does not say who it is. */
  | 'IDENTITY_MISSING'
  | 'MODEL_DIFFERS'
  | 'NO_CASES'
  /** A case without ids or greedy ids, or with another's name. */
  | 'BAD_CASE'
  /** The rung had nothing to compare, which is not a pass. */
  | 'NOTHING_COMPARED'
  /** A side threw. */
  | 'SIDE_FAILED'
  | 'TOKENS_DIFFER'
  | 'TRACE_EMPTY'
  | 'TAP_MISSING'
  | 'TAP_UNEXPECTED'
  | 'TAP_ORDER_DIFFERS'
  | 'SHAPE_DIFFERS'
  /** The number of key/value cells is no multiple of 32 or too small. */
  | 'KV_CELLS'
  /** A position sees a later one. */
  | 'MASK_LEAK'
  /** One side gives a cell no weight, the other does, and no underflow explains it. */
  | 'MASK_DIFFERS'
  /** Under `exact`: an operation's result differs. */
  | 'TAP_DIFFERS'
  | 'ROW_MISSING'
  | 'ROW_UNEXPECTED'
  | 'ROW_LENGTH_DIFFERS'
  | 'ROW_EMPTY'
  | 'NON_FINITE'
  /** Neither values nor digests are there on both sides. */
  | 'NOT_COMPARABLE'
  /** Under `exact`: a bit of a row differs. */
  | 'LOGITS_DIFFER'
  | 'THRESHOLD_EXCEEDED'
  /** The digests differ and a side has no values, so that how far is not known. */
  | 'DIGEST_DIFFERS'
  | 'TOP_DIFFERS'
  | 'GREEDY_DIFFERS'
  /** A generated id is not the largest logit of its own row. */
  | 'GREEDY_NOT_LARGEST'
  | 'GREEDY_SHORT';

export interface LadderFailure {
  readonly rung: Rung;
  readonly code: LadderFailureCode;
  /** Id of the case; null where the failure is not of one case. */
  readonly case: string | null;
  readonly position?: number;
  readonly message: string;
  readonly details: { readonly [key: string]: Json };
}

/** The first operation, in execution order, whose result differs in a bit. */
export interface TapDifference {
  readonly case: string;
  /** In the reference's execution order. */
  readonly index: number;
  readonly name: string;
  readonly occurrence: number;
  readonly step: number;
  /** Flat index into the tap's values; null where only digests could be compared. */
  readonly element: number | null;
  /** A string for what JSON has no number for: NaN, infinities and -0. */
  readonly reference: number | string | null;
  readonly ours: number | string | null;
  /** How many of the tap's values differ; null where only digests could be compared. */
  readonly differing: number | null;
}

export interface RungResult {
  readonly rung: Rung;
  /** `skipped`: nobody asked for it. `not-run`: an earlier one failed. */
  readonly status: 'pass' | 'fail' | 'not-run' | 'skipped';
  /** Cases, ids, taps, mask rows, rows of logits or greedy steps. */
  readonly compared: number;
}

export interface LadderCounts {
  cases: number;
  tokens: number;
  tracedCases: number;
  /** Operations whose place and shape were compared. */
  taps: number;
  tapsByValue: number;
  tapsByDigest: number;
  tapValues: number;
  /** Rows of attention probabilities: one head at one position. */
  maskRows: number;
  /** Of these, rows whose zeros were also compared with the reference's: it has values, and our trace has the scores. */
  maskRowsAgainstReference: number;
  /** Prompt positions. */
  rowsByValue: number;
  rowsByDigest: number;
  rowValues: number;
  differingValues: number;
  decodeSteps: number;
  decodeRowsByValue: number;
  decodeRowsByDigest: number;
}

/** The worst value of a metric over the prompt positions compared by value, and where it is. */
export interface WorstMetric {
  readonly value: number;
  readonly case: string;
  readonly position: number;
}

export type WorstMetrics = Record<
  'maxAbs' | 'mse' | 'l2' | 'meanAbs' | 'kl' | 'cosine' | 'top1' | 'top5' | 'top10',
  WorstMetric | null
>;

/** What was compared. */
export interface CaseReport {
  readonly id: string;
  readonly text: string;
  readonly mode: EvaluationMode;
  readonly ids: readonly number[];
  /** The ids as text; null where nobody knows. */
  readonly pieces: readonly string[] | null;
}

/** One prompt position. */
export interface RowReport {
  readonly case: string;
  readonly position: number;
  /** The id at this position. */
  readonly token: number;
  readonly comparedBy: 'value' | 'digest' | 'nothing';
  readonly metrics: RowMetrics | null;
  /** The five largest logits of each side. */
  readonly top: { readonly reference: readonly TopEntry[]; readonly ours: readonly TopEntry[] } | null;
  /** False where the rung that judges it did not run. */
  readonly judged: boolean;
  /** Why it fails; null where it passes or was not judged. */
  readonly failure: LadderFailureCode | null;
}

/** One generated id. */
export interface DecodeStep {
  readonly case: string;
  readonly step: number;
  readonly reference: number | null;
  readonly ours: number | null;
  /** Between the two largest logits of each side; null where the row is not known. */
  readonly referenceGap: number | null;
  readonly ourGap: number | null;
  /** How far the rows are from which the ids were taken; null where one is not known. */
  readonly maxAbs: number | null;
}

/** Some logits of the row of a case that differs most. */
export interface Scatter {
  readonly case: string;
  readonly position: number;
  readonly points: readonly { readonly id: number; readonly reference: number; readonly ours: number }[];
}

/** How far the reference is from itself, evaluated in another way. */
export interface NoiseReport {
  /** What was compared, for people: `batch-all against sequential`. */
  readonly what: string;
  readonly rows: number;
  /** Worst over the rows of position 0, and over all others. */
  readonly firstLogit: Readonly<Partial<Record<keyof WorstMetrics, number>>>;
  readonly positions: Readonly<Partial<Record<keyof WorstMetrics, number>>>;
}

/** JSON-safe: it holds no NaN and no infinity. */
export interface LadderReport {
  readonly format: 'bittern-ladder';
  readonly version: 1;
  readonly verdict: 'pass' | 'fail';
  readonly exact: boolean;
  readonly thresholds: LadderThresholds;
  readonly ours: SideIdentity;
  readonly reference: SideIdentity;
  readonly cases: readonly CaseReport[];
  readonly rungs: readonly RungResult[];
  /** Of the rung that failed: the first failure of each case. */
  readonly failures: readonly LadderFailure[];
  readonly counts: Readonly<LadderCounts>;
  /** Over all prompt positions compared by value; null where there is none. */
  readonly maxAbs: number | null;
  readonly worst: WorstMetrics;
  /** Found whenever traces were compared, also where tolerances let it pass. */
  readonly firstDivergence: TapDifference | null;
  readonly rows: readonly RowReport[];
  /** Ids that rows and generated ids name, as text; empty where nobody knows. */
  readonly pieces: { readonly [id: string]: string };
  readonly decode: readonly DecodeStep[];
  /** For each case with values. */
  readonly scatter: readonly Scatter[];
  /** After a failure: which operation differs first, with the last equal one. Null where traces could not tell. */
  readonly where: Whereabouts | null;
  /** Which traces could not be compared for `where`, and why. */
  readonly whereNotes: readonly string[];
  /** After a failure: probable causes, the most probable first. */
  readonly why: readonly Cause[];
  /** With `perOp`: each of our operations on the reference's own inputs. */
  readonly operations: OperationTable | null;
  /** With `calibrate`. */
  readonly noise: readonly NoiseReport[];
}
