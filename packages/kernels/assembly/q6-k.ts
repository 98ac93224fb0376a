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

/** sum + (dot product of 16 codes less 32 with the 16 values at `v`) * the i8 at `scale`, in four lanes. */
// @ts-ignore: decorator
@inline
function addScaledDot(c: v128, v: usize, scale: usize, sum: v128): v128 {
  const values = v128.load(v);
  const zero = i32x4.splat(0);
  const dot = i32x4.sub(dotCodes(values, c, zero), dotCodes(values, i8x16.splat(32), zero));
  return i32x4.add(sum, i32x4.mul(dot, i32x4.splat(<i32>load<i8>(scale))));
}

function dotRow(row: usize, values: usize, scales: usize, blocks: i32): f32 {
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 210, scales += 4) {
    let sum0 = i32x4.splat(0), sum1 = i32x4.splat(0);
    let a = row, c = row + 128, s = row + 192;
    for (const end = values + 256; values < end; values += 128, a += 64, c += 32, s += 8) {
      const a0 = v128.load(a), a1 = v128.load(a, 16), b0 = v128.load(a, 32), b1 = v128.load(a, 48);
      const c0 = v128.load(c), c1 = v128.load(c, 16);
      sum0 = addScaledDot(codes(a0, i16x8.shl(c0, 4)), values, s, sum0);
      sum1 = addScaledDot(codes(a1, i16x8.shl(c1, 4)), values + 16, s + 1, sum1);
      sum0 = addScaledDot(codes(b0, i16x8.shl(c0, 2)), values + 32, s + 2, sum0);
      sum1 = addScaledDot(codes(b1, i16x8.shl(c1, 2)), values + 48, s + 3, sum1);
      sum0 = addScaledDot(codes(i16x8.shr_u(a0, 4), c0), values + 64, s + 4, sum0);
      sum1 = addScaledDot(codes(i16x8.shr_u(a1, 4), c1), values + 80, s + 5, sum1);
      sum0 = addScaledDot(codes(i16x8.shr_u(b0, 4), i16x8.shr_u(c0, 2)), values + 96, s + 6, sum0);
      sum1 = addScaledDot(codes(i16x8.shr_u(b1, 4), i16x8.shr_u(c1, 2)), values + 112, s + 7, sum1);
    }
    const scale = f32x4.mul(splatF16(row + 208), v128.load32_splat(scales));
    low = fma4(scale, f32x4.convert_i32x4_s(sum0), low);
    high = fma4(scale, f32x4.convert_i32x4_s(sum1), high);
  }
  return halve8(low, high);
}

export function q6KGemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const blocks = width >> 8;
  for (let row = rowBegin; row < rowEnd; row++) {
    const w = weights + <usize>row * <usize>blocks * 210;
    for (let index = 0; index < count; index++) {
      const dot = dotRow(w, values + <usize>index * width, scales + ((<usize>index * blocks) << 2), blocks);
      store<f32>(out + ((<usize>index * outStride + row) << 2), dot);
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
