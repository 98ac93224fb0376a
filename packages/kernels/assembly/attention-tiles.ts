// The two products of attention over a tile of rows. Both work on f32, to which an f16 cache was widened: plain dot products
// (scores of keys; of one row, sums of values, too) and fused ones (sums of values of several rows, for an f32 cache as well).
// Each dot product leaves eight sums in two adjacent v128, which V8's revectorizer joins to one 256-bit register; those of
// four dot products are finished together.
import { blasRow } from './f16-matmul';
import { addExactProduct, fma4, promoteHigh } from './lanes';

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

// The plain dot product (f16-matmul.ts): accumulators a, b, c, d of `lanes`, added as (a + c) + (b + d). Two rows share a line's
// loads: what the first row leaves goes to `out`, the second row's to 128 bytes further.

/** Eight lanes; `bytes` of the line. */
// @ts-ignore: decorator
@inline
function plainSums8(line: usize, bytes: usize, p: usize, q: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  let A0 = f32x4.splat(0), A1 = f32x4.splat(0), B0 = f32x4.splat(0), B1 = f32x4.splat(0);
  let C0 = f32x4.splat(0), C1 = f32x4.splat(0), D0 = f32x4.splat(0), D1 = f32x4.splat(0);
  for (const end = line + bytes; line < end; line += 128, p += 128, q += 128) {
    let v = v128.load(line), w = v128.load(line, 16);
    a0 = addExactProduct(v, v128.load(p), a0);
    a1 = addExactProduct(w, v128.load(p, 16), a1);
    A0 = addExactProduct(v, v128.load(q), A0);
    A1 = addExactProduct(w, v128.load(q, 16), A1);
    v = v128.load(line, 32);
    w = v128.load(line, 48);
    b0 = addExactProduct(v, v128.load(p, 32), b0);
    b1 = addExactProduct(w, v128.load(p, 48), b1);
    B0 = addExactProduct(v, v128.load(q, 32), B0);
    B1 = addExactProduct(w, v128.load(q, 48), B1);
    v = v128.load(line, 64);
    w = v128.load(line, 80);
    c0 = addExactProduct(v, v128.load(p, 64), c0);
    c1 = addExactProduct(w, v128.load(p, 80), c1);
    C0 = addExactProduct(v, v128.load(q, 64), C0);
    C1 = addExactProduct(w, v128.load(q, 80), C1);
    v = v128.load(line, 96);
    w = v128.load(line, 112);
    d0 = addExactProduct(v, v128.load(p, 96), d0);
    d1 = addExactProduct(w, v128.load(p, 112), d1);
    D0 = addExactProduct(v, v128.load(q, 96), D0);
    D1 = addExactProduct(w, v128.load(q, 112), D1);
  }
  v128.store(out, f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0)));
  v128.store(out, f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1)), 16);
  v128.store(out, f32x4.add(f32x4.add(A0, C0), f32x4.add(B0, D0)), 128);
  v128.store(out, f32x4.add(f32x4.add(A1, C1), f32x4.add(B1, D1)), 144);
}

