// Causal attention over an f16 key/value cache: see `storeKeysValues` and `attention` in src/contract.ts.
import { exp4, expNear16, expNear8 } from './exp';
import { cellsFor, plainTile, sumValuesTile } from './attention-tiles';
import { blasRow, roundToF16, widenF16 } from './f16-matmul';
import { F16_SCALE, halve4, narrowF16x4, roundToF16x4, SCALED_F16, storeF16x4 } from './lanes';
import { touch, touchRows } from './touch';

/** Rows of q whose scores are computed together: with 512 cells they stay in a first-level cache. */
const TILE_ROWS: i32 = 8;

/** Of the kv heads [headBegin, headEnd). */
export function storeKeysValues(
  headBegin: i32, headEnd: i32, keys: usize, values: usize, count: i32, kvHeads: i32, headDim: i32, position: i32, cells: i32,
  keyCache: usize, valueCache: usize,
): void {
  const rowBytes = <usize>(kvHeads * headDim) << 2;
  const step = <usize>cells << 1; // from one column's value of a cell to the next column's
  for (let head = headBegin; head < headEnd; head++) {
    const offset = <usize>(head * headDim) << 2;
    let cell = keyCache + ((<usize>(head * cells + position) * headDim) << 1);
    for (let from = keys + offset, end = from + <usize>count * rowBytes; from < end; from += rowBytes) {
      for (let key = from, keyEnd = from + (<usize>headDim << 2); key < keyEnd; key += 16, cell += 8) {
        storeF16x4(cell, narrowF16x4(v128.load(key)));
      }
    }
    // Four columns at a time: the rows' values of a column are neighbours.
    let column = valueCache + ((<usize>head * headDim * cells + position) << 1);
    for (let d: usize = 0; d < <usize>headDim << 2; d += 16, column += 4 * step) {
      let at = column;
      for (let from = values + offset + d, end = from + <usize>count * rowBytes; from < end; from += rowBytes, at += 2) {
        const bits = narrowF16x4(v128.load(from));
        store<u16>(at, <u16>i32x4.extract_lane(bits, 0));
        store<u16>(at + step, <u16>i32x4.extract_lane(bits, 1));
        store<u16>(at + 2 * step, <u16>i32x4.extract_lane(bits, 2));
        store<u16>(at + 3 * step, <u16>i32x4.extract_lane(bits, 3));
      }
    }
  }
}

/** kq [cells] -> probabilities [cells]; cells from `visible` on are masked. `cells` is a multiple of `lanes`. */
export function softmax(kq: usize, cells: i32, visible: i32, scale: f32, lanes: i32, out: usize): void {
  const bytes = <usize>cells << 2;
  const end = out + bytes;
  const masked = f32x4.splat(-Infinity);
  const scales = f32x4.splat(scale);
  let largest = masked, largestNext = masked;
  let smallest = f32x4.splat(Infinity), smallestNext = smallest;
  let sum = f32x4.splat(0), sumNext = sum; // not finite if one is not
  const visibleBytes = <usize>(min(visible, cells) & ~7) << 2;
  let i: usize = 0;
  for (let p = kq, to = out; i < visibleBytes; i += 32, p += 32, to += 32) {
    const score = f32x4.mul(v128.load(p), scales), next = f32x4.mul(v128.load(p, 16), scales);
    largest = f32x4.pmax(largest, score);
    largestNext = f32x4.pmax(largestNext, next);
    smallest = f32x4.pmin(smallest, score);
    smallestNext = f32x4.pmin(smallestNext, next);
    sum = f32x4.add(sum, score);
    sumNext = f32x4.add(sumNext, next);
    v128.store(to, score);
    v128.store(to, next, 16);
  }
  for (let left = visible & 7; i < bytes; i += 16, left -= 4) {
    let score = masked;
    if (left > 0) {
      const mask = i32x4.gt_s(i32x4.splat(left), i32x4(0, 1, 2, 3));
      const seen = f32x4.mul(v128.load(kq + i), scales);
      score = v128.bitselect(seen, masked, mask);
      largest = f32x4.pmax(largest, score);
      smallest = f32x4.pmin(smallest, v128.bitselect(seen, f32x4.splat(Infinity), mask));
      sum = f32x4.add(sum, v128.and(seen, mask));
    }
    v128.store(out + i, score);
  }
  const highest = f32x4.pmax(largest, largestNext), lowest = f32x4.pmin(smallest, smallestNext);
  // NaN is left out, as it makes every probability NaN by itself.
  const m = max(
    max(f32x4.extract_lane(highest, 0), f32x4.extract_lane(highest, 1)),
    max(f32x4.extract_lane(highest, 2), f32x4.extract_lane(highest, 3)),
  );
  const least = min(
    min(f32x4.extract_lane(lowest, 0), f32x4.extract_lane(lowest, 1)),
    min(f32x4.extract_lane(lowest, 2), f32x4.extract_lane(lowest, 3)),
  );
  const finite = abs(halve4(f32x4.add(sum, sumNext))) < Infinity;
  const total = exponentials(out, end, m, finite && m - least <= 64, lanes);
  const inverse = f32x4.splat(<f32>(1.0 / total));
  for (let p = out; p < end; p += 32) {
    const a = f32x4.mul(v128.load(p), inverse), b = f32x4.mul(v128.load(p, 16), inverse);
    v128.store(p, a);
    v128.store(p, b, 16);
  }
}

