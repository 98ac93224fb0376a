import { CrossvalError } from './errors.ts';
import type { EvaluationMode, Side } from './side.ts';
import { compareTap, type TapMetrics } from './trace/compare-tap.ts';
import { type TapKind, tapKindOf } from './trace/tap-kind.ts';
import { keyOf, type TapPlace } from './trace/tap-layout.ts';
import type { TraceView } from './trace/trace-view.ts';

/** One of our operations on the reference's own inputs. */
export interface OperationResult extends TapPlace {
  /** In the reference's execution order. */
  readonly index: number;
  readonly kind: TapKind;
  readonly layer: number | null;
  /**
   * False where the operation shares a kernel with the one before it and so reads our own result of that, not the
   * reference's: a difference may then be the other's.
   */
  readonly fed: boolean;
  readonly metrics: TapMetrics;
}

/** Each of our operations, fed with the reference's own values, so that one broken operation does not hide the next. */
export interface OperationTable {
  readonly mode: EvaluationMode;
  readonly ids: readonly number[];
  readonly compared: number;
  /** Operations of which the reference has no values: nothing can be fed or compared there. */
  readonly without: number;
  /** By kind of operation, in order of first appearance. */
  readonly kinds: readonly OperationKind[];
  /** Those with a differing bit, in execution order. */
  readonly inexact: readonly OperationResult[];
}

export interface OperationKind {
  readonly kind: TapKind;
  readonly compared: number;
  readonly exact: number;
  /** Largest distance in f32 steps, null where a value is NaN. */
  readonly maxUlp: number | null;
  readonly maxAbs: number | null;
}

/** The last of these before an operation is computed with it in one kernel. */
const SAME_KERNEL: Partial<Record<TapKind, readonly TapKind[]>> = {
  gamma: ['normalize'],
  softmax: ['scores'],
  values: ['scores', 'softmax'],
  merge: ['scores', 'softmax', 'values'],
  square: ['activation'],
  gate: ['activation', 'square'],
};

/**
 * Feeds each of our operations the reference's own inputs and compares what it makes of them.
 *
 * @param reference - a trace with values
 * @throws CrossvalError CROSSVAL_TRACE_EMPTY where the reference has no values, CROSSVAL_NOT_COMPARABLE where our side
 *   cannot be fed
 */
export async function compareOperations(
  ours: Side,
  reference: TraceView,
  signal?: AbortSignal,
): Promise<OperationTable> {
  const { replay } = ours;
  if (replay === undefined) {
    throw new CrossvalError('CROSSVAL_NOT_COMPARABLE', `${ours.identity.name} cannot be fed another side's values.`);
  }
  const theirs = new Map<string, { index: number; values: Float32Array }>();
  for (const [index, tap] of reference.taps.entries()) {
    const values = await reference.values(tap);
    if (values !== undefined) theirs.set(keyOf(tap), { index, values });
  }
  if (theirs.size === 0) {
    throw new CrossvalError(
      'CROSSVAL_TRACE_EMPTY',
      'The reference has digests of its operations, no values to feed ours with. Record a trace with values.',
    );
  }
  const results: OperationResult[] = [];
  const seen = new Set<string>();
  const brokenInKernel = new Map<string, Set<TapKind>>();
  await replay.call(ours, reference.ids, {
    mode: reference.mode,
    ...(signal === undefined ? {} : { signal }),
    feed: (tap) => theirs.get(keyOf(tap))?.values,
    onTap(tap) {
      const key = keyOf(tap);
      const expected = theirs.get(key);
      if (expected === undefined || tap.data === undefined) return;
      seen.add(key);
      if (tap.data.length !== expected.values.length) {
        throw new CrossvalError(
          'CROSSVAL_LENGTH_MISMATCH',
          `${tap.name} has ${tap.data.length} values on our side and ${expected.values.length} in the reference.`,
        );
      }
      const kind = tapKindOf(tap);
      const layer = /-(\d+)$/.exec(tap.name)?.[1];
      const metrics = compareTap(expected.values, tap.data);
      const kernel = `${tap.step} ${layer ?? ''}`;
      const broken = brokenInKernel.get(kernel) ?? new Set<TapKind>();
      // A norm begins a kernel of its own, as the first of each group does.
      if (kind === 'normalize' || kind === 'scores' || kind === 'activation') broken.clear();
      const fed = !(SAME_KERNEL[kind] ?? []).some((earlier) => broken.has(earlier));
      if (metrics.firstDiffering !== null) broken.add(kind);
      brokenInKernel.set(kernel, broken);
      const { name, occurrence, step } = tap;
      const place = { index: expected.index, name, occurrence, step };
      results.push({ ...place, kind, layer: layer === undefined ? null : Number(layer), fed, metrics });
    },
  });
  const missing = [...theirs.keys()].find((key) => !seen.has(key));
  if (missing !== undefined) {
    throw new CrossvalError(
      'CROSSVAL_TRACES_UNMATCHED',
      `Our side has no operation like the reference's "${missing}".`,
    );
  }
  const kinds = [...new Set(results.map(({ kind }) => kind))].map((kind): OperationKind => {
    const of = results.filter((result) => result.kind === kind);
    const worst = (pick: (metrics: TapMetrics) => number | null): number | null =>
      of.some(({ metrics }) => pick(metrics) === null) ? null : Math.max(...of.map(({ metrics }) => pick(metrics)!));
    return {
      kind,
      compared: of.length,
      exact: of.filter(({ metrics }) => metrics.firstDiffering === null).length,
      maxUlp: worst(({ maxUlp }) => maxUlp),
      maxAbs: worst(({ maxAbs }) => maxAbs),
    };
  });
  return {
    mode: reference.mode,
    ids: reference.ids,
    compared: results.length,
    without: reference.taps.length - theirs.size,
    kinds,
    inexact: results.filter(({ metrics }) => metrics.firstDiffering !== null),
  };
}
