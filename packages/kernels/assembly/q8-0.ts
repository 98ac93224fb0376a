// Q8_0: see `q8_0Gemm` and `widenQ8_0` in src/contract-blocks.ts.
//
//   block of 32 columns = 34 bytes: | f16 scale | 32 i8 |
//
// Range: four products of i8 are at most 4 * 128 * 128 = 65,536, which f32 holds exactly.
import { dotBytes, gatherF16x4, halve8, splatF16, storeScaled } from './blocks';
import { fma4 } from './lanes';

function dotRow(row: usize, values: usize, scales: usize, blocks: i32): f32 {
  let low = f32x4.splat(0), high = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 34, values += 32, scales += 4) {
    const scale = f32x4.mul(splatF16(row), v128.load32_splat(scales));
    const dot0 = dotBytes(row + 2, v128.load8x8_s(values), v128.load8x8_s(values, 8));
    const dot1 = dotBytes(row + 18, v128.load8x8_s(values, 16), v128.load8x8_s(values, 24));
    low = fma4(scale, f32x4.convert_i32x4_s(dot0), low);
    high = fma4(scale, f32x4.convert_i32x4_s(dot1), high);
  }
  return halve8(low, high);
}

/** Four rows share the loads of the values. */
function dotRows4(row: usize, rowBytes: usize, values: usize, scales: usize, blocks: i32, out: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, row += 34, values += 32, scales += 4) {
    const scale = f32x4.mul(gatherF16x4(row, rowBytes), v128.load32_splat(scales));
    const v0 = v128.load8x8_s(values), v1 = v128.load8x8_s(values, 8);
    const v2 = v128.load8x8_s(values, 16), v3 = v128.load8x8_s(values, 24);
    let r = row + 2;
    let s = i32x4.shuffle(scale, scale, 0, 0, 0, 0);
    a0 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r, v0, v1)), a0);
    a1 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r + 16, v2, v3)), a1);
    r += rowBytes;
    s = i32x4.shuffle(scale, scale, 1, 1, 1, 1);
    b0 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r, v0, v1)), b0);
    b1 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r + 16, v2, v3)), b1);
    r += rowBytes;
    s = i32x4.shuffle(scale, scale, 2, 2, 2, 2);
    c0 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r, v0, v1)), c0);
    c1 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r + 16, v2, v3)), c1);
    r += rowBytes;
    s = i32x4.shuffle(scale, scale, 3, 3, 3, 3);
    d0 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r, v0, v1)), d0);
    d1 = fma4(s, f32x4.convert_i32x4_s(dotBytes(r + 16, v2, v3)), d1);
  }
  store<f32>(out, halve8(a0, a1));
  store<f32>(out, halve8(b0, b1), 4);
  store<f32>(out, halve8(c0, c1), 8);
  store<f32>(out, halve8(d0, d1), 12);
}

export function q8_0Gemm(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, count: i32,
  out: usize, outStride: i32,
): void {
  const blocks = width >> 5;
  const rowBytes = <usize>blocks * 34;
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

export function widenQ8_0(source: usize, count: i32, out: usize): void {
  for (const end = out + (<usize>count << 2); out < end; source += 34, out += 128) {
    const scale = splatF16(source);
    storeScaled(v128.load(source, 2), scale, out);
    storeScaled(v128.load(source, 18), scale, out + 64);
  }
}