/**
 * The scores from `from` to `end` become e^(score - m).
 *
 * @param near - whether all but -inf are at most 64 from m
 * @returns their sum: f64 of f32 sums of `lanes` neighbours, each by halving
 */
function exponentials(from: usize, end: usize, m: f32, near: bool, lanes: i32): f64 {
  const ms = f32x4.splat(m), masked = f32x4.splat(-Infinity);
  if (!near) {
    for (let p = from; p < end; p += 16) v128.store(p, exp4(f32x4.sub(v128.load(p), ms), lanes));
  } else if (lanes == 16) {
    for (let p = from; p < end; p += 32) {
      const a = v128.load(p), b = v128.load(p, 16);
      const expA = v128.and(expNear16(f32x4.sub(a, ms)), f32x4.gt(a, masked));
      const expB = v128.and(expNear16(f32x4.sub(b, ms)), f32x4.gt(b, masked));
      v128.store(p, expA);
      v128.store(p, expB, 16);
    }
  } else {
    for (let p = from; p < end; p += 32) {
      const a = v128.load(p), b = v128.load(p, 16);
      const expA = v128.and(expNear8(f32x4.sub(a, ms)), f32x4.gt(a, masked));
      const expB = v128.and(expNear8(f32x4.sub(b, ms)), f32x4.gt(b, masked));
      v128.store(p, expA);
      v128.store(p, expB, 16);
    }
  }
  let total: f64 = 0;
  if (lanes == 16) {
    for (let p = from; p < end; p += 64) {
      const ac = f32x4.add(v128.load(p), v128.load(p, 32)), bd = f32x4.add(v128.load(p, 16), v128.load(p, 48));
      total += <f64>halve4(f32x4.add(ac, bd));
    }
  } else {
    for (let p = from; p < end; p += 32) total += <f64>halve4(f32x4.add(v128.load(p), v128.load(p, 16)));
  }
  return total;
}

/** f16 [rows, width] of a matrix with `rowStride` columns -> f32 [rows, width]. */
// @ts-ignore: decorator
@inline
function widenRows(matrix: usize, rows: i32, width: i32, rowStride: i32, out: usize): void {
  for (let row = 0; row < rows; row++) {
    widenF16(matrix + ((<usize>row * rowStride) << 1), width, out + ((<usize>row * width) << 2));
  }
}

