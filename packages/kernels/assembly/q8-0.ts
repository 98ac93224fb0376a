// Q8_0: see `q8_0Gemm` and `widenQ8_0` in src/contract-blocks.ts.
//
//   block of 32 columns = 34 bytes: | f16 scale | 32 i8 |
//
// Range: four products of i8 are at most 4 * 128 * 128 = 65,536, which f32 holds exactly.
import { dotBytes, halve8, splatF16, storeScaled } from './blocks';
import { fma4 } from './lanes';

function dotRow(row: usize, values: usize, scales: usize, blocks: i32): f32 {
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 34, values += 32, scales += 4) {
    const scale = f32x4.mul(splatF16(row), v128.load32_splat(scales));
    low = fma4(scale, f32x4.convert_i32x4_s(dotBytes(row + 2, values)), low);
    high = fma4(scale, f32x4.convert_i32x4_s(dotBytes(row + 18, values + 16)), high);
  }
  return halve8(low, high);
}

export function q8_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const blocks = width >> 5;
  for (let row = rowBegin; row < rowEnd; row++) {
    const w = weights + <usize>row * <usize>blocks * 34;
    for (let index = 0; index < count; index++) {
      const dot = dotRow(w, values + <usize>index * width, scales + ((<usize>index * blocks) << 2), blocks);
      store<f32>(out + ((<usize>index * outStride + row) << 2), dot);
    }
  }
}

export function widenQ8_0(source: usize, count: i32, out: usize): void {
  for (const end = out + (<usize>count << 2); out < end; source += 34, out += 128) {
    const scale = splatF16(source);
    storeScaled(v128.load(source, 2), scale, out);
    storeScaled(v128.load(source, 18), scale, out + 64);
  }
}
