// Q4_0: see `q4_0Gemm` and `widenQ4_0` in src/contract-blocks.ts.
//
//   block of 32 columns = 18 bytes: | f16 scale | 16 bytes: byte j has column j in its low half, 16 + j in its high one |
//
// Range: a code less 8 is -8..7, so four products are at most 4 * 8 * 128 = 4,096, which f32 holds exactly.
import { dotCodes, halve8, splatF16, storeScaled } from './blocks';
import { fma4 } from './lanes';

function dotRow(row: usize, values: usize, scales: usize, blocks: i32): f32 {
  const eight = i8x16.splat(8), half = i8x16.splat(15), zero = i32x4.splat(0);
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 18, values += 32, scales += 4) {
    const scale = f32x4.mul(splatF16(row), v128.load32_splat(scales));
    const codes = v128.load(row, 2);
    const first = v128.load(values), second = v128.load(values, 16);
    const dot0 = dotCodes(first, v128.and(codes, half), zero);
    const dot1 = dotCodes(second, i8x16.shr_u(codes, 4), zero);
    low = fma4(scale, f32x4.convert_i32x4_s(i32x4.sub(dot0, dotCodes(first, eight, zero))), low);
    high = fma4(scale, f32x4.convert_i32x4_s(i32x4.sub(dot1, dotCodes(second, eight, zero))), high);
  }
  return halve8(low, high);
}

export function q4_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const blocks = width >> 5;
  for (let row = rowBegin; row < rowEnd; row++) {
    const w = weights + <usize>row * <usize>blocks * 18;
    for (let index = 0; index < count; index++) {
      const dot = dotRow(w, values + <usize>index * width, scales + ((<usize>index * blocks) << 2), blocks);
      store<f32>(out + ((<usize>index * outStride + row) << 2), dot);
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
