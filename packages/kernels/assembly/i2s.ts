// Ternary matrix products over the row-pair layout: see `packRowPairs`, `i2sGemv` and `i2sGemm` in src/contract.ts.
//
//   row pair, one block of 128 columns = 64 bytes: | row 0: 32 bytes | row 1: 32 bytes |
//   byte p of a row's 32 holds columns p, 32+p, 64+p, 96+p, highest bits first (I2_S 128x32).
//
// Range: codes are 0..2 and values -128..127, so a dot product of `width` columns is at most 256 * width in
// magnitude: i32 is exact up to width 8,388,607, and f32(dot - sum) up to 65,536 (2^24 / 256).
import { dot16, sums4 } from './lanes';
import { touch, touchAhead, TOUCHED_BYTES } from './touch';

// @ts-ignore: decorator
@inline
function scaled4(dots: v128, sums: v128, activationScales: v128, weightScale: f32): v128 {
  const exact = f32x4.convert_i32x4_s(i32x4.sub(dots, sums));
  return f32x4.mul(f32x4.div(exact, activationScales), f32x4.splat(weightScale));
}

// @ts-ignore: decorator
@inline
function addHalves(p: usize): v128 {
  return i32x4.add(v128.load(p), v128.load(p, 16));
}

/** Four outputs from four dot products, each of eight i32 in 32 bytes from `p`, still to be summed. */
// @ts-ignore: decorator
@inline
export function finish4(p: usize, sums: v128, activationScales: v128, weightScale: f32): v128 {
  const dots = sums4(addHalves(p), addHalves(p + 32), addHalves(p + 64), addHalves(p + 96));
  return scaled4(dots, sums, activationScales, weightScale);
}

/** {@link finish4} for an even number of rows. */
export function finishRows(p: usize, rows: i32, sum: i32, activationScale: f32, weightScale: f32, out: usize): void {
  const sums = i32x4.splat(sum), scales = f32x4.splat(activationScale);
  for (; rows >= 4; rows -= 4, p += 128, out += 16) v128.store(out, finish4(p, sums, scales, weightScale));
  if (rows) v128.store64_lane(out, finish4(p, sums, scales, weightScale), 0);
}

/** Of each page, for {@link touchAhead}: by `bench kernels --only i2sGemv`. More than of f16, as computing takes longer. */
export const I2S_LINES_AHEAD: i32 = 18;

/** Rows that a vector is multiplied with after their weights were touched: what a first-level cache holds, 64 at most. */
export function rowsAtOnce(width: i32): i32 {
  return max(4, min(64, (4 * TOUCHED_BYTES / width) & ~3));
}