/** Whether f16 [rows, width] of a matrix with `rowStride` columns are all finite; width a multiple of 16. */
// @ts-ignore: decorator
@inline
function allFinite(matrix: usize, rows: i32, width: i32, rowStride: i32): bool {
  const magnitude = i16x8.splat(0x7fff);
  let a = i16x8.splat(0), b = i16x8.splat(0); // the largest, in the order of their bits
  for (let row = 0; row < rows; row++) {
    let p = matrix + ((<usize>row * rowStride) << 1);
    for (const end = p + (<usize>width << 1); p < end; p += 32) {
      a = i16x8.max_u(a, v128.and(v128.load(p), magnitude));
      b = i16x8.max_u(b, v128.and(v128.load(p, 16), magnitude));
    }
  }
  return !v128.any_true(i16x8.ge_u(i16x8.max_u(a, b), i16x8.splat(0x7c00)));
}

// One row's products are made from f16 as it is read: 2^112 too small, which is three operations of four values, and by
// vectors that are as much too large. Products of f16 values are exact either way.

/** Finite f16 [rows, width] of a matrix with `rowStride` columns -> f32 [rows, width], times 2^-112. */
// @ts-ignore: decorator
@inline
function widenScaled(matrix: usize, rows: i32, width: i32, rowStride: i32, out: usize): void {
  const mask = i32x4.splat(SCALED_F16);
  for (let row = 0; row < rows; row++) {
    let from = matrix + ((<usize>row * rowStride) << 1);
    for (const end = out + (<usize>width << 2); out < end; from += 16, out += 32) {
      // Not by two load16x4_s, which the revectorizer of Node 24 joins to one load from the second's address.
      const bits = v128.load(from);
      v128.store(out, v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(bits), 13), mask));
      v128.store(out, v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(bits), 13), mask), 16);
    }
  }
}

/** f32 [count] -> the nearest f16 values times 2^112. */
// @ts-ignore: decorator
@inline
function roundScaled(from: usize, count: i32, out: usize): void {
  const scale = f32x4.splat(F16_SCALE);
  for (const end = from + (<usize>count << 2); from < end; from += 32, out += 32) {
    const a = roundToF16x4(v128.load(from)), b = roundToF16x4(v128.load(from, 16));
    v128.store(out, f32x4.mul(a, scale));
    v128.store(out, f32x4.mul(b, scale), 16);
  }
}

/**
 * One row of `heads` query heads over a kv head's finite cache. All are f32 in scratch: `block` of max(32 * headDim, 4 * cells),
 * `queries` [heads, headDim], `tile` [heads, cells], and what `plainTile` wants as `sums`.
 */
function attendOneRow(
  query: usize, heads: i32, keys: usize, values: usize, headDim: i32, cacheCells: i32, cells: i32, visible: i32, scale: f32,
  lanes: i32, out: usize, scores: usize, probabilities: usize, block: usize, queries: usize, tile: usize, sums: usize,
): void {
  const headBytes = <usize>headDim << 2, cellsBytes = <usize>cells << 2;
  const kq = scores ? scores : tile;
  roundScaled(query, heads * headDim, queries);
  for (let cell = 0; cell < cells; cell += 32) {
    widenScaled(keys + ((<usize>cell * headDim) << 1), 1, 32 * headDim, 0, block);
    plainTile(block, 32, 32, queries, heads, headDim, lanes, kq + (<usize>cell << 2), cellsBytes, sums);
  }
  for (let h: usize = 0; h < <usize>heads; h++) {
    softmax(kq + h * cellsBytes, cells, visible, scale, lanes, tile + h * cellsBytes);
  }
  if (probabilities) memory.copy(probabilities, tile, <usize>heads * cellsBytes);
  roundScaled(tile, heads * cells, tile);
  for (let d = 0; d < headDim; d += 4) {
    widenScaled(values + ((<usize>d * cacheCells) << 1), 4, cells, cacheCells, block);
    plainTile(block, 4, 4, tile, heads, cells, lanes, out + (<usize>d << 2), headBytes, sums);
  }
}

