import { tapKindOf } from '../../trace/tap-kind.ts';
import { layoutOf } from '../../trace/tap-layout.ts';
import type { Finding } from '../causes.ts';
import { equal, FLOAT_NOISE, relativeError, short } from '../measure.ts';
import { type Scene, valuesOf } from '../scene.ts';

/** Rotation angles of one side, measured from what RoPE read and wrote. */
interface Angles {
  readonly position: number;
  /** Radians, -pi..pi, for each pair (j, j + headDim / 2). */
  readonly byPair: readonly number[];
}

/** Larger angles may have gone round. */
const UNWRAPPED = 2;

/** Rotated queries or keys differ. */
export async function ropeCauses(scene: Scene): Promise<Finding[]> {
  const { located, first, theirs, mine } = scene;
  const headDim = first.shape.at(-1)!;
  const read = await valuesOf(located.ours, first.name, 0, first.step);
  if (read === undefined) return [{ id: 'rope-scale', strength: 0.4, evidence: `${first.name} differs` }];
  const error = relativeError(theirs, mine);
  if (error < FLOAT_NOISE) {
    const evidence = `${first.name} differs by ${short(error)} only: sines, cosines or products of another precision`;
    return [{ id: 'float-order', strength: 0.9, evidence }];
  }
  if (equal(read, mine)) {
    return [{ id: 'rope-missing', strength: 0.98, evidence: `${first.name} is what RoPE reads` }];
  }
  const [halves, neighbours] = [
    lengthChange(read, mine, headDim, 'halves'),
    lengthChange(read, mine, headDim, 'neighbours'),
  ];
  if (halves > 1e-3) {
    const evidence = `lengths of the pairs (j, j + ${headDim / 2}) change by ${short(halves)}, of neighbours by ${short(neighbours)}`;
    return [{ id: 'rope-pairing', strength: neighbours < 1e-3 ? 0.97 : 0.6, evidence }];
  }
  const [a, b] = [await anglesOf(scene, 'reference'), await anglesOf(scene, 'ours')];
  return [...byPosition(a, b), ...byFactor(a, b, headDim)];
}

/** Whether our angles are the reference's of a position some places away. */
function byPosition(theirs: readonly Angles[], mine: readonly Angles[]): Finding[] {
  // The angle of a pair grows by its frequency from one position to the next.
  const frequency = theirs.find(({ position }) => position === 1)?.byPair;
  const offsets = mine.flatMap(({ position, byPair }, index) =>
    byPair.flatMap((angle, pair) => {
      const [reference, step] = [theirs[index]!.byPair[pair]!, frequency?.[pair] ?? Number.NaN];
      if (!(Math.abs(step) > 1e-3 && Math.abs(reference) < UNWRAPPED && Math.abs(angle) < UNWRAPPED)) return [];
      return [{ position, offset: (angle - reference) / step }];
    }),
  );
  const [first] = offsets;
  if (first === undefined || !(Math.abs(first.offset) > 0.5)) return [];
  const offset = Math.round(first.offset);
  const agree = offsets.every((of) => Math.abs(of.offset - offset) < 0.05);
  // One position alone cannot tell an offset from a factor.
  const several = new Set(offsets.map(({ position }) => position)).size > 1;
  if (!agree || !several) return [];
  return [
    {
      id: 'rope-position',
      strength: 0.96,
      evidence: `all angles are those of the position ${offset > 0 ? '+' : ''}${offset}`,
    },
  ];
}

/** Whether our angles are the reference's times a factor, for all pairs or by pair. */
function byFactor(theirs: readonly Angles[], mine: readonly Angles[], headDim: number): Finding[] {
  const factors = mine.flatMap(({ byPair }, index) =>
    byPair.flatMap((angle, pair) => {
      const reference = theirs[index]!.byPair[pair]!;
      const usable = Math.abs(reference) > 1e-3 && Math.abs(reference) < UNWRAPPED && Math.abs(angle) < UNWRAPPED;
      return usable ? [{ pair, factor: angle / reference }] : [];
    }),
  );
  if (factors.length === 0)
    return [{ id: 'rope-scale', strength: 0.4, evidence: 'no angle is small enough to compare' }];
  const mean = factors.reduce((sum, { factor }) => sum + factor, 0) / factors.length;
  if (factors.every(({ factor }) => Math.abs(factor - mean) < 0.01 * Math.abs(mean))) {
    return [{ id: 'rope-scale', strength: 0.95, evidence: `all angles are the reference's times ${short(mean)}` }];
  }
  // Angle j is position * base^(-2j / headDim): the logarithm of the factor is proportional to j.
  const slopes = factors
    .filter(({ pair, factor }) => pair > 0 && factor > 0)
    .map(({ pair, factor }) => Math.log(factor) / pair);
  const slope = slopes.toSorted((x, y) => x - y)[Math.floor(slopes.length / 2)] ?? Number.NaN;
  const fits = slopes.filter((of) => Math.abs(of - slope) < 0.02 * Math.abs(slope)).length;
  const ratio = Math.exp((-slope * headDim) / 2);
  const evidence = `angles of pair j differ by a factor ${short(Math.exp(slope))}^j: the base is the reference's times ${short(ratio)}`;
  return [
    { id: 'rope-base', strength: fits > 0.8 * slopes.length && slopes.length > 0 ? 0.95 : 0.6, evidence },
    { id: 'rope-scale', strength: 0.4, evidence: `angles differ by factors around ${short(mean)}` },
  ];
}

/** Largest relative change of the length of a pair. */
function lengthChange(
  read: Float32Array,
  written: Float32Array,
  headDim: number,
  pairs: 'halves' | 'neighbours',
): number {
  let worst = 0;
  for (let head = 0; head < read.length; head += headDim) {
    for (let pair = 0; pair < headDim / 2; pair++) {
      const [i, j] =
        pairs === 'halves' ? [head + pair, head + pair + headDim / 2] : [head + 2 * pair, head + 2 * pair + 1];
      const [before, after] = [Math.hypot(read[i]!, read[j]!), Math.hypot(written[i]!, written[j]!)];
      if (before > 1e-6) worst = Math.max(worst, Math.abs(after / before - 1));
    }
  }
  return worst;
}

/** Angles at every traced position, from all heads together. */
async function anglesOf({ located, first, steps }: Scene, side: 'reference' | 'ours'): Promise<Angles[]> {
  const view = located[side];
  const headDim = first.shape.at(-1)!;
  const angles: Angles[] = [];
  for (const tap of view.taps) {
    if (tap.name !== first.name || tapKindOf(tap) !== 'rope') continue;
    const [read, written] = await Promise.all([valuesOf(view, tap.name, 0, tap.step), view.values(tap)]);
    if (read === undefined || written === undefined) continue;
    const { positions, width, offsetOf } = layoutOf(tap, steps.get(tap.step)!);
    for (const [row, position] of positions.entries()) {
      const byPair = Array.from({ length: headDim / 2 }, (_, pair) => {
        // The sum over heads of conj(before) * after has the angle of the rotation.
        let [re, im] = [0, 0];
        for (let at = offsetOf(0, row); at < offsetOf(0, row) + width; at += headDim) {
          const [i, j] = [at + pair, at + pair + headDim / 2];
          re += read[i]! * written[i]! + read[j]! * written[j]!;
          im += read[i]! * written[j]! - read[j]! * written[i]!;
        }
        return Math.atan2(im, re);
      });
      angles.push({ position, byPair });
    }
  }
  return angles;
}
