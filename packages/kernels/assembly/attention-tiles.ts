// The two products of attention over a tile of rows. Both work on f32, to which an f16 cache was widened: plain dot products
// (scores of keys; of one row, sums of values, too) and fused ones (sums of values of several rows, for an f32 cache as well).
// Each dot product leaves eight sums in two adjacent v128, which V8's revectorizer joins to one 256-bit register; those of
// four dot products are finished together.
import { blasRow } from './f16-matmul';
import { addExactProduct, fma4 } from './lanes';

/**
 * Four results from eight sums each, in 32 bytes from `p`: lane j is added to lane j + 4; then the four are halved, or
 * neighbours added.
 */
// @ts-ignore: decorator
@inline
function finish4(p: usize, neighbours: bool): v128 {
  const a = f32x4.add(v128.load(p), v128.load(p, 16)), b = f32x4.add(v128.load(p, 32), v128.load(p, 48));
  const c = f32x4.add(v128.load(p, 64), v128.load(p, 80)), d = f32x4.add(v128.load(p, 96), v128.load(p, 112));
  let ab: v128, cd: v128;
  if (neighbours) {
    ab = f32x4.add(i32x4.shuffle(a, b, 0, 2, 4, 6), i32x4.shuffle(a, b, 1, 3, 5, 7));
    cd = f32x4.add(i32x4.shuffle(c, d, 0, 2, 4, 6), i32x4.shuffle(c, d, 1, 3, 5, 7));
  } else {
    ab = f32x4.add(i32x4.shuffle(a, b, 0, 1, 4, 5), i32x4.shuffle(a, b, 2, 3, 6, 7));
    cd = f32x4.add(i32x4.shuffle(c, d, 0, 1, 4, 5), i32x4.shuffle(c, d, 2, 3, 6, 7));
  }
  return f32x4.add(i32x4.shuffle(ab, cd, 0, 2, 4, 6), i32x4.shuffle(ab, cd, 1, 3, 5, 7));
}

// The plain dot product (f16-matmul.ts): accumulators a, b, c, d of `lanes`, added as (a + c) + (b + d).

/** Eight lanes; `end` is that of the row. */
// @ts-ignore: decorator
@inline
function plainSums8(row: usize, end: usize, vector: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  for (let v = vector; row < end; row += 128, v += 128) {
    a0 = addExactProduct(v128.load(row), v128.load(v), a0);
    a1 = addExactProduct(v128.load(row, 16), v128.load(v, 16), a1);
    b0 = addExactProduct(v128.load(row, 32), v128.load(v, 32), b0);
    b1 = addExactProduct(v128.load(row, 48), v128.load(v, 48), b1);
    c0 = addExactProduct(v128.load(row, 64), v128.load(v, 64), c0);
    c1 = addExactProduct(v128.load(row, 80), v128.load(v, 80), c1);
    d0 = addExactProduct(v128.load(row, 96), v128.load(v, 96), d0);
    d1 = addExactProduct(v128.load(row, 112), v128.load(v, 112), d1);
  }
  v128.store(out, f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0)));
  v128.store(out, f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1)), 16);
}

/** Sixteen lanes, of which j and j + 8 are added. a and c come first, b and d after them: all would not stay in registers. */
// @ts-ignore: decorator
@inline
function plainSums16(row: usize, end: usize, vector: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  for (let r = row, v = vector; r < end; r += 256, v += 256) {
    a0 = addExactProduct(v128.load(r), v128.load(v), a0);
    a1 = addExactProduct(v128.load(r, 16), v128.load(v, 16), a1);
    a2 = addExactProduct(v128.load(r, 32), v128.load(v, 32), a2);
    a3 = addExactProduct(v128.load(r, 48), v128.load(v, 48), a3);
    c0 = addExactProduct(v128.load(r, 128), v128.load(v, 128), c0);
    c1 = addExactProduct(v128.load(r, 144), v128.load(v, 144), c1);
    c2 = addExactProduct(v128.load(r, 160), v128.load(v, 160), c2);
    c3 = addExactProduct(v128.load(r, 176), v128.load(v, 176), c3);
  }
  a0 = f32x4.add(a0, c0);
  a1 = f32x4.add(a1, c1);
  a2 = f32x4.add(a2, c2);
  a3 = f32x4.add(a3, c3);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  let d0 = f32x4.splat(0), d1 = f32x4.splat(0), d2 = f32x4.splat(0), d3 = f32x4.splat(0);
  for (let r = row, v = vector; r < end; r += 256, v += 256) {
    b0 = addExactProduct(v128.load(r, 64), v128.load(v, 64), b0);
    b1 = addExactProduct(v128.load(r, 80), v128.load(v, 80), b1);
    b2 = addExactProduct(v128.load(r, 96), v128.load(v, 96), b2);
    b3 = addExactProduct(v128.load(r, 112), v128.load(v, 112), b3);
    d0 = addExactProduct(v128.load(r, 192), v128.load(v, 192), d0);
    d1 = addExactProduct(v128.load(r, 208), v128.load(v, 208), d1);
    d2 = addExactProduct(v128.load(r, 224), v128.load(v, 224), d2);
    d3 = addExactProduct(v128.load(r, 240), v128.load(v, 240), d3);
  }
  a0 = f32x4.add(a0, f32x4.add(b0, d0));
  a1 = f32x4.add(a1, f32x4.add(b1, d1));
  a2 = f32x4.add(a2, f32x4.add(b2, d2));
  a3 = f32x4.add(a3, f32x4.add(b3, d3));
  v128.store(out, f32x4.add(a0, a2));
  v128.store(out, f32x4.add(a1, a3), 16);
}

