// Q6_K: see `q6KGemm` and `widenQ6K` in src/contract-blocks.ts.
//
//   block of 256 columns = 210 bytes: | 128 bytes: low 4 bits | 64 bytes: high 2 bits | 16 i8 scales | f16 scale |
//   half h (128 columns) of a block has 64 bytes a and b (32 each) of low bits and 32 bytes c of high bits; byte k has
//     column 128h      + k: low half of a[k],  bits 0-1 of c[k];    column 128h + 64 + k: high half of a[k], bits 4-5
//     column 128h + 32 + k: low half of b[k],  bits 2-3;            column 128h + 96 + k: high half of b[k], bits 6-7
//   16 columns share one of the i8 scales.
//
// Range: a code less 32 is -32..31; a lane's sum over a block is at most 8 * 4 * 32 * 128 * 128 = 2^24: exact in f32.
import { dotPairs, halve8, splatF16, storeScaled } from './blocks';
import { fma4 } from './lanes';

/** Codes 0..63 of 16 columns: four low bits, and two high ones where `high` has them, at bits 4 and 5. */
// @ts-ignore: decorator
@inline
function codes(low: v128, high: v128): v128 {
  return v128.or(v128.and(low, i8x16.splat(15)), v128.and(high, i8x16.splat(48)));
}

// Codes of columns k, 32 + k, 64 + k and 96 + k of a half, whose a begins at `p` and c at `c` (both + k).

// @ts-ignore: decorator
@inline
function codes0(p: usize, c: usize): v128 {
  return codes(v128.load(p), i16x8.shl(v128.load(c), 4));
}

// @ts-ignore: decorator
@inline
function codes1(p: usize, c: usize): v128 {
  return codes(v128.load(p, 32), i16x8.shl(v128.load(c), 2));
}

// @ts-ignore: decorator
@inline
function codes2(p: usize, c: usize): v128 {
  return codes(i16x8.shr_u(v128.load(p), 4), v128.load(c));
}

// @ts-ignore: decorator
@inline
function codes3(p: usize, c: usize): v128 {
  return codes(i16x8.shr_u(v128.load(p, 32), 4), i16x8.shr_u(v128.load(c), 2));
}

/**
 * sum + (products of 16 codes with `values` in pairs, less `less`) * the i8 at `scale`, in four lanes. A pair is at most
 * 64 * 128 in magnitude after that, and before it 2 * 63 * 128: i16 holds both.
 */
// @ts-ignore: decorator
@inline
function addScaledDot(c: v128, values: v128, less: v128, scale: usize, sum: v128): v128 {
  const products = i16x8.sub(dotPairs(values, c), less);
  return i32x4.add(sum, i32x4.dot_i16x8_s(products, i16x8.splat(<i16>load<i8>(scale))));
}

/**
 * Two rows `rowBytes` apart, which share the loads of the values; a single row is its own neighbour, with `rowBytes` 0.
 * The sum of the first is at `out`, of the second at `out2`.
 */