export function i2sGemv(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize, scratch: usize,
): void {
  const activationScale = load<f32>(scales);
  const sum = load<i32>(sums);
  const valuesEnd = values + <usize>width;
  const low = i8x16.splat(0x03);
  const high = i8x16.splat(0x0c);
  const most = rowsAtOnce(width);
  let touched = 0;
  let w = weights + ((<usize>rowBegin * width) >> 2);
  for (let row = rowBegin; row < rowEnd; row += most) {
    const rows = min(most, rowEnd - row);
    const next = w + ((<usize>rows * width) >> 2), nextEnd = weights + ((<usize>min(row + 2 * most, rowEnd) * width) >> 2);
    touched |= touch(w, next);
    for (let r = 0, to = scratch; r < rows; r += 2, to += 64) {
      touched |= touchAhead(next, nextEnd, r >> 1, rows >> 1, I2S_LINES_AHEAD);
      // Codes in bits 0-1 count once (A), those in bits 2-3 four times (B): the sum is A + B / 4, exactly.
      let a0 = i32x4.splat(0), b0 = i32x4.splat(0), a1 = i32x4.splat(0), b1 = i32x4.splat(0);
      let c0 = i32x4.splat(0), d0 = i32x4.splat(0), c1 = i32x4.splat(0), d1 = i32x4.splat(0);
      for (let v = values; v < valuesEnd; v += 128, w += 64) {
        let w0 = v128.load(w), w1 = v128.load(w, 32);
        let q = v128.load(v, 96);
        a0 = dot16(q, v128.and(w0, low), a0);
        a1 = dot16(q, v128.and(w1, low), a1);
        q = v128.load(v, 64);
        b0 = dot16(q, v128.and(w0, high), b0);
        b1 = dot16(q, v128.and(w1, high), b1);
        w0 = i16x8.shr_u(w0, 4);
        w1 = i16x8.shr_u(w1, 4);
        q = v128.load(v, 32);
        a0 = dot16(q, v128.and(w0, low), a0);
        a1 = dot16(q, v128.and(w1, low), a1);
        q = v128.load(v);
        b0 = dot16(q, v128.and(w0, high), b0);
        b1 = dot16(q, v128.and(w1, high), b1);
        w0 = v128.load(w, 16);
        w1 = v128.load(w, 48);
        q = v128.load(v, 112);
        c0 = dot16(q, v128.and(w0, low), c0);
        c1 = dot16(q, v128.and(w1, low), c1);
        q = v128.load(v, 80);
        d0 = dot16(q, v128.and(w0, high), d0);
        d1 = dot16(q, v128.and(w1, high), d1);
        w0 = i16x8.shr_u(w0, 4);
        w1 = i16x8.shr_u(w1, 4);
        q = v128.load(v, 48);
        c0 = dot16(q, v128.and(w0, low), c0);
        c1 = dot16(q, v128.and(w1, low), c1);
        q = v128.load(v, 16);
        d0 = dot16(q, v128.and(w0, high), d0);
        d1 = dot16(q, v128.and(w1, high), d1);
      }
      v128.store(to, i32x4.add(a0, i32x4.shr_s(b0, 2)));
      v128.store(to, i32x4.add(c0, i32x4.shr_s(d0, 2)), 16);
      v128.store(to, i32x4.add(a1, i32x4.shr_s(b1, 2)), 32);
      v128.store(to, i32x4.add(c1, i32x4.shr_s(d1, 2)), 48);
    }
    finishRows(scratch, rows, sum, activationScale, weightScale, out + (<usize>row << 2));
  }
  store<i32>(scratch, touched);
}

/** Codes of one row's 128-column block, 32 bytes at `from`, to 16 bytes at every 64th from `to`. */
// @ts-ignore: decorator
@inline
function unpackBlock(from: usize, to: usize): void {
  const mask = i8x16.splat(3);
  const a = v128.load(from), b = v128.load(from, 16);
  v128.store(to, v128.and(i16x8.shr_u(a, 6), mask));
  v128.store(to, v128.and(i16x8.shr_u(b, 6), mask), 64);
  v128.store(to, v128.and(i16x8.shr_u(a, 4), mask), 128);
  v128.store(to, v128.and(i16x8.shr_u(b, 4), mask), 192);
  v128.store(to, v128.and(i16x8.shr_u(a, 2), mask), 256);
  v128.store(to, v128.and(i16x8.shr_u(b, 2), mask), 320);
  v128.store(to, v128.and(a, mask), 384);
  v128.store(to, v128.and(b, mask), 448);
}

