// TQ2_0, and TQ1_0 transcoded to it: see `tq2_0Gemm`, `widenTq2_0` and `tq1_0ToTq2_0` in src/contract-blocks.ts.
//
//   TQ2_0, block of 256 columns = 66 bytes: | 64 bytes of codes | f16 scale |
//     byte 32h + k has columns 128h + k, 128h + 32 + k, 128h + 64 + k, 128h + 96 + k, lowest bits first
//   TQ1_0, block of 256 columns = 54 bytes: | 48 bytes | 4 bytes | f16 scale |
//     a byte q holds digits in base 3 as a fraction, rounded up: digit n is (3 * (q * 3^n mod 256)) >> 8;
//     byte k < 32 has columns 32n + k, n = 0..4; byte 32 + k columns 160 + 16n + k; byte 48 + k columns 240 + 4n + k, n = 0..3
//
// Range: codes are 0..3, so a lane's sum over a block is at most 8 * 4 * 3 * 128 and 32 * 128 more: exact in f32.
import { dotCodes, halve8, splatF16, storeScaled } from './blocks';

function dotRow(row: usize, values: usize, scales: usize, sums: usize, blocks: i32): f32 {
  const one = i8x16.splat(3), four = i8x16.splat(12);
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 66, values += 256, scales += 4, sums += 32) {
    // Codes in bits 0-1 count once, those in bits 2-3 four times: a lane's sum is a + b / 4, exactly.
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0), b0 = i32x4.splat(0), b1 = i32x4.splat(0);
    for (let half: usize = 0; half < 2; half++) {
      const w = row + 32 * half, v = values + 128 * half;
      let c0 = v128.load(w), c1 = v128.load(w, 16);
      a0 = dotCodes(v128.load(v), v128.and(c0, one), a0);
      a1 = dotCodes(v128.load(v, 16), v128.and(c1, one), a1);
      b0 = dotCodes(v128.load(v, 32), v128.and(c0, four), b0);
      b1 = dotCodes(v128.load(v, 48), v128.and(c1, four), b1);
      c0 = i16x8.shr_u(c0, 4);
      c1 = i16x8.shr_u(c1, 4);
      a0 = dotCodes(v128.load(v, 64), v128.and(c0, one), a0);
      a1 = dotCodes(v128.load(v, 80), v128.and(c1, one), a1);
      b0 = dotCodes(v128.load(v, 96), v128.and(c0, four), b0);
      b1 = dotCodes(v128.load(v, 112), v128.and(c1, four), b1);
    }
    a0 = i32x4.sub(i32x4.add(a0, i32x4.shr_s(b0, 2)), i32x4.extadd_pairwise_i16x8_s(v128.load(sums)));
    a1 = i32x4.sub(i32x4.add(a1, i32x4.shr_s(b1, 2)), i32x4.extadd_pairwise_i16x8_s(v128.load(sums, 16)));
    const scale = f32x4.mul(splatF16(row + 64), v128.load32_splat(scales));
    low = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(a0), scale), low);
    high = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(a1), scale), high);
  }
  return halve8(low, high);
}

export function tq2_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const blocks = width >> 8;
  for (let row = rowBegin; row < rowEnd; row++) {
    const w = weights + <usize>row * <usize>blocks * 66;
    for (let index = 0; index < count; index++) {
      const at = <usize>index * width;
      const dot = dotRow(w, values + at, scales + (at >> 6), sums + (at >> 3), blocks);
      store<f32>(out + ((<usize>index * outStride + row) << 2), dot);
    }
  }
}

export function widenTq2_0(source: usize, count: i32, out: usize): void {
  const mask = i8x16.splat(3), one = i8x16.splat(1);
  for (const end = out + (<usize>count << 2); out < end; source += 66) {
    const scale = splatF16(source + 64);
    for (let half: usize = 0; half < 2; half++) {
      for (let i: usize = 0; i < 4; i++, out += 128) {
        const c0 = i8x16.shr_u(v128.load(source + 32 * half), 2 * <i32>i);
        const c1 = i8x16.shr_u(v128.load(source + 32 * half + 16), 2 * <i32>i);
        storeScaled(i8x16.sub(v128.and(c0, mask), one), scale, out);
        storeScaled(i8x16.sub(v128.and(c1, mask), one), scale, out + 64);
      }
    }
  }
}

/** The first digits of 16 bytes: (3 * q) >> 8 is 0 below 86, 1 below 171, else 2. */
// @ts-ignore: decorator
@inline
function digits(q: v128): v128 {
  return i8x16.neg(i8x16.add(i8x16.ge_u(q, i8x16.splat(86)), i8x16.ge_u(q, i8x16.splat(<i8>171))));
}

/** 16 bytes without their first digits: q * 3, modulo 256. */
// @ts-ignore: decorator
@inline
function next(q: v128): v128 {
  return i8x16.add(q, i8x16.add(q, q));
}

/** Codes of 16 bytes of TQ2_0 from the columns 0, 32, 64 and 96 further on. */
// @ts-ignore: decorator
@inline
function joined(a: v128, b: v128, c: v128, d: v128): v128 {
  return v128.or(v128.or(a, i8x16.shl(b, 2)), v128.or(i8x16.shl(c, 4), i8x16.shl(d, 6)));
}

export function tq1_0ToTq2_0(source: usize, count: i32, out: usize): void {
  for (const end = source + <usize>(count >> 8) * 54; source < end; source += 54, out += 66) {
    const p0 = v128.load(source), p1 = next(p0), p2 = next(p1), p3 = next(p2), p4 = next(p3);
    const q0 = v128.load(source, 16), q1 = next(q0), q2 = next(q1), q3 = next(q2), q4 = next(q3);
    const r0 = v128.load(source, 32), r1 = next(r0), r2 = next(r1), r3 = next(r2), r4 = next(r3);
    const s0 = v128.load32_splat(source, 48), s1 = next(s0), s2 = next(s1), s3 = next(s2);
    const last = i8x16.shuffle(i8x16.shuffle(s0, s1, 0, 1, 2, 3, 16, 17, 18, 19, 0, 0, 0, 0, 0, 0, 0, 0),
      i8x16.shuffle(s2, s3, 0, 1, 2, 3, 16, 17, 18, 19, 0, 0, 0, 0, 0, 0, 0, 0), 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    v128.store(out, joined(digits(p0), digits(p1), digits(p2), digits(p3)));
    v128.store(out, joined(digits(q0), digits(q1), digits(q2), digits(q3)), 16);
    v128.store(out, joined(digits(p4), digits(r0), digits(r2), digits(r4)), 32);
    v128.store(out, joined(digits(q4), digits(r1), digits(r3), digits(last)), 48);
    store<u16>(out, load<u16>(source, 52), 64);
  }
}
