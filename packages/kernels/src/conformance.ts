import type { ConformanceCase, KernelsUnderTest } from './conformance/arena.ts';
import { attentionF32Cases } from './conformance/attention-f32.ts';
import { attentionCases } from './conformance/attention.ts';
import { blockCases } from './conformance/blocks.ts';
import { elementwiseCases } from './conformance/elementwise.ts';
import { f16Cases } from './conformance/f16.ts';
import { normCases } from './conformance/norm.ts';
import { quantizeCases } from './conformance/quantize.ts';
import { ropeCases } from './conformance/rope.ts';
import { screenCases } from './conformance/screen.ts';
import { ternaryCases } from './conformance/ternary.ts';
import { tl1Cases } from './conformance/tl1.ts';

export { type ConformanceCase, ConformanceError, type KernelsUnderTest } from './conformance/arena.ts';

/**
 * Runs every case. The one suite for every implementation of {@link Kernels}: shapes, extremes and random input.
 *
 * @returns the number of values compared
 * @throws {ConformanceError} at the first difference
 */
export function conformance(kernels: KernelsUnderTest, seed = 1): number {
  return conformanceCases(seed).reduce((compared, testCase) => compared + testCase.run(kernels), 0);
}

/** The cases by themselves, for a test runner to list. The same seed gives the same inputs. */
export function conformanceCases(seed = 1): ConformanceCase[] {
  return [
    ...quantizeCases(seed),
    ...ternaryCases(seed),
    ...tl1Cases(seed),
    ...normCases(seed),
    ...ropeCases(seed),
    ...f16Cases(seed),
    ...attentionCases(seed),
    ...attentionF32Cases(seed),
    ...elementwiseCases(seed),
    ...blockCases(seed),
    ...screenCases(seed),
  ];
}
