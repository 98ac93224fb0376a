// Causal attention over an f16 key/value cache: see `storeKeysValues` and `attention` in src/contract.ts.
import { exp4 } from './exp';
import { blasRow, dotF16, roundToF16, widenF16 } from './f16-matmul';
import { halve4, narrowF16x4, storeF16x4 } from './lanes';

/** Rows of q that share one widening of the keys and values. */
const TILE_ROWS: i32 = 32;

export function storeKeysValues(
  keys: usize, values: usize, count: i32, kvHeads: i32, headDim: i32, position: i32, cells: i32,
  keyCache: usize, valueCache: usize,
): void {
  for (let row = 0; row < count; row++) {
    const cell = <usize>(position + row);
    for (let head = 0; head < kvHeads; head++) {
      const offset = (<usize>row * kvHeads + head) * headDim << 2;
      const keyCell = keyCache + (((<usize>head * cells + cell) * headDim) << 1);
      const valueColumn = valueCache + ((<usize>head * headDim * cells + cell) << 1);
      for (let d = 0; d < headDim; d += 4) {
        storeF16x4(keyCell + (<usize>d << 1), narrowF16x4(v128.load(keys + offset + (<usize>d << 2))));
        const bits = narrowF16x4(v128.load(values + offset + (<usize>d << 2)));
        const at = valueColumn + ((<usize>d * cells) << 1);
        const step = <usize>cells << 1;
        store<u16>(at, <u16>i32x4.extract_lane(bits, 0));
        store<u16>(at + step, <u16>i32x4.extract_lane(bits, 1));
        store<u16>(at + 2 * step, <u16>i32x4.extract_lane(bits, 2));
        store<u16>(at + 3 * step, <u16>i32x4.extract_lane(bits, 3));
      }
    }
  }
}

/** kq [cells] -> probabilities [cells]; cells from `visible` on are masked. `cells` is a multiple of 32. */
export function softmax(kq: usize, cells: i32, visible: i32, scale: f32, lanes: i32, out: usize): void {
  const bytes = <usize>cells << 2;
  const end = out + bytes;
  const masked = f32x4.splat(-Infinity);
  const scales = f32x4.splat(scale);
  let largest = masked;
  let left = visible;
  for (let i: usize = 0; i < bytes; i += 16, left -= 4) {
    let score = masked;
    if (left > 0) {
      score = f32x4.mul(v128.load(kq + i), scales);
      if (left < 4) {
        const lane = i32x4.splat(left);
        score = v128.bitselect(score, masked, i32x4.lt_s(i32x4(0, 1, 2, 3), lane));
      }
    }
    largest = f32x4.max(largest, score);
    v128.store(out + i, score);
  }
  const m = f32x4.splat(max(
    max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
    max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
  ));
  let total: f64 = 0; // of f32 sums of `lanes` neighbours, each by halving
  if (lanes == 16) {
    for (let p = out; p < end; p += 64) {
      const a = exp4(f32x4.sub(v128.load(p), m), 16), b = exp4(f32x4.sub(v128.load(p, 16), m), 16);
      const c = exp4(f32x4.sub(v128.load(p, 32), m), 16), d = exp4(f32x4.sub(v128.load(p, 48), m), 16);
      v128.store(p, a);
      v128.store(p, b, 16);
      v128.store(p, c, 32);
      v128.store(p, d, 48);
      total += <f64>halve4(f32x4.add(f32x4.add(a, c), f32x4.add(b, d)));
    }
  } else {
    for (let p = out; p < end; p += 32) {
      const a = exp4(f32x4.sub(v128.load(p), m), 8), b = exp4(f32x4.sub(v128.load(p, 16), m), 8);
      v128.store(p, a);
      v128.store(p, b, 16);
      total += <f64>halve4(f32x4.add(a, b));
    }
  }
  const inverse = f32x4.splat(<f32>(1.0 / total));
  for (let p = out; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), inverse));
}

/** f16 [rows, width] of a matrix with `rowStride` columns -> f32 [rows, width]. */
// @ts-ignore: decorator
@inline
function widenRows(matrix: usize, rows: i32, width: i32, rowStride: i32, out: usize): void {
  for (let row = 0; row < rows; row++) {
    widenF16(matrix + ((<usize>row * rowStride) << 1), width, out + ((<usize>row * width) << 2));
  }
}

export function attention(
  q: usize, kvHeadBegin: i32, kvHeadEnd: i32, heads: i32, kvHeads: i32, headDim: i32, count: i32, position: i32,
  keyCache: usize, valueCache: usize, cacheCells: i32, cells: i32, scale: f32, lanes: i32,
  out: usize, scores: usize, probabilities: usize, scratch: usize,
): void {
  const group = heads / kvHeads;
  const width = heads * headDim; // of a row of q and of out
  const tileRows = min(count, TILE_ROWS);
  const widened = scratch; // [cells, headDim] keys, then [headDim, cells] values
  const rounded = widened + ((<usize>cells * headDim) << 2); // [headDim]
  const rowScores = rounded + (<usize>headDim << 2); // [cells]
  const tile = rowScores + (<usize>cells << 2); // [group, tileRows, cells]
  for (let kvHead = kvHeadBegin; kvHead < kvHeadEnd; kvHead++) {
    const keys = keyCache + ((<usize>kvHead * cacheCells * headDim) << 1); // [cells, headDim]
    const values = valueCache + ((<usize>kvHead * headDim * cacheCells) << 1); // [headDim, cells]
    for (let row = 0; row < count; row += tileRows) {
      const rows = min(tileRows, count - row);
      // Probabilities of the tile for every query head that reads this key head
      widenRows(keys, cells, headDim, headDim, widened);
      for (let g = 0; g < group; g++) {
        const head = kvHead * group + g;
        for (let r = 0; r < rows; r++) {
          const query = q + ((<usize>(row + r) * width + head * headDim) << 2);
          const tap = (<usize>(head * count + row + r) * cells) << 2;
          const kq = scores ? scores + tap : rowScores;
          const p = tile + ((<usize>(g * tileRows + r) * cells) << 2);
          if (heads == 1 && count > 1) {
            // The one case in which the reference does not round q to f16 (numerics, section 5.3, "one query head").
            for (let cell = 0; cell < cells; cell++) {
              blasRow(widened + ((<usize>cell * headDim) << 2), query, 0, headDim, 1, kq + (<usize>cell << 2), 0, lanes);
            }
          } else {
            roundToF16(query, headDim, rounded);
            for (let cell = 0; cell < cells; cell++) {
              store<f32>(kq + (<usize>cell << 2), dotF16(widened + ((<usize>cell * headDim) << 2), rounded, headDim, lanes));
            }
          }
          softmax(kq, cells, position + row + r + 1, scale, lanes, p);
          if (probabilities) memory.copy(probabilities + tap, p, <usize>cells << 2);
          if (count == 1) roundToF16(p, cells, p);
        }
      }
      // Their sums of values
      widenRows(values, headDim, cells, cacheCells, widened);
      for (let g = 0; g < group; g++) {
        const p = tile + ((<usize>(g * tileRows) * cells) << 2);
        const target = out + ((<usize>row * width + (kvHead * group + g) * headDim) << 2);
        for (let d = 0; d < headDim; d++) {
          const line = widened + ((<usize>d * cells) << 2);
          if (count == 1) store<f32>(target + (<usize>d << 2), dotF16(line, p, cells, lanes));
          else blasRow(line, p, <usize>cells << 2, cells, rows, target + (<usize>d << 2), <usize>width << 2, lanes);
        }
      }
    }
  }
}
