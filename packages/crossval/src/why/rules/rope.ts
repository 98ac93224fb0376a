import { tapKindOf } from '../../trace/tap-kind.ts';
import { layoutOf } from '../../trace/tap-layout.ts';
import type { Finding } from '../causes.ts';
import { FLOAT_NOISE, relativeError, short } from '../measure.ts';
import { type Scene, valuesOf } from '../scene.ts';

/** Rotation angles of one side, measured from what RoPE read and wrote. */
interface Angles {
  readonly position: number;
  /** Radians, -pi..pi, for each pair (j, j + headDim / 2). */
  readonly byPair: readonly number[];
}

/** An angle that was measured on both sides. */
interface Sample {
  readonly position: number;
  readonly pair: number;
  /** By how much the reference's angle grows from one position to the next. */
  readonly frequency: number;
  readonly theirs: number;
  readonly ours: number;
}

/** Faster pairs may have gone round between two positions; angles of slower ones drown in rounding. */
const USABLE_FREQUENCY = { least: 2e-4, most: 0.03 };

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
  const halves = lengthChange(read, mine, headDim, 'halves');
  if (halves > 1e-3) {
    const neighbours = lengthChange(read, mine, headDim, 'neighbours');
    const evidence = `lengths of the pairs (j, j + ${headDim / 2}) change by ${short(halves)}, of neighbours by ${short(neighbours)}`;
    return [{ id: 'rope-pairing', strength: neighbours < 1e-3 ? 0.97 : 0.6, evidence }];
  }
  const samples = samplesOf(await anglesOf(scene, 'reference'), await anglesOf(scene, 'ours'));
  if (samples.length === 0) {
    const evidence = `${first.name} differs, and no pair turns slowly enough to measure by how much`;
    return [
      { id: 'rope-scale', strength: 0.4, evidence },
      { id: 'rope-base', strength: 0.4, evidence },
    ];
  }
  const turned = samples.filter(({ position }) => position > 0);
  if (turned.length > 0 && turned.every(({ ours, theirs: angle }) => Math.abs(ours) < 0.01 * Math.abs(angle))) {
    return [{ id: 'rope-missing', strength: 0.98, evidence: `${first.name} is not turned at any position` }];
  }
  return byPosition(samples) ?? byFactor(turned, headDim);
}

/** The angles of slow pairs. The frequency is that of the first position beyond 0. */
function samplesOf(theirs: readonly Angles[], mine: readonly Angles[]): Sample[] {
  const early = theirs.find(({ position }) => position > 0);
  if (early === undefined) return [];
  return mine.flatMap(({ position, byPair }, index) =>
    byPair.flatMap((ours, pair): Sample[] => {
      const frequency = early.byPair[pair]! / early.position;
      if (!(frequency >= USABLE_FREQUENCY.least && frequency <= USABLE_FREQUENCY.most)) return [];
      return [{ position, pair, frequency, theirs: theirs[index]!.byPair[pair]!, ours }];
    }),
  );
}

/** Whether our angles are the reference's of a position some places away. One position alone cannot tell. */
function byPosition(samples: readonly Sample[]): Finding[] | undefined {
  if (new Set(samples.map(({ position }) => position)).size < 2) return undefined;
  const offsets = samples.map(({ ours, theirs, frequency }) => (ours - theirs) / frequency);
  const offset = median(offsets);
  const agreeing = offsets.filter((of) => Math.abs(of - offset) < 0.05).length;
  if (!(Math.abs(offset) > 0.5 && agreeing >= 0.8 * offsets.length)) return undefined;
  const evidence = `angles are those of the position ${offset > 0 ? '+' : '-'} ${short(Math.abs(offset))}`;
  return [{ id: 'rope-position', strength: 0.96, evidence }];
}

/** Whether our angles are the reference's times one factor, or times one that is a power of the pair: another base. */
function byFactor(samples: readonly Sample[], headDim: number): Finding[] {
  const factors = samples.map(({ ours, theirs }) => ours / theirs);
  const factor = median(factors);
  const constant = median(factors.map((of) => Math.abs(of / factor - 1)));
  // Angle j is position * base^(-2j / headDim), so that the logarithm of the factor is proportional to j.
  const slopes = samples.map(({ pair }, index) => Math.log(factors[index]!) / pair);
  const slope = median(slopes);
  const powers = median(samples.map(({ pair }, index) => Math.abs(factors[index]! / Math.exp(slope * pair) - 1)));
  const ratio = Math.exp((-slope * headDim) / 2);
  const scaled: Finding = {
    id: 'rope-scale',
    strength: 0.95,
    evidence: `all angles are the reference's times ${short(factor)}, within ${short(constant)}`,
  };
  const based: Finding = {
    id: 'rope-base',
    strength: 0.95,
    evidence: `angles of pair j are the reference's times ${short(Math.exp(slope))}^j, within ${short(powers)}: the base is the reference's times ${short(ratio)}`,
  };
  // Not a number where a factor is negative.
  const isBase = powers < constant;
  const good = Math.min(constant, isBase ? powers : constant) < 0.01;
  if (!good)
    return [
      { ...scaled, strength: 0.6 },
      { ...based, strength: 0.55 },
    ];
  return isBase ? [based, { ...scaled, strength: 0.4 }] : [scaled, { ...based, strength: 0.3 }];
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
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
