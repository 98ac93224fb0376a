// Causal attention over an f32 key/value cache: see `storeKeysValuesF32` and `attentionF32` in src/contract.ts.
import { softmax } from './attention';
import { sumValuesTile } from './attention-tiles';
import { blasRow } from './f16-matmul';
import { dotF32 } from './f32-matmul';

/** Rows of q that share one pass over the values. */
const TILE_ROWS: i32 = 8;

/** Of the kv heads [headBegin, headEnd). */
export function storeKeysValuesF32(
  headBegin: i32, headEnd: i32, keys: usize, values: usize, count: i32, kvHeads: i32, headDim: i32, position: i32, cells: i32,
  keyCache: usize, valueCache: usize,
): void {
  for (let row = 0; row < count; row++) {
    const cell = <usize>(position + row);
    for (let head = headBegin; head < headEnd; head++) {
      const offset = (<usize>row * kvHeads + head) * headDim << 2;
      memory.copy(keyCache + (((<usize>head * cells + cell) * headDim) << 2), keys + offset, <usize>headDim << 2);
      const valueColumn = valueCache + ((<usize>head * headDim * cells + cell) << 2);
      for (let d = 0; d < headDim; d++) {
        store<f32>(valueColumn + ((<usize>d * cells) << 2), load<f32>(values + offset + (<usize>d << 2)));
      }
    }
  }
}

export function attentionF32(
  q: usize, headBegin: i32, headEnd: i32, heads: i32, kvHeads: i32, headDim: i32, count: i32, position: i32,
  keyCache: usize, valueCache: usize, cacheCells: i32, cells: i32, scale: f32, lanes: i32,
  out: usize, scores: usize, probabilities: usize, scratch: usize,
): void {
  const group = heads / kvHeads;
  const width = heads * headDim; // of a row of q and of out
  const tileRows = min(count, TILE_ROWS);
  const rowScores = scratch; // [cells]
  const tile = rowScores + (<usize>cells << 2); // [tileRows, cells]
  const sums = tile + ((<usize>TILE_ROWS * cells) << 2); // 256 bytes
  for (let head = headBegin; head < headEnd; head++) {
    const keys = keyCache + ((<usize>(head / group) * cacheCells * headDim) << 2); // [cells, headDim]
    const values = valueCache + ((<usize>(head / group) * headDim * cacheCells) << 2); // [headDim, cells]
    for (let row = 0; row < count; row += tileRows) {
      const rows = min(tileRows, count - row);
      for (let r = 0; r < rows; r++) {
        const query = q + ((<usize>(row + r) * width + head * headDim) << 2);
        const tap = (<usize>(head * count + row + r) * cells) << 2;
        const kq = scores ? scores + tap : rowScores;
        const p = tile + ((<usize>r * cells) << 2);
        for (let cell = 0; cell < cells; cell++) {
          const key = keys + ((<usize>cell * headDim) << 2);
          const target = kq + (<usize>cell << 2);
          // One query head: as with f16 keys, q is contiguous, and the small matrix product takes it.
          if (heads == 1 && count > 1) blasRow(key, query, 0, headDim, 1, target, 0, lanes);
          else store<f32>(target, dotF32(key, query, headDim, lanes));
        }
        softmax(kq, cells, position + row + r + 1, scale, lanes, p);
        if (probabilities) memory.copy(probabilities + tap, p, <usize>cells << 2);
      }
      const target = out + ((<usize>row * width + head * headDim) << 2);
      if (count > 1) {
        sumValuesTile(
          values, <usize>cacheCells << 2, cells, cells, headDim, tile, rows, lanes, target, <usize>width << 2, sums,
        );
        continue;
      }
      for (let d: usize = 0; d < <usize>headDim; d++) {
        store<f32>(target + (d << 2), dotF32(values + ((d * cacheCells) << 2), tile, cells, lanes));
      }
    }
  }
}
