// Q6_K: see `q6KGemm` and `widenQ6K` in src/contract-blocks.ts.
//
//   block of 256 columns = 210 bytes: | 128 bytes: low 4 bits | 64 bytes: high 2 bits | 16 i8 scales | f16 scale |
//   half h (128 columns) of a block has 64 bytes a and b (32 each) of low bits and 32 bytes c of high bits; byte k has
//     column 128h      + k: low half of a[k],  bits 0-1 of c[k];    column 128h + 64 + k: high half of a[k], bits 4-5
//     column 128h + 32 + k: low half of b[k],  bits 2-3;            column 128h + 96 + k: high half of b[k], bits 6-7
//   16 columns share one of the i8 scales.
//
// Range: a code less 32 is -32..31; a lane's sum over a block is at most 8 * 4 * 32 * 128 * 128 = 2^24: exact in f32.
import { dotCodes, halve8, splatF16, storeScaled } from './blocks';
import { fma4 } from './lanes';

/** Codes 0..63 of 16 columns: four low bits, and two high ones where `high` has them, at bits 4 and 5. */
// @ts-ignore: decorator
@inline
function codes(low: v128, high: v128): v128 {
  return v128.or(v128.and(low, i8x16.splat(15)), v128.and(high, i8x16.splat(48)));
}

/** sum + (dot product of 16 codes with `values`, less `less`) * the i8 at `scale`, in four lanes. */
// @ts-ignore: decorator
@inline
function addScaledDot(c: v128, values: v128, less: v128, scale: usize, sum: v128): v128 {
  const dot = i32x4.sub(dotCodes(values, c, i32x4.splat(0)), less);
  return i32x4.add(sum, i32x4.mul(dot, i32x4.splat(<i32>load<i8>(scale))));
}

/**
 * Two rows `rowBytes` apart, which share the loads of the values; a single row is its own neighbour, with `rowBytes` 0.
 * The sum of the first is at `out`, of the second at `out2`.
 */
function dotRows2(row: usize, rowBytes: usize, values: usize, scales: usize, blocks: i32, out: usize, out2: usize): void {
  const thirtyTwo = i8x16.splat(32), zero = i32x4.splat(0);
  let low0 = f32x4.splat(0), high0 = f32x4.splat(0), low1 = f32x4.splat(0), high1 = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 210, scales += 4) {
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0), b0 = i32x4.splat(0), b1 = i32x4.splat(0);
    let p = row, c = row + 128, s = row + 192;
    for (const end = values + 256; values < end; values += 128, p += 64, c += 32, s += 8) {
      for (let i: usize = 0; i < 2; i++) {
        // Columns 16i + k, 32 + 16i + k, 64 + ..., 96 + ... of the half; i chooses the lanes
        const x0 = v128.load(p + 16 * i), x1 = v128.load(p + 32 + 16 * i), xc = v128.load(c + 16 * i);
        const q = p + rowBytes, qc = c + rowBytes, qs = s + i + rowBytes;
        const y0 = v128.load(q + 16 * i), y1 = v128.load(q + 32 + 16 * i), yc = v128.load(qc + 16 * i);
        const v = values + 16 * i, t = s + i;
        let a = i == 0 ? a0 : a1, b = i == 0 ? b0 : b1;
        let u = v128.load(v);
        let less = dotCodes(u, thirtyTwo, zero);
        a = addScaledDot(codes(x0, i16x8.shl(xc, 4)), u, less, t, a);
        b = addScaledDot(codes(y0, i16x8.shl(yc, 4)), u, less, qs, b);
        u = v128.load(v, 32);
        less = dotCodes(u, thirtyTwo, zero);
        a = addScaledDot(codes(x1, i16x8.shl(xc, 2)), u, less, t + 2, a);
        b = addScaledDot(codes(y1, i16x8.shl(yc, 2)), u, less, qs + 2, b);
        u = v128.load(v, 64);
        less = dotCodes(u, thirtyTwo, zero);
        a = addScaledDot(codes(i16x8.shr_u(x0, 4), xc), u, less, t + 4, a);
        b = addScaledDot(codes(i16x8.shr_u(y0, 4), yc), u, less, qs + 4, b);
        u = v128.load(v, 96);
        less = dotCodes(u, thirtyTwo, zero);
        a = addScaledDot(codes(i16x8.shr_u(x1, 4), i16x8.shr_u(xc, 2)), u, less, t + 6, a);
        b = addScaledDot(codes(i16x8.shr_u(y1, 4), i16x8.shr_u(yc, 2)), u, less, qs + 6, b);
        if (i == 0) {
          a0 = a;
          b0 = b;
        } else {
          a1 = a;
          b1 = b;
        }
      }
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
        const low = v128.load(a + 16 * i), middle = v128.load(a + 32 + 16 * i), bits = v128.load(c + 16 * i);
        widen(codes(low, i16x8.shl(bits, 4)), d, s + i, out + 64 * i);
        widen(codes(middle, i16x8.shl(bits, 2)), d, s + 2 + i, out + 128 + 64 * i);
        widen(codes(i16x8.shr_u(low, 4), bits), d, s + 4 + i, out + 256 + 64 * i);
        widen(codes(i16x8.shr_u(middle, 4), i16x8.shr_u(bits, 2)), d, s + 6 + i, out + 384 + 64 * i);
      }
    }
  }
}
