import type { GgufFile } from './open.ts';
import type { DequantizeOptions } from './tensor-data.ts';

/** Of the elements of a tensor, dequantized. Of no finite element: rms, mean, min and max are NaN. */
export interface TensorStatistics {
  readonly count: number;
  readonly zeros: number;
  readonly nan: number;
  /** Infinite elements of either sign. */
  readonly inf: number;
  /** Root of the mean square of the finite elements, summed in f64. So are the mean, and min and max are of them. */
  readonly rms: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
}

/** Reads a tensor once, in chunks, and keeps none of it. */
export async function tensorStatistics(
  file: GgufFile,
  name: string,
  options: DequantizeOptions = {},
): Promise<TensorStatistics> {
  let [count, zeros, nan, inf, sum, squares, min, max] = [0, 0, 0, 0, 0, 0, Infinity, -Infinity];
  for await (const chunk of file.streamFloats(name, options)) {
    count += chunk.length;
    for (const value of chunk) {
      if (!Number.isFinite(value)) {
        nan += Number.isNaN(value) ? 1 : 0;
        inf += Number.isNaN(value) ? 0 : 1;
        continue;
      }
      zeros += value === 0 ? 1 : 0;
      sum += value;
      squares += value * value;
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
  }
  const finite = count - nan - inf;
  if (finite === 0) {
    return { count, zeros, nan, inf, rms: Number.NaN, mean: Number.NaN, min: Number.NaN, max: Number.NaN };
  }
  return { count, zeros, nan, inf, rms: Math.sqrt(squares / finite), mean: sum / finite, min, max };
}
