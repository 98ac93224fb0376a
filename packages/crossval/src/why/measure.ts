import type { TapLayout } from '../trace/tap-layout.ts';

/** Differences of f32 sums in another order stay below this, relative to the norm of the result. */
export const FLOAT_NOISE = 4e-6;
/** Differences of a value rounded to f16 stay below this. */
export const HALF_NOISE = 5e-3;

/** The factor k with which k · a is nearest to b, and how far that still is, relative to b. */
export function scaleBetween(a: Float32Array, b: Float32Array): { factor: number; residual: number } {
  let [ab, aa, bb] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    ab += a[index]! * b[index]!;
    aa += a[index]! * a[index]!;
    bb += b[index]! * b[index]!;
  }
  const factor = ab / aa;
  let squares = 0;
  for (let index = 0; index < a.length; index++) squares += (b[index]! - factor * a[index]!) ** 2;
  return { factor, residual: Math.sqrt(squares / bb) };
}

/** Norm of b - a over the norm of a; 0 where both are zeros. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [squares, norm] = [0, 0];
  for (let index = 0; index < a.length; index++) {
    squares += (b[index]! - a[index]!) ** 2;
    norm += a[index]! ** 2;
  }
  return squares === 0 ? 0 : Math.sqrt(squares / norm);
}

export function cosineBetween(a: Float32Array, b: Float32Array): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    ab += a[index]! * b[index]!;
    aa += a[index]! ** 2;
    bb += b[index]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

/** The values of each position and group: `[group][row]`. */
export function rowsOf(values: Float32Array, { groups, positions, width, offsetOf }: TapLayout): Float32Array[][] {
  return Array.from({ length: groups }, (_, group) =>
    positions.map((_position, row) => values.subarray(offsetOf(group, row), offsetOf(group, row) + width)),
  );
}

/** Positions in which some value differs. */
export function differingPositions(a: Float32Array, b: Float32Array, layout: TapLayout): number[] {
  const [theirs, mine] = [rowsOf(a, layout), rowsOf(b, layout)];
  return layout.positions.filter((_, row) => theirs.some((group, head) => !equal(group[row]!, mine[head]![row]!)));
}

/** Columns in which some row differs. */
export function differingColumns(a: Float32Array, b: Float32Array, width: number): Set<number> {
  const columns = new Set<number>();
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) columns.add(index % width);
  return columns;
}

function equal(a: Float32Array, b: Float32Array): boolean {
  return a.every((value, index) => value === b[index]);
}

/** The shift d, at most `most` places, with b[i] = a[i + d] for all i; undefined if there is none. */
export function shiftBetween(a: Float32Array, b: Float32Array, most: number): number | undefined {
  for (let distance = 1; distance <= Math.min(most, a.length - 2); distance++) {
    for (const shift of [distance, -distance]) {
      const [from, to] = [Math.max(0, -shift), Math.min(a.length, a.length - shift)];
      let same = true;
      for (let index = from; same && index < to; index++) same = a[index + shift] === b[index];
      if (same) return shift;
    }
  }
  return undefined;
}

/** Four digits are enough for a person. */
export function short(value: number): string {
  return Number(value.toPrecision(4)).toString();
}