export function i2sGemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, count: i32, out: usize, outStride: i32, scratch: usize,
): void {
  const pair = <usize>width >> 1; // bytes of a row pair
  for (let row = rowBegin; row < rowEnd; row += 4) {
    // Unpack four rows once: 16 columns of row 0, of row 1, of row 2, of row 3, and so on.
    let from = weights + ((<usize>row * width) >> 2);
    for (let to = scratch, end = scratch + (<usize>width << 2); to < end; to += 512, from += 64) {
      unpackBlock(from, to);
      unpackBlock(from + 32, to + 16);
      unpackBlock(from + pair, to + 32);
      unpackBlock(from + pair + 32, to + 48);
    }
    let target = out + (<usize>row << 2);
    let index = 0;
    for (; index + 2 <= count; index += 2) {
      let a0 = i32x4.splat(0), a1 = i32x4.splat(0), a2 = i32x4.splat(0), a3 = i32x4.splat(0);
      let b0 = i32x4.splat(0), b1 = i32x4.splat(0), b2 = i32x4.splat(0), b3 = i32x4.splat(0);
      let p = values + <usize>index * width;
      let q = p + <usize>width;
      for (let codes = scratch, end = p + <usize>width; p < end; p += 16, q += 16, codes += 64) {
        const s = v128.load(p), t = v128.load(q);
        let c = v128.load(codes);
        a0 = dot16(s, c, a0);
        b0 = dot16(t, c, b0);
        c = v128.load(codes, 16);
        a1 = dot16(s, c, a1);
        b1 = dot16(t, c, b1);
        c = v128.load(codes, 32);
        a2 = dot16(s, c, a2);
        b2 = dot16(t, c, b2);
        c = v128.load(codes, 48);
        a3 = dot16(s, c, a3);
        b3 = dot16(t, c, b3);
      }
      const at = <usize>index << 2;
      v128.store(target, scaled4(sums4(a0, a1, a2, a3), v128.load32_splat(sums + at), v128.load32_splat(scales + at), weightScale));
      target += <usize>outStride << 2;
      v128.store(target, scaled4(sums4(b0, b1, b2, b3), v128.load32_splat(sums + at, 4), v128.load32_splat(scales + at, 4), weightScale));
      target += <usize>outStride << 2;
    }
    if (index < count) {
      let a0 = i32x4.splat(0), a1 = i32x4.splat(0), a2 = i32x4.splat(0), a3 = i32x4.splat(0);
      let p = values + <usize>index * width;
      for (let codes = scratch, end = p + <usize>width; p < end; p += 16, codes += 64) {
        const s = v128.load(p);
        a0 = dot16(s, v128.load(codes), a0);
        a1 = dot16(s, v128.load(codes, 16), a1);
        a2 = dot16(s, v128.load(codes, 32), a2);
        a3 = dot16(s, v128.load(codes, 48), a3);
      }
      const at = <usize>index << 2;
      v128.store(target, scaled4(sums4(a0, a1, a2, a3), v128.load32_splat(sums + at), v128.load32_splat(scales + at), weightScale));
    }
  }
}

/** Half of a 128-column block of a file's row, 32 bytes at `from`, as 128x32 has it. */
// @ts-ignore: decorator
@inline
function blockHalf(from: usize, layout: i32, half: i32): v128 {
  if (layout == 128) return v128.load(from + (<usize>half << 4));
  // 64x16 has columns 0..63 in the first 16 bytes and 64..127 in the second; this half's are every other pair of bits.
  let a = v128.load(from), b = v128.load(from, 16);
  if (half) {
    a = i16x8.shl(v128.and(a, i8x16.splat(0x3f)), 2);
    b = i16x8.shl(v128.and(b, i8x16.splat(0x3f)), 2);
  }
  const upper = v128.or(v128.and(a, i8x16.splat(<i8>0xc0)), v128.and(i16x8.shl(a, 2), i8x16.splat(0x30)));
  const lower = v128.or(v128.and(i16x8.shr_u(b, 4), i8x16.splat(0x0c)), v128.and(i16x8.shr_u(b, 2), i8x16.splat(0x03)));
  return v128.or(upper, lower);
}

export function packRowPairs(packed: usize, rows: i32, columns: i32, layout: i32, out: usize): i32 {
  const rowBytes = columns >> 2;
  for (let row = 0; row < rows; row++) {
    const source = packed + <usize>row * rowBytes;
    const target = out + <usize>(row & ~1) * rowBytes + ((row & 1) << 5);
    let invalid = i8x16.splat(0);
    for (let b: usize = 0; b < <usize>rowBytes; b += 32) {
      const first = blockHalf(source + b, layout, 0), second = blockHalf(source + b, layout, 1);
      // A code 3 has both bits set.
      const both = v128.or(v128.and(first, i16x8.shr_u(first, 1)), v128.and(second, i16x8.shr_u(second, 1)));
      invalid = v128.or(invalid, v128.and(both, i8x16.splat(0x55)));
      v128.store(target + 2 * b, first);
      v128.store(target + 2 * b, second, 16);
    }
    if (v128.any_true(invalid)) return row;
  }
  return -1;
}
