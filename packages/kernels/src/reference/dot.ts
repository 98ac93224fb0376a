// The dot products of an f16 or f32 row with an f32 row, in the reference's order (numerics, section 5.3).
import type { Lanes } from '../contract.ts';
import { fma, sumByHalving } from './float.ts';

const { fround } = Math;

/**
 * The plain f16 dot product. Both rows hold f16 values, so a product is exact in f32.
 *
 * @param a - [width], @param b - [width]
 */
export function dotF16(a: ArrayLike<number>, b: ArrayLike<number>, lanes: Lanes): number {
  const width = b.length;
  const step = 4 * lanes;
  const full = width - (width % step);
  const accumulators = Array.from({ length: 4 }, () => new Float32Array(lanes));
  for (let i = 0; i < full; i++) {
    const accumulator = accumulators[Math.floor((i % step) / lanes)]!;
    accumulator[i % lanes]! += fround(a[i]! * b[i]!);
  }
  const [a0, a1, a2, a3] = accumulators as [Float32Array, Float32Array, Float32Array, Float32Array];
  const lanewise = a0.map((value, lane) => fround(fround(value + a2[lane]!) + fround(a1[lane]! + a3[lane]!)));
  let total = lanes === 16 ? sumByHalving(lanewise) : sumOfNeighbours(lanewise);
  for (let i = full; i < width; i++) total += fround(a[i]! * b[i]!); // in f64
  return fround(total);
}

/** The plain f32 dot product: as {@link dotF16}, but fused, and with a tail that is summed in f32. */
export function dotF32(a: ArrayLike<number>, b: ArrayLike<number>, lanes: Lanes): number {
  const width = b.length;
  const step = 4 * lanes;
  const full = width - (width % step);
  const accumulators = new Float32Array(step);
  for (let i = 0; i < full; i++) accumulators[i % step] = fma(a[i]!, b[i]!, accumulators[i % step]!);
  const lanewise = accumulators.slice(0, lanes).map((value, lane) => {
    const [a1, a2, a3] = [1, 2, 3].map((index) => accumulators[index * lanes + lane]!) as [number, number, number];
    return fround(value + a2) + fround(a1 + a3);
  });
  let total = lanes === 16 ? sumByHalving(lanewise) : sumOfNeighbours(lanewise);
  for (let i = full; i < width; i++) total = fma(a[i]!, b[i]!, total);
  return total;
}

/** Eight lanes: halved once, then neighbours are added. */
function sumOfNeighbours(v: Float32Array): number {
  const h = v.slice(0, 4).map((value, i) => value + v[i + 4]!) as Float32Array;
  return fround(fround(h[0]! + h[1]!) + fround(h[2]! + h[3]!));
}

/** The small matrix product's dot product: one accumulator of `lanes`, fused, halved. Width a multiple of `lanes`. */
export function dotBlas(a: ArrayLike<number>, b: ArrayLike<number>, lanes: Lanes): number {
  const accumulator = new Float32Array(lanes);
  for (let i = 0; i < b.length; i++) accumulator[i % lanes] = fma(a[i]!, b[i]!, accumulator[i % lanes]!);
  return sumByHalving(accumulator);
}
