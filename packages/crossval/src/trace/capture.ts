import { CrossvalError } from '../errors.ts';
import { firstNonFinite } from '../metrics.ts';
import { sha256OfFloats } from '../sha256.ts';
import type { EvaluationMode, Side, TraceTap } from '../side.ts';
import { elementsOf, keyOf, labelOf } from './tap-layout.ts';
import type { TracedTap, TraceView } from './trace-view.ts';

export interface CaptureOptions {
  readonly mode: EvaluationMode;
  /** Which operations are held; the others are only passed by. Default: all. `index` counts from 0 in execution order. */
  readonly keep?: (tap: TraceTap, index: number) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a side's trace and holds what it computed in memory.
 *
 * @throws CrossvalError CROSSVAL_TRACE_EMPTY, CROSSVAL_BAD_TRACE; and what the side throws
 */
export async function captureTrace(side: Side, ids: readonly number[], options: CaptureOptions): Promise<TraceView> {
  const { mode, keep = () => true, signal } = options;
  const taps: (TracedTap & { sha256?: string })[] = [];
  const held = new Map<string, Float32Array>();
  const digests: Promise<void>[] = [];
  await side.trace(ids, {
    mode,
    ...(signal === undefined ? {} : { signal }),
    onTap(tap) {
      const { name, occurrence, step, shape, data, sha256 } = tap;
      const index = taps.length;
      if (!keep(tap, index)) {
        taps.push({ name, occurrence, step, shape: [...shape] });
        return;
      }
      if (data !== undefined && data.length !== elementsOf(shape)) {
        throw new CrossvalError(
          'CROSSVAL_BAD_TRACE',
          `${labelOf(tap)} has ${data.length} values for its shape [${shape.join(', ')}].`,
        );
      }
      const copy = data?.slice();
      const traced = {
        name,
        occurrence,
        step,
        shape: [...shape],
        ...(sha256 === undefined ? {} : { sha256 }),
        ...(copy === undefined ? {} : { nonFinite: countNonFinite(copy) }),
      };
      taps.push(traced);
      if (copy === undefined) return;
      held.set(keyOf(tap), copy);
      if (sha256 !== undefined) return;
      digests.push(
        sha256OfFloats(copy).then((digest) => {
          taps[index] = { ...traced, sha256: digest };
        }),
      );
    },
  });
  await Promise.all(digests);
  if (taps.length === 0) {
    throw new CrossvalError('CROSSVAL_TRACE_EMPTY', `${side.identity.name} gave no operation in its trace.`);
  }
  return { side: side.identity, mode, ids: [...ids], taps, values: async (tap) => held.get(keyOf(tap)) };
}

function countNonFinite(values: Float32Array): number {
  if (firstNonFinite(values) === undefined) return 0;
  return values.reduce((count, value) => count + (Number.isFinite(value) ? 0 : 1), 0);
}