function dotRows2(row: usize, rowBytes: usize, values: usize, scales: usize, blocks: i32, out: usize, out2: usize): void {
  const thirtyTwo = i8x16.splat(32);
  let low0 = f32x4.splat(0), high0 = f32x4.splat(0), low1 = f32x4.splat(0), high1 = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 210, scales += 4) {
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0), b0 = i32x4.splat(0), b1 = i32x4.splat(0);
    let p = row, c = row + 128, s = row + 192;
    for (const end = values + 256; values < end; values += 128, p += 64, c += 32, s += 8) {
      // A half: a and b are the rows, 0 and 1 the lanes, of which the second's columns are 16 further on.
      const q = p + rowBytes, e = c + rowBytes, t = s + rowBytes;
      let v = v128.load(values), less = dotPairs(v, thirtyTwo);
      a0 = addScaledDot(codes0(p, c), v, less, s, a0);
      b0 = addScaledDot(codes0(q, e), v, less, t, b0);
      v = v128.load(values, 32);
      less = dotPairs(v, thirtyTwo);
      a0 = addScaledDot(codes1(p, c), v, less, s + 2, a0);
      b0 = addScaledDot(codes1(q, e), v, less, t + 2, b0);
      v = v128.load(values, 64);
      less = dotPairs(v, thirtyTwo);
      a0 = addScaledDot(codes2(p, c), v, less, s + 4, a0);
      b0 = addScaledDot(codes2(q, e), v, less, t + 4, b0);
      v = v128.load(values, 96);
      less = dotPairs(v, thirtyTwo);
      a0 = addScaledDot(codes3(p, c), v, less, s + 6, a0);
      b0 = addScaledDot(codes3(q, e), v, less, t + 6, b0);
      v = v128.load(values, 16);
      less = dotPairs(v, thirtyTwo);
      a1 = addScaledDot(codes0(p + 16, c + 16), v, less, s + 1, a1);
      b1 = addScaledDot(codes0(q + 16, e + 16), v, less, t + 1, b1);
      v = v128.load(values, 48);
      less = dotPairs(v, thirtyTwo);
      a1 = addScaledDot(codes1(p + 16, c + 16), v, less, s + 3, a1);
      b1 = addScaledDot(codes1(q + 16, e + 16), v, less, t + 3, b1);
      v = v128.load(values, 80);
      less = dotPairs(v, thirtyTwo);
      a1 = addScaledDot(codes2(p + 16, c + 16), v, less, s + 5, a1);
      b1 = addScaledDot(codes2(q + 16, e + 16), v, less, t + 5, b1);
      v = v128.load(values, 112);
      less = dotPairs(v, thirtyTwo);
      a1 = addScaledDot(codes3(p + 16, c + 16), v, less, s + 7, a1);
      b1 = addScaledDot(codes3(q + 16, e + 16), v, less, t + 7, b1);
    }
    const d = v128.load32_splat(scales);
    const scale0 = f32x4.mul(splatF16(row + 208), d), scale1 = f32x4.mul(splatF16(row + rowBytes + 208), d);
    low0 = fma4(scale0, f32x4.convert_i32x4_s(a0), low0);
    high0 = fma4(scale0, f32x4.convert_i32x4_s(a1), high0);
    low1 = fma4(scale1, f32x4.convert_i32x4_s(b0), low1);
    high1 = fma4(scale1, f32x4.convert_i32x4_s(b1), high1);
  }
  store<f32>(out2, halve8(low1, high1));
  store<f32>(out, halve8(low0, high0));
}

export function q6KGemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const blocks = width >> 8;
  const rowBytes = <usize>blocks * 210;
  for (let row = rowBegin; row < rowEnd; row += 2) {
    const apart: usize = row + 1 < rowEnd ? 1 : 0;
    let v = values, s = scales, target = out + (<usize>row << 2);
    for (let index = 0; index < count; index++, v += <usize>width, s += <usize>blocks << 2, target += <usize>outStride << 2) {
      dotRows2(weights + <usize>row * rowBytes, apart * rowBytes, v, s, blocks, target, target + (apart << 2));
    }
  }
}

/** 16 codes less 32, times the i8 at `scale` times `d`. */
// @ts-ignore: decorator
@inline
function widen(c: v128, d: v128, scale: usize, out: usize): void {
  storeScaled(i8x16.sub(c, i8x16.splat(32)), f32x4.mul(d, f32x4.splat(<f32>load<i8>(scale))), out);
}

export function widenQ6K(source: usize, count: i32, out: usize): void {
  for (const end = out + (<usize>count << 2); out < end; source += 210) {
    const d = splatF16(source + 208);
    let a = source, c = source + 128, s = source + 192;
    for (let half = 0; half < 2; half++, a += 64, c += 32, s += 8, out += 512) {
      for (let i: usize = 0; i < 2; i++) {
        const p = a + 16 * i, e = c + 16 * i, to = out + 64 * i;
        widen(codes0(p, e), d, s + i, to);
        widen(codes1(p, e), d, s + 2 + i, to + 128);
        widen(codes2(p, e), d, s + 4 + i, to + 256);
        widen(codes3(p, e), d, s + 6 + i, to + 384);
      }
    }
  }
}