/** Sixteen lanes, of which j and j + 8 are added. a and c come first, b and d after them: all would not stay in registers. */
// @ts-ignore: decorator
@inline
function plainSums16(line: usize, bytes: usize, p: usize, q: usize, out: usize): void {
  const end = line + bytes;
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  let A0 = f32x4.splat(0), A1 = f32x4.splat(0), A2 = f32x4.splat(0), A3 = f32x4.splat(0);
  let C0 = f32x4.splat(0), C1 = f32x4.splat(0), C2 = f32x4.splat(0), C3 = f32x4.splat(0);
  for (let r = line, i = p, j = q; r < end; r += 256, i += 256, j += 256) {
    let v = v128.load(r), w = v128.load(r, 16);
    a0 = addExactProduct(v, v128.load(i), a0);
    a1 = addExactProduct(w, v128.load(i, 16), a1);
    A0 = addExactProduct(v, v128.load(j), A0);
    A1 = addExactProduct(w, v128.load(j, 16), A1);
    v = v128.load(r, 32);
    w = v128.load(r, 48);
    a2 = addExactProduct(v, v128.load(i, 32), a2);
    a3 = addExactProduct(w, v128.load(i, 48), a3);
    A2 = addExactProduct(v, v128.load(j, 32), A2);
    A3 = addExactProduct(w, v128.load(j, 48), A3);
    v = v128.load(r, 128);
    w = v128.load(r, 144);
    c0 = addExactProduct(v, v128.load(i, 128), c0);
    c1 = addExactProduct(w, v128.load(i, 144), c1);
    C0 = addExactProduct(v, v128.load(j, 128), C0);
    C1 = addExactProduct(w, v128.load(j, 144), C1);
    v = v128.load(r, 160);
    w = v128.load(r, 176);
    c2 = addExactProduct(v, v128.load(i, 160), c2);
    c3 = addExactProduct(w, v128.load(i, 176), c3);
    C2 = addExactProduct(v, v128.load(j, 160), C2);
    C3 = addExactProduct(w, v128.load(j, 176), C3);
  }
  a0 = f32x4.add(a0, c0);
  a1 = f32x4.add(a1, c1);
  a2 = f32x4.add(a2, c2);
  a3 = f32x4.add(a3, c3);
  A0 = f32x4.add(A0, C0);
  A1 = f32x4.add(A1, C1);
  A2 = f32x4.add(A2, C2);
  A3 = f32x4.add(A3, C3);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  let d0 = f32x4.splat(0), d1 = f32x4.splat(0), d2 = f32x4.splat(0), d3 = f32x4.splat(0);
  let B0 = f32x4.splat(0), B1 = f32x4.splat(0), B2 = f32x4.splat(0), B3 = f32x4.splat(0);
  let D0 = f32x4.splat(0), D1 = f32x4.splat(0), D2 = f32x4.splat(0), D3 = f32x4.splat(0);
  for (let r = line, i = p, j = q; r < end; r += 256, i += 256, j += 256) {
    let v = v128.load(r, 64), w = v128.load(r, 80);
    b0 = addExactProduct(v, v128.load(i, 64), b0);
    b1 = addExactProduct(w, v128.load(i, 80), b1);
    B0 = addExactProduct(v, v128.load(j, 64), B0);
    B1 = addExactProduct(w, v128.load(j, 80), B1);
    v = v128.load(r, 96);
    w = v128.load(r, 112);
    b2 = addExactProduct(v, v128.load(i, 96), b2);
    b3 = addExactProduct(w, v128.load(i, 112), b3);
    B2 = addExactProduct(v, v128.load(j, 96), B2);
    B3 = addExactProduct(w, v128.load(j, 112), B3);
    v = v128.load(r, 192);
    w = v128.load(r, 208);
    d0 = addExactProduct(v, v128.load(i, 192), d0);
    d1 = addExactProduct(w, v128.load(i, 208), d1);
    D0 = addExactProduct(v, v128.load(j, 192), D0);
    D1 = addExactProduct(w, v128.load(j, 208), D1);
    v = v128.load(r, 224);
    w = v128.load(r, 240);
    d2 = addExactProduct(v, v128.load(i, 224), d2);
    d3 = addExactProduct(w, v128.load(i, 240), d3);
    D2 = addExactProduct(v, v128.load(j, 224), D2);
    D3 = addExactProduct(w, v128.load(j, 240), D3);
  }
  a0 = f32x4.add(a0, f32x4.add(b0, d0));
  a1 = f32x4.add(a1, f32x4.add(b1, d1));
  a2 = f32x4.add(a2, f32x4.add(b2, d2));
  a3 = f32x4.add(a3, f32x4.add(b3, d3));
  A0 = f32x4.add(A0, f32x4.add(B0, D0));
  A1 = f32x4.add(A1, f32x4.add(B1, D1));
  A2 = f32x4.add(A2, f32x4.add(B2, D2));
  A3 = f32x4.add(A3, f32x4.add(B3, D3));
  v128.store(out, f32x4.add(a0, a2));
  v128.store(out, f32x4.add(a1, a3), 16);
  v128.store(out, f32x4.add(A0, A2), 128);
  v128.store(out, f32x4.add(A1, A3), 144);
}

/** a * b + c in f64, where a and b hold f32 values: the product is exact. */
// @ts-ignore: decorator
@inline
function addExactProductF64(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f64x2.relaxed_madd(a, b, c) : f64x2.add(f64x2.mul(a, b), c);
}

/**
 * Adds the products of the columns from `begin` to `end`, both in bytes, to the plain dot products of four lines with up to four
 * rows: one by one, in f64, where a sum waits for the one before it, but not for the others'.
 *
 * @param lines - f32 [4, ...] of f16 values; `stride` in bytes
 * @param p - f64 [4, 64]: of each row, from `begin` on
 * @param out - f32 [rowCount, ...]; outStride in bytes
 */