export function attention(
  q: usize, headBegin: i32, headEnd: i32, heads: i32, kvHeads: i32, headDim: i32, count: i32, position: i32,
  keyCache: usize, valueCache: usize, cacheCells: i32, cells: i32, scale: f32, lanes: i32,
  out: usize, scores: usize, probabilities: usize, scratch: usize,
): void {
  const group = heads / kvHeads;
  const rowBytes = <usize>(heads * headDim) << 2; // of q and of out
  const headBytes = <usize>headDim << 2, cellsBytes = <usize>cells << 2;
  const keys = scratch; // [cells, headDim]
  const values = keys + <usize>cells * headBytes; // [headDim, cells]
  const queries = values + <usize>cells * headBytes; // [TILE_ROWS, headDim]
  const tile = queries + <usize>TILE_ROWS * headBytes; // [TILE_ROWS, cells]
  const sums = tile + <usize>TILE_ROWS * cellsBytes; // see `plainTile`
  let kvHead = -1;
  let finite = false;
  let touched = 0;
  for (let head = headBegin; head < headEnd; head++) {
    const cachedKeys = keyCache + ((<usize>(head / group) * cacheCells * headDim) << 1); // [cells, headDim]
    const cachedValues = valueCache + ((<usize>(head / group) * headDim * cacheCells) << 1); // [headDim, cells]
    if (head / group != kvHead) {
      kvHead = head / group;
      if (count == 1) {
        touched |= touch(cachedKeys, cachedKeys + (<usize>(cells * headDim) << 1));
        touched |= touchRows(cachedValues, headDim, <usize>cells << 1, <usize>cacheCells << 1);
      }
      finite = allFinite(cachedValues, headDim, cells, cacheCells);
      if (count == 1) finite = finite && allFinite(cachedKeys, 1, cells * headDim, 0);
      if (count > 1 || !finite) {
        widenRows(cachedKeys, cells, headDim, headDim, keys);
        widenRows(cachedValues, headDim, cells, cacheCells, values);
      }
    }
    const tap = <usize>head * count * cellsBytes;
    const headQ = q + <usize>head * headBytes, headOut = out + <usize>head * headBytes;
    if (count == 1 && finite) {
      const rows = min(min(headEnd, (kvHead + 1) * group) - head, TILE_ROWS);
      attendOneRow(
        headQ, rows, cachedKeys, cachedValues, headDim, cacheCells, cells, position + 1, scale, lanes, headOut,
        scores ? scores + tap : 0, probabilities ? probabilities + tap : 0, keys, queries, tile, sums,
      );
      head += rows - 1;
      continue;
    }
    for (let row = 0; row < count; row += TILE_ROWS) {
      const rows = min(TILE_ROWS, count - row);
      const rowTap = tap + <usize>row * cellsBytes;
      // Cells that a row does not see are left out, unless somebody looks at them or 0 times a value is not 0.
      const visible = position + row + 1, seen = scores || probabilities || !finite ? cells : visible;
      const kq = scores ? scores + rowTap : tile;
      let query = headQ + <usize>row * rowBytes;
      if (heads == 1 && count > 1) {
        // The one case in which the reference does not round q to f16 (numerics, section 5.3, "one query head").
        for (let r = 0; r < rows; r++, query += rowBytes) {
          for (let cell: usize = 0; cell < <usize>min(seen + r, cells); cell++) {
            blasRow(keys + cell * headBytes, query, 0, headDim, 1, kq + <usize>r * cellsBytes + (cell << 2), 0, lanes);
          }
        }
      } else {
        for (let r = 0; r < rows; r++, query += rowBytes) roundToF16(query, headDim, queries + <usize>r * headBytes);
        plainTile(keys, min((seen + rows + 2) & ~3, cells), seen, queries, rows, headDim, lanes, kq, cellsBytes, sums);
      }
      for (let r = 0; r < rows; r++) {
        const line = <usize>r * cellsBytes;
        softmax(kq + line, cellsFor(seen + (r | 1), cells, lanes), visible + r, scale, lanes, tile + line);
      }
      if (probabilities) memory.copy(probabilities + rowTap, tile, <usize>rows * cellsBytes);
      const target = headOut + <usize>row * rowBytes;
      if (count == 1) {
        roundToF16(tile, cells, tile);
        plainTile(values, headDim, headDim, tile, 1, cells, lanes, target, 0, sums);
      } else sumValuesTile(values, cellsBytes, cells, seen, headDim, tile, rows, lanes, target, rowBytes, sums);
    }
  }
  store<i32>(sums, touched);
}
