// Q4_0: see `q4_0Gemm` and `widenQ4_0` in src/contract-blocks.ts.
//
//   block of 32 columns = 18 bytes: | f16 scale | 16 bytes: byte j has column j in its low half, 16 + j in its high one |
//
// Range: a code less 8 is -8..7, so four products are at most 4 * 8 * 128 = 4,096, which f32 holds exactly.
import { dotCodes, gatherF16x4, halve8, splatF16, storeScaled } from './blocks';
import { fma4 } from './lanes';

/** The sums of sixteen columns' products, as f32; `eights` are those of their values times 8. */
// @ts-ignore: decorator
@inline
function dot16(values: v128, codes: v128, eights: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.sub(dotCodes(values, codes, i32x4.splat(0)), eights));
}

function dotRow(row: usize, values: usize, scales: usize, blocks: i32): f32 {
  const eight = i8x16.splat(8), half = i8x16.splat(15), zero = i32x4.splat(0);
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 18, values += 32, scales += 4) {
    const scale = f32x4.mul(splatF16(row), v128.load32_splat(scales));
    const codes = v128.load(row, 2);
    const first = v128.load(values), second = v128.load(values, 16);
    low = fma4(scale, dot16(first, v128.and(codes, half), dotCodes(first, eight, zero)), low);
    high = fma4(scale, dot16(second, i8x16.shr_u(codes, 4), dotCodes(second, eight, zero)), high);
  }
  return halve8(low, high);
}

/** Four rows share the loads of the values, and their sums. */
function dotRows4(row: usize, rowBytes: usize, values: usize, scales: usize, blocks: i32, out: usize): void {
  const eight = i8x16.splat(8), half = i8x16.splat(15), zero = i32x4.splat(0);
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 18, values += 32, scales += 4) {
    const scale = f32x4.mul(gatherF16x4(row, rowBytes), v128.load32_splat(scales));
    const v0 = v128.load(values), v1 = v128.load(values, 16);
    const e0 = dotCodes(v0, eight, zero), e1 = dotCodes(v1, eight, zero);
    let r = row + 2;
    let codes = v128.load(r);
    let s = i32x4.shuffle(scale, scale, 0, 0, 0, 0);
    a0 = fma4(s, dot16(v0, v128.and(codes, half), e0), a0);
    a1 = fma4(s, dot16(v1, v128.and(i16x8.shr_u(codes, 4), half), e1), a1);
    codes = v128.load((r += rowBytes));
    s = i32x4.shuffle(scale, scale, 1, 1, 1, 1);
    b0 = fma4(s, dot16(v0, v128.and(codes, half), e0), b0);
    b1 = fma4(s, dot16(v1, v128.and(i16x8.shr_u(codes, 4), half), e1), b1);
    codes = v128.load((r += rowBytes));
    s = i32x4.shuffle(scale, scale, 2, 2, 2, 2);
    c0 = fma4(s, dot16(v0, v128.and(codes, half), e0), c0);
    c1 = fma4(s, dot16(v1, v128.and(i16x8.shr_u(codes, 4), half), e1), c1);
    codes = v128.load((r += rowBytes));
    s = i32x4.shuffle(scale, scale, 3, 3, 3, 3);
    d0 = fma4(s, dot16(v0, v128.and(codes, half), e0), d0);
    d1 = fma4(s, dot16(v1, v128.and(i16x8.shr_u(codes, 4), half), e1), d1);
  }
  store<f32>(out, halve8(a0, a1));
  store<f32>(out, halve8(b0, b1), 4);
  store<f32>(out, halve8(c0, c1), 8);
  store<f32>(out, halve8(d0, d1), 12);
}

export function q4_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const blocks = width >> 5;
  const rowBytes = <usize>blocks * 18;
  let row = rowBegin;
  for (; row + 4 <= rowEnd; row += 4) {
    let v = values, s = scales, target = out + (<usize>row << 2);
    for (let index = 0; index < count; index++, v += <usize>width, s += <usize>blocks << 2, target += <usize>outStride << 2) {
      dotRows4(weights + <usize>row * rowBytes, rowBytes, v, s, blocks, target);
    }
  }
  for (; row < rowEnd; row++) {
    let v = values, s = scales, target = out + (<usize>row << 2);
    for (let index = 0; index < count; index++, v += <usize>width, s += <usize>blocks << 2, target += <usize>outStride << 2) {
      store<f32>(target, dotRow(weights + <usize>row * rowBytes, v, s, blocks));
    }
  }
}

export function widenQ4_0(source: usize, count: i32, out: usize): void {
  const eight = i8x16.splat(8), half = i8x16.splat(15);
  for (const end = out + (<usize>count << 2); out < end; source += 18, out += 128) {
    const scale = splatF16(source);
    const codes = v128.load(source, 2);
    storeScaled(i8x16.sub(v128.and(codes, half), eight), scale, out);
    storeScaled(i8x16.sub(i8x16.shr_u(codes, 4), eight), scale, out + 64);
  }
}