function addColumns(
  lines: usize, stride: usize, begin: usize, end: usize, p: usize, rowCount: i32, out: usize, outStride: usize,
): void {
  const out1 = rowCount > 1 ? out + outStride : out, out2 = rowCount > 2 ? out1 + outStride : out1;
  const out3 = rowCount > 3 ? out2 + outStride : out2;
  const t0 = v128.load(out), t1 = v128.load(out1), t2 = v128.load(out2), t3 = v128.load(out3);
  let low0 = f64x2.promote_low_f32x4(t0), high0 = promoteHigh(t0), low1 = f64x2.promote_low_f32x4(t1), high1 = promoteHigh(t1);
  let low2 = f64x2.promote_low_f32x4(t2), high2 = promoteHigh(t2), low3 = f64x2.promote_low_f32x4(t3), high3 = promoteHigh(t3);
  for (let i = begin; i < end; i += 16, p += 32) {
    const a = v128.load(lines + i), b = v128.load(lines + stride + i);
    const c = v128.load(lines + 2 * stride + i), d = v128.load(lines + 3 * stride + i);
    const ab = i32x4.shuffle(a, b, 0, 4, 1, 5), AB = i32x4.shuffle(a, b, 2, 6, 3, 7);
    const cd = i32x4.shuffle(c, d, 0, 4, 1, 5), CD = i32x4.shuffle(c, d, 2, 6, 3, 7);
    let v = f64x2.promote_low_f32x4(ab), w = f64x2.promote_low_f32x4(cd);
    let x = v128.load64_splat(p);
    low0 = addExactProductF64(v, x, low0);
    high0 = addExactProductF64(w, x, high0);
    x = v128.load64_splat(p, 512);
    low1 = addExactProductF64(v, x, low1);
    high1 = addExactProductF64(w, x, high1);
    x = v128.load64_splat(p, 1024);
    low2 = addExactProductF64(v, x, low2);
    high2 = addExactProductF64(w, x, high2);
    x = v128.load64_splat(p, 1536);
    low3 = addExactProductF64(v, x, low3);
    high3 = addExactProductF64(w, x, high3);
    v = promoteHigh(ab);
    w = promoteHigh(cd);
    x = v128.load64_splat(p, 8);
    low0 = addExactProductF64(v, x, low0);
    high0 = addExactProductF64(w, x, high0);
    x = v128.load64_splat(p, 520);
    low1 = addExactProductF64(v, x, low1);
    high1 = addExactProductF64(w, x, high1);
    x = v128.load64_splat(p, 1032);
    low2 = addExactProductF64(v, x, low2);
    high2 = addExactProductF64(w, x, high2);
    x = v128.load64_splat(p, 1544);
    low3 = addExactProductF64(v, x, low3);
    high3 = addExactProductF64(w, x, high3);
    v = f64x2.promote_low_f32x4(AB);
    w = f64x2.promote_low_f32x4(CD);
    x = v128.load64_splat(p, 16);
    low0 = addExactProductF64(v, x, low0);
    high0 = addExactProductF64(w, x, high0);
    x = v128.load64_splat(p, 528);
    low1 = addExactProductF64(v, x, low1);
    high1 = addExactProductF64(w, x, high1);
    x = v128.load64_splat(p, 1040);
    low2 = addExactProductF64(v, x, low2);
    high2 = addExactProductF64(w, x, high2);
    x = v128.load64_splat(p, 1552);
    low3 = addExactProductF64(v, x, low3);
    high3 = addExactProductF64(w, x, high3);
    v = promoteHigh(AB);
    w = promoteHigh(CD);
    x = v128.load64_splat(p, 24);
    low0 = addExactProductF64(v, x, low0);
    high0 = addExactProductF64(w, x, high0);
    x = v128.load64_splat(p, 536);
    low1 = addExactProductF64(v, x, low1);
    high1 = addExactProductF64(w, x, high1);
    x = v128.load64_splat(p, 1048);
    low2 = addExactProductF64(v, x, low2);
    high2 = addExactProductF64(w, x, high2);
    x = v128.load64_splat(p, 1560);
    low3 = addExactProductF64(v, x, low3);
    high3 = addExactProductF64(w, x, high3);
  }
  if (rowCount > 3) v128.store(out3, demote4(low3, high3));
  if (rowCount > 2) v128.store(out2, demote4(low2, high2));
  if (rowCount > 1) v128.store(out1, demote4(low1, high1));
  v128.store(out, demote4(low0, high0));
}