/**
 * Adds the products of the columns from `begin` to `end`, both in bytes, to four plain dot products `totals`: one by one, in
 * f64.
 *
 * @param lines - f32 [4, ...] of f16 values; `stride` in bytes
 */
function addColumns(totals: v128, lines: usize, stride: usize, vector: usize, begin: usize, end: usize): v128 {
  let low = f64x2.promote_low_f32x4(totals), high = f64x2.promote_low_f32x4(i64x2.shuffle(totals, totals, 1, 1));
  for (let i = begin; i < end; i += 16) {
    const a = v128.load(lines + i), b = v128.load(lines + stride + i);
    const c = v128.load(lines + 2 * stride + i), d = v128.load(lines + 3 * stride + i);
    const ab = i32x4.shuffle(a, b, 0, 4, 1, 5), AB = i32x4.shuffle(a, b, 2, 6, 3, 7);
    const cd = i32x4.shuffle(c, d, 0, 4, 1, 5), CD = i32x4.shuffle(c, d, 2, 6, 3, 7);
    const v = v128.load(vector + i);
    let products = f32x4.mul(i64x2.shuffle(ab, cd, 0, 2), i32x4.shuffle(v, v, 0, 0, 0, 0)); // exact
    low = f64x2.add(low, f64x2.promote_low_f32x4(products));
    high = f64x2.add(high, f64x2.promote_low_f32x4(i64x2.shuffle(products, products, 1, 1)));
    products = f32x4.mul(i64x2.shuffle(ab, cd, 1, 3), i32x4.shuffle(v, v, 1, 1, 1, 1));
    low = f64x2.add(low, f64x2.promote_low_f32x4(products));
    high = f64x2.add(high, f64x2.promote_low_f32x4(i64x2.shuffle(products, products, 1, 1)));
    products = f32x4.mul(i64x2.shuffle(AB, CD, 0, 2), i32x4.shuffle(v, v, 2, 2, 2, 2));
    low = f64x2.add(low, f64x2.promote_low_f32x4(products));
    high = f64x2.add(high, f64x2.promote_low_f32x4(i64x2.shuffle(products, products, 1, 1)));
    products = f32x4.mul(i64x2.shuffle(AB, CD, 1, 3), i32x4.shuffle(v, v, 3, 3, 3, 3));
    low = f64x2.add(low, f64x2.promote_low_f32x4(products));
    high = f64x2.add(high, f64x2.promote_low_f32x4(i64x2.shuffle(products, products, 1, 1)));
  }
  return i64x2.shuffle(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

/**
 * Plain dot products of rows with lines: scores of keys, or of one row, which rounds its probabilities, sums of values.
 *
 * @param lines - f32 [count, width] of f16 values; count and width multiples of 4
 * @param rows - f32 [rowCount, width] of f16 values
 * @param out - f32 [rowCount, count]; outStride in bytes
 * @param sums - 128 bytes
 */
export function plainTile(
  lines: usize, count: i32, rows: usize, rowCount: i32, width: i32, lanes: i32, out: usize, outStride: usize, sums: usize,
): void {
  const stride = <usize>width << 2;
  const full = <usize>(width & (lanes == 16 ? ~63 : ~31)) << 2;
  for (let first = 0; first < count; first += 4, lines += 4 * stride, out += 16) {
    let row = rows, to = out;
    for (let r = 0; r < rowCount; r++, row += stride, to += outStride) {
      let line = lines;
      let totals: v128;
      if (lanes == 16) {
        for (let s = sums, end = sums + 128; s < end; s += 32, line += stride) plainSums16(line, line + full, row, s);
        totals = finish4(sums, false);
      } else {
        for (let s = sums, end = sums + 128; s < end; s += 32, line += stride) plainSums8(line, line + full, row, s);
        totals = finish4(sums, true);
      }
      v128.store(to, full < stride ? addColumns(totals, lines, stride, row, full, stride) : totals);
    }
  }
}

// The small matrix product's dot product (f16-matmul.ts): one accumulator of `lanes`, fused. Two rows share a line's loads.

// @ts-ignore: decorator
@inline
function fusedSums8(line: usize, bytes: usize, p: usize, q: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  for (const end = line + bytes; line < end; line += 32, p += 32, q += 32) {
    const v0 = v128.load(line), v1 = v128.load(line, 16);
    a0 = fma4(v0, v128.load(p), a0);
    a1 = fma4(v1, v128.load(p, 16), a1);
    b0 = fma4(v0, v128.load(q), b0);
    b1 = fma4(v1, v128.load(q, 16), b1);
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 128);
  v128.store(out, b1, 144);
}

// @ts-ignore: decorator
@inline
function fusedSums16(line: usize, bytes: usize, p: usize, q: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  for (const end = line + bytes; line < end; line += 64, p += 64, q += 64) {
    let v = v128.load(line), w = v128.load(line, 16);
    a0 = fma4(v, v128.load(p), a0);
    a1 = fma4(w, v128.load(p, 16), a1);
    b0 = fma4(v, v128.load(q), b0);
    b1 = fma4(w, v128.load(q, 16), b1);
    v = v128.load(line, 32);
    w = v128.load(line, 48);
    a2 = fma4(v, v128.load(p, 32), a2);
    a3 = fma4(w, v128.load(p, 48), a3);
    b2 = fma4(v, v128.load(q, 32), b2);
    b3 = fma4(w, v128.load(q, 48), b3);
  }
  v128.store(out, f32x4.add(a0, a2));
  v128.store(out, f32x4.add(a1, a3), 16);
  v128.store(out, f32x4.add(b0, b2), 128);
  v128.store(out, f32x4.add(b1, b3), 144);
}

/** An output of {@link sumValuesTile} over all cells. */
function sumAllCells(line: usize, p: usize, seen: i32, cells: i32, lanes: i32, out: usize): void {
  memory.fill(p + (<usize>seen << 2), 0, <usize>(cells - seen) << 2);
  blasRow(line, p, 0, cells, 1, out, 0, lanes);
}

/**
 * Sums of values weighted by the probabilities of `rows` rows: the small matrix product of {@link blasRow}, without the
 * cells from `seen` on, whose probabilities are 0.
 *
 * That leaves every bit as it is: a product of 0 and a finite value is 0 or -0, and adding either changes no sum but -0
 * (to 0). Only an output that is 0 itself can come from such a sum; it is computed again over all cells.
 *
 * @param values - f32 [headDim, cells], finite from `seen` on; headDim a multiple of 4, cells and seen of 32. valuesStride in
 *   bytes
 * @param probabilities - f32 [rows, cells]; those from `seen` on may be overwritten by 0
 * @param out - f32 [rows, headDim]; outStride in bytes
 * @param sums - 256 bytes
 */
export function sumValuesTile(
  values: usize, valuesStride: usize, cells: i32, seen: i32, headDim: i32, probabilities: usize, rows: i32, lanes: i32,
  out: usize, outStride: usize, sums: usize,
): void {
  const stride = <usize>cells << 2, bytes = <usize>seen << 2;
  for (let d = 0; d < headDim; d += 4, values += 4 * valuesStride, out += 16) {
    let p = probabilities, to = out;
    for (let row = 0; row < rows; row += 2, p += 2 * stride, to += 2 * outStride) {
      const q = row + 1 < rows ? p + stride : p;
      let line = values;
      if (lanes == 16) {
        for (let s = sums, end = sums + 128; s < end; s += 32, line += valuesStride) fusedSums16(line, bytes, p, q, s);
      } else {
        for (let s = sums, end = sums + 128; s < end; s += 32, line += valuesStride) fusedSums8(line, bytes, p, q, s);
      }
      const a = finish4(sums, false), b = finish4(sums + 128, false);
      const zero = f32x4.splat(0);
      v128.store(to, a);
      if (seen < cells && v128.any_true(f32x4.eq(a, zero))) {
        for (let i: usize = 0; i < 4; i++) sumAllCells(values + i * valuesStride, p, seen, cells, lanes, to + (i << 2));
      }
      if (row + 1 == rows) continue;
      v128.store(to + outStride, b);
      if (seen < cells && v128.any_true(f32x4.eq(b, zero))) {
        for (let i: usize = 0; i < 4; i++) sumAllCells(values + i * valuesStride, q, seen, cells, lanes, to + outStride + (i << 2));
      }
    }
  }
}
