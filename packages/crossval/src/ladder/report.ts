import type { Json } from '../json.ts';
import type { SideIdentity } from '../side.ts';
import type { LadderThresholds } from '../thresholds.ts';

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
  /** One side gives a cell no weight, the other does. */
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
  readonly status: 'pass' | 'fail' | 'not-run';
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
  /** Of these, rows whose zero pattern was also compared with the reference's. */
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

/** JSON-safe: it holds no NaN and no infinity. */
export interface LadderReport {
  readonly format: 'bittern-ladder';
  readonly version: 1;
  readonly verdict: 'pass' | 'fail';
  readonly exact: boolean;
  readonly thresholds: LadderThresholds;
  readonly ours: SideIdentity;
  readonly reference: SideIdentity;
  readonly rungs: readonly RungResult[];
  /** Of the rung that failed: the first failure of each case. */
  readonly failures: readonly LadderFailure[];
  readonly counts: Readonly<LadderCounts>;
  /** Over all prompt positions compared by value; null where there is none. */
  readonly maxAbs: number | null;
  readonly worst: WorstMetrics;
  /** Found whenever traces were compared, also where tolerances let it pass. */
  readonly firstDivergence: TapDifference | null;
}