// @ts-ignore: decorator
@inline
function demote4(low: v128, high: v128): v128 {
  return i64x2.shuffle(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

/**
 * Plain dot products of rows with lines: scores of keys, or of one row, which rounds its probabilities, sums of values.
 *
 * @param lines - f32 [count, width] of f16 values; count and width multiples of 4
 * @param seen - how many lines the first row wants; each other row wants one more than the one before. Other results may be
 *   left out; if `count` or more, none are
 * @param rows - f32 [rowCount, width] of f16 values
 * @param out - f32 [rowCount, count]; outStride in bytes
 * @param sums - 256 bytes, and 512 for each row, whose number is rounded up to a multiple of 4
 */
export function plainTile(
  lines: usize, count: i32, seen: i32, rows: usize, rowCount: i32, width: i32, lanes: i32, out: usize, outStride: usize,
  sums: usize,
): void {
  const stride = <usize>width << 2;
  const full = <usize>(width & (lanes == 16 ? ~63 : ~31)) << 2;
  const tails = sums + 256; // f64 [rowCount, 64]: the columns from `full` on
  if (full < stride) {
    memory.fill(tails + (<usize>rowCount << 9), 0, <usize>(-rowCount & 3) << 9); // of what would be there, some is slow to multiply
    for (let r: usize = 0; r < <usize>rowCount; r++) {
      for (let from = rows + r * stride + full, end = rows + (r + 1) * stride, to = tails + (r << 9); from < end; from += 8, to += 16) {
        v128.store(to, f64x2.promote_low_f32x4(v128.load64_zero(from)));
      }
    }
  }
  for (let first = 0; first < count; first += 4, lines += 4 * stride, out += 16) {
    const unwanted = max(0, first - seen); // no row before this one wants any of the four
    for (let r = (unwanted + 1) & ~1; r < rowCount; r += 2) {
      const s = min(r + 1, rowCount - 1); // of an odd number, the last row is done twice
      const p = rows + <usize>r * stride, q = rows + <usize>s * stride;
      let line = lines;
      if (lanes == 16) {
        for (let at = sums, end = sums + 128; at < end; at += 32, line += stride) plainSums16(line, full, p, q, at);
      } else {
        for (let at = sums, end = sums + 128; at < end; at += 32, line += stride) plainSums8(line, full, p, q, at);
      }
      const to = out + <usize>r * outStride, other = out + <usize>s * outStride;
      v128.store(to, finish4(sums, lanes == 8));
      v128.store(other, finish4(sums + 128, lanes == 8));
    }
    if (full == stride) continue;
    for (let r = unwanted & ~3; r < rowCount; r += 4) {
      const to = out + <usize>r * outStride;
      addColumns(lines, stride, full, stride, tails + (<usize>r << 9), min(4, rowCount - r), to, outStride);
    }
  }
}

// The small matrix product's dot product (f16-matmul.ts): one accumulator of `lanes`, fused. Two lines share two rows' loads:
// what the first row leaves goes to `out` and 32 bytes on, the second row's to 128 bytes further.

// @ts-ignore: decorator
@inline
function fusedSums8(line: usize, stride: usize, bytes: usize, p: usize, q: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let A0 = f32x4.splat(0), A1 = f32x4.splat(0), B0 = f32x4.splat(0), B1 = f32x4.splat(0);
  for (let next = line + stride, end = line + bytes; line < end; line += 32, next += 32, p += 32, q += 32) {
    const v = v128.load(line), w = v128.load(line, 16), x = v128.load(next), y = v128.load(next, 16);
    let r = v128.load(p), s = v128.load(p, 16);
    a0 = fma4(v, r, a0);
    a1 = fma4(w, s, a1);
    b0 = fma4(x, r, b0);
    b1 = fma4(y, s, b1);
    r = v128.load(q);
    s = v128.load(q, 16);
    A0 = fma4(v, r, A0);
    A1 = fma4(w, s, A1);
    B0 = fma4(x, r, B0);
    B1 = fma4(y, s, B1);
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 32);
  v128.store(out, b1, 48);
  v128.store(out, A0, 128);
  v128.store(out, A1, 144);
  v128.store(out, B0, 160);
  v128.store(out, B1, 176);
}

// @ts-ignore: decorator
@inline
function fusedSums16(line: usize, stride: usize, bytes: usize, p: usize, q: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  let A0 = f32x4.splat(0), A1 = f32x4.splat(0), A2 = f32x4.splat(0), A3 = f32x4.splat(0);
  let B0 = f32x4.splat(0), B1 = f32x4.splat(0), B2 = f32x4.splat(0), B3 = f32x4.splat(0);
  for (let next = line + stride, end = line + bytes; line < end; line += 64, next += 64, p += 64, q += 64) {
    let v = v128.load(line), w = v128.load(line, 16), x = v128.load(next), y = v128.load(next, 16);
    let r = v128.load(p), s = v128.load(p, 16);
    a0 = fma4(v, r, a0);
    a1 = fma4(w, s, a1);
    b0 = fma4(x, r, b0);
    b1 = fma4(y, s, b1);
    r = v128.load(q);
    s = v128.load(q, 16);
    A0 = fma4(v, r, A0);
    A1 = fma4(w, s, A1);
    B0 = fma4(x, r, B0);
    B1 = fma4(y, s, B1);
    v = v128.load(line, 32);
    w = v128.load(line, 48);
    x = v128.load(next, 32);
    y = v128.load(next, 48);
    r = v128.load(p, 32);
    s = v128.load(p, 48);
    a2 = fma4(v, r, a2);
    a3 = fma4(w, s, a3);
    b2 = fma4(x, r, b2);
    b3 = fma4(y, s, b3);
    r = v128.load(q, 32);
    s = v128.load(q, 48);
    A2 = fma4(v, r, A2);
    A3 = fma4(w, s, A3);
    B2 = fma4(x, r, B2);
    B3 = fma4(y, s, B3);
  }
  v128.store(out, f32x4.add(a0, a2));
  v128.store(out, f32x4.add(a1, a3), 16);
  v128.store(out, f32x4.add(b0, b2), 32);
  v128.store(out, f32x4.add(b1, b3), 48);
  v128.store(out, f32x4.add(A0, A2), 128);
  v128.store(out, f32x4.add(A1, A3), 144);
  v128.store(out, f32x4.add(B0, B2), 160);
  v128.store(out, f32x4.add(B1, B3), 176);
}

/** How many cells' probabilities a row that sees `visible` needs: the others are 0, of which nothing comes. */
// @ts-ignore: decorator
@inline
export function cellsFor(visible: i32, cells: i32, lanes: i32): i32 {
  return min(cells, (visible + lanes - 1) & -lanes);
}

/** An output of {@link sumValuesTile} over all cells. */
function sumAllCells(line: usize, p: usize, seen: i32, cells: i32, lanes: i32, out: usize): void {
  memory.fill(p + (<usize>seen << 2), 0, <usize>(cells - seen) << 2);
  blasRow(line, p, 0, cells, 1, out, 0, lanes);
}

/**
 * Sums of values weighted by the probabilities of `rows` rows: the small matrix product of {@link blasRow}, without cells
 * whose probabilities are 0.
 *
 * That leaves every bit as it is: a product of 0 and a finite value is 0 or -0, and adding either changes no sum but -0
 * (to 0). Only an output that is 0 itself can come from such a sum; it is computed again over all cells.
 *
 * @param values - f32 [headDim, cells], finite where they are left out; headDim a multiple of 4, cells of 32. valuesStride in
 *   bytes
 * @param visible - how many cells the first row sees; each other row sees one more than the one before. If `cells` or more, none
 *   are left out
 * @param probabilities - f32 [rows, cells]; of two rows that begin with an even one, those from {@link cellsFor} the second on
 *   may be overwritten by 0
 * @param out - f32 [rows, headDim]; outStride in bytes
 * @param sums - 256 bytes
 */
export function sumValuesTile(
  values: usize, valuesStride: usize, cells: i32, visible: i32, headDim: i32, probabilities: usize, rows: i32, lanes: i32,
  out: usize, outStride: usize, sums: usize,
): void {
  const stride = <usize>cells << 2;
  for (let d = 0; d < headDim; d += 4, values += 4 * valuesStride, out += 16) {
    let p = probabilities, to = out;
    for (let row = 0; row < rows; row += 2, p += 2 * stride, to += 2 * outStride) {
      const q = row + 1 < rows ? p + stride : p;
      const seen = cellsFor(visible + row + 1, cells, lanes), bytes = <usize>seen << 2;
      for (let i: usize = 0; i < 4; i += 2) {
        const line = values + i * valuesStride, at = sums + (i << 5);
        if (lanes == 16) fusedSums16(line, valuesStride, bytes, p, q, at);
        else fusedSums8(line, valuesStride, bytes, p, q, at);
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
