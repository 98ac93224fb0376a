import { CrossvalError } from '../errors.ts';
import { jsonNumber } from '../json.ts';
import { compareTap, type TapMetrics } from './compare-tap.ts';
import {
  elementsOf,
  keyOf,
  labelOf,
  layerOf,
  layoutOf,
  sameShape,
  type StepTokens,
  tokensOfSteps,
} from './tap-layout.ts';
import type { TracedTap, TraceView } from './trace-view.ts';

export interface DiffOptions {
  /**
   * Largest difference that passes, relative to the largest value of the operation's result. Default: none, every bit
   * must be equal.
   */
  readonly tolerance?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An operation as a report names it. */
export interface TapReference {
  /** In the reference's execution order. */
  readonly index: number;
  readonly name: string;
  readonly occurrence: number;
  readonly step: number;
  /** Null for an operation of no layer. */
  readonly layer: number | null;
}

/** An operation whose result differs. */
export interface TapDeviation extends TapReference {
  readonly shape: readonly number[];
  /** Null where only digests could be compared. */
  readonly metrics: TapMetrics | null;
  /** The first element that differs; null where only digests could be compared. */
  readonly element: {
    /** Into the flat values. */
    readonly index: number;
    readonly position: number;
    /** A string for what JSON has no number for: NaN, infinities and -0. */
    readonly reference: number | string;
    readonly ours: number | string;
  } | null;
}

/** How far the residual stream has drifted after a layer. */
export interface LayerDrift {
  readonly name: string;
  /** Null for the embedding and what follows the last layer. */
  readonly layer: number | null;
  /** Euclidean norm of the difference over that of the reference; null where it is not known or not finite. */
  readonly relative: number | null;
  /** The same for each position. */
  readonly positions: readonly { readonly position: number; readonly relative: number | null }[];
}

export interface TraceDiff {
  /** `within`: bits differ, and the tolerance lets it pass. */
  readonly verdict: 'equal' | 'within' | 'differs';
  readonly tolerance: number | null;
  /** Operations compared, of which by values and by digests only. */
  readonly compared: number;
  readonly byValue: number;
  readonly byDigest: number;
  /** Operations that differ in a bit. */
  readonly differing: number;
  /** The first operation beyond the tolerance; under `within` the first that differs at all. */
  readonly first: TapDeviation | null;
  /** The last operation before `first`, in execution order, with no differing bit. */
  readonly lastEqual: TapReference | null;
  /** Residual stream by layer, in execution order. */
  readonly drift: readonly LayerDrift[];
}

/** The residual stream from the embedding to the logits. */
export const RESIDUAL: RegExp = /^(?:inp_embd|l_out-\d+|result_norm|result_output)$/;

/**
 * Joins two traces by name, occurrence and step in the reference's execution order, and compares every operation.
 * Operations that one view only passed by (without a digest) are left out on both sides.
 *
 * @throws CrossvalError CROSSVAL_TRACES_UNMATCHED where an operation of one trace has no like in the other, or ids or
 *   modes differ; CROSSVAL_TRACE_EMPTY where nothing can be compared
 */
export async function diffTraces(reference: TraceView, ours: TraceView, options: DiffOptions = {}): Promise<TraceDiff> {
  const { tolerance, signal } = options;
  if (tolerance !== undefined && !(tolerance >= 0)) {
    throw new RangeError(`tolerance ${tolerance} is not a number from 0 up.`);
  }
  const ourTaps = matched(reference, ours);
  const steps = tokensOfSteps(reference.taps, reference.mode);
  const counts = { compared: 0, byValue: 0, byDigest: 0, differing: 0 };
  const drift: LayerDrift[] = [];
  const equal: TapReference[] = [];
  let first: TapDeviation | null = null;
  let beyond: TapDeviation | null = null;
  for (const [index, theirs] of reference.taps.entries()) {
    signal?.throwIfAborted();
    const mine = ourTaps[index]!;
    if (theirs.sha256 === undefined || mine.sha256 === undefined) continue;
    counts.compared++;
    const step = steps.get(theirs.step)!;
    const { deviation, byValue, drift: drifted } = await compareTaps(reference, ours, theirs, mine, index, step);
    counts[byValue ? 'byValue' : 'byDigest']++;
    if (RESIDUAL.test(theirs.name)) drift.push(drifted);
    if (deviation === undefined) {
      equal.push(referenceTo(theirs, index));
      continue;
    }
    counts.differing++;
    first ??= deviation;
    if (!withinTolerance(deviation.metrics, tolerance)) beyond ??= deviation;
  }
  if (counts.compared === 0) {
    throw new CrossvalError('CROSSVAL_TRACE_EMPTY', 'The traces have no operation that both kept.');
  }
  const told = beyond ?? first;
  return {
    verdict: beyond !== null ? 'differs' : first === null ? 'equal' : 'within',
    tolerance: tolerance ?? null,
    ...counts,
    first: told,
    lastEqual: equal.findLast(({ index }) => told === null || index < told.index) ?? null,
    drift,
  };
}

/** One operation of both sides. `deviation` is undefined where every bit is equal and finite. */
async function compareTaps(
  reference: TraceView,
  ours: TraceView,
  theirs: TracedTap,
  mine: TracedTap,
  index: number,
  step: StepTokens,
): Promise<{ deviation: TapDeviation | undefined; byValue: boolean; drift: LayerDrift }> {
  const place = referenceTo(theirs, index);
  // Equal bits of which one side is known to be finite need no look at the values.
  const sure = theirs.sha256 === mine.sha256 && (theirs.nonFinite === 0 || mine.nonFinite === 0);
  const values = sure ? [] : await Promise.all([reference.values(theirs), ours.values(mine)]);
  const [a, b] = values;
  if (a === undefined || b === undefined) {
    const equal = theirs.sha256 === mine.sha256 && !((theirs.nonFinite ?? 0) > 0 || (mine.nonFinite ?? 0) > 0);
    const deviation = equal ? undefined : { ...place, shape: theirs.shape, metrics: null, element: null };
    return { deviation, byValue: false, drift: driftByDigest(theirs, step, equal) };
  }
  const metrics = compareTap(a, b);
  const drift = driftOf(theirs, step, a, b, metrics);
  const at = metrics.firstDiffering;
  if (at === null) return { deviation: undefined, byValue: true, drift };
  const element = {
    index: at,
    position: layoutOf(theirs, step).positionOf(at),
    reference: jsonNumber(a[at]!),
    ours: jsonNumber(b[at]!),
  };
  return { deviation: { ...place, shape: theirs.shape, metrics, element }, byValue: true, drift };
}

/** Our operation for each of the reference's. */
function matched(reference: TraceView, ours: TraceView): readonly TracedTap[] {
  const unmatched = (what: string): CrossvalError =>
    new CrossvalError(
      'CROSSVAL_TRACES_UNMATCHED',
      `The traces do not match: ${what}. Trace the same ids in the same mode on both sides.`,
    );
  if (reference.mode !== ours.mode) throw unmatched(`modes ${reference.mode} and ${ours.mode}`);
  if (reference.ids.length !== ours.ids.length || reference.ids.some((id, index) => id !== ours.ids[index])) {
    throw unmatched(`their ids differ (${reference.ids.length} and ${ours.ids.length})`);
  }
  const byKey = new Map(ours.taps.map((tap) => [keyOf(tap), tap]));
  // A recording may have kept some steps only; ours are compared for those.
  const steps = new Set(reference.taps.map(({ step }) => step));
  const taps = reference.taps.map((theirs) => {
    const mine = byKey.get(keyOf(theirs));
    if (mine === undefined) throw unmatched(`ours has no ${labelOf(theirs)}`);
    if (!sameShape(theirs.shape, mine.shape)) {
      throw unmatched(
        `${labelOf(theirs)} is [${theirs.shape.join(', ')}] in the reference, [${mine.shape.join(', ')}] in ours`,
      );
    }
    byKey.delete(keyOf(theirs));
    return mine;
  });
  const extra = [...byKey.values()].find(({ step }) => steps.has(step));
  if (extra !== undefined) throw unmatched(`the reference has no ${labelOf(extra)}`);
  return taps;
}

function referenceTo({ name, occurrence, step }: TracedTap, index: number): TapReference {
  return { index, name, occurrence, step, layer: layerOf(name) };
}

/** Written so that what is not known or not a number is never within. */
function withinTolerance(metrics: TapMetrics | null, tolerance: number | undefined): boolean {
  if (metrics === null || tolerance === undefined) return false;
  const { maxAbs, referenceMax } = metrics;
  return maxAbs !== null && referenceMax !== null && maxAbs <= tolerance * referenceMax;
}

function driftByDigest(tap: TracedTap, step: StepTokens, equal: boolean): LayerDrift {
  const { positions } = layoutOf(tap, step);
  const relative = equal ? 0 : null;
  return {
    name: tap.name,
    layer: layerOf(tap.name),
    relative,
    positions: positions.map((position) => ({ position, relative })),
  };
}

function driftOf(
  tap: TracedTap,
  step: StepTokens,
  reference: Float32Array,
  ours: Float32Array,
  metrics: TapMetrics,
): LayerDrift {
  const { positions } = layoutOf(tap, step);
  const width = elementsOf(tap.shape) / positions.length;
  return {
    name: tap.name,
    layer: layerOf(tap.name),
    relative: metrics.relative,
    positions: positions.map((position, row) => {
      const [a, b] = [reference, ours].map((values) => values.subarray(row * width, (row + 1) * width));
      return { position, relative: compareTap(a!, b!).relative };
    }),
  };
}
