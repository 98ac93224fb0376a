// Products of an f32 matrix: see `f32Gemv`, `f32Gemm` and `copyF32` in src/contract-blocks.ts.
//
// The plain dot product has four accumulators of `lanes` floats, fused, added lane by lane as (a + c) + (b + d).
// Sixteen lanes go in two passes of eight over the row: sixteen accumulators would not stay in registers.
import { fma4, halve4 } from './lanes';
import { blasRow } from './f16-matmul';

/** Adds the columns from `full` on to `total`, one by one, fused. */
function addTail(total: f32, row: usize, vector: usize, full: i32, width: i32): f32 {
  for (let i: usize = <usize>full << 2, end = <usize>width << 2; i < end; i += 4) {
    const sum = fma4(v128.load32_zero(row + i), v128.load32_zero(vector + i), f32x4.splat(total));
    total = f32x4.extract_lane(sum, 0);
  }
  return total;
}

/** The plain dot product of two f32 rows. */
export function dotF32(row: usize, vector: usize, width: i32, lanes: i32): f32 {
  const step = <usize>lanes << 2; // bytes from one accumulator's columns to the next's
  const full = width & ~(4 * lanes - 1);
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
  for (let half: usize = 0; half < step; half += 32) {
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
    let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
    let r = row + half, v = vector + half;
    for (const end = r + (<usize>full << 2); r < end; r += step, v += step) {
      a0 = fma4(v128.load(r), v128.load(v), a0);
      a1 = fma4(v128.load(r, 16), v128.load(v, 16), a1);
      b0 = fma4(v128.load(r += step), v128.load(v += step), b0);
      b1 = fma4(v128.load(r, 16), v128.load(v, 16), b1);
      c0 = fma4(v128.load(r += step), v128.load(v += step), c0);
      c1 = fma4(v128.load(r, 16), v128.load(v, 16), c1);
      d0 = fma4(v128.load(r += step), v128.load(v += step), d0);
      d1 = fma4(v128.load(r, 16), v128.load(v, 16), d1);
    }
    s0 = s2;
    s1 = s3;
    s2 = f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0));
    s3 = f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1));
  }
  let total: f32;
  if (lanes == 16) total = halve4(f32x4.add(f32x4.add(s0, s2), f32x4.add(s1, s3)));
  else {
    const s = f32x4.add(s2, s3);
    total = (f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1)) + (f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3));
  }
  return full == width ? total : addTail(total, row, vector, full, width);
}

export function f32Gemv(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, vector: usize, out: usize, lanes: i32,
): void {
  for (let row = rowBegin; row < rowEnd; row++) {
    store<f32>(out + (<usize>row << 2), dotF32(matrix + ((<usize>row * width) << 2), vector, width, lanes));
  }
}

export function f32Gemm(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, vectors: usize, count: i32,
  out: usize, outStride: i32, lanes: i32,
): void {
  const rowBytes = <usize>width << 2;
  for (let row = rowBegin; row < rowEnd; row++) {
    blasRow(matrix + <usize>row * rowBytes, vectors, rowBytes, width, count, out + (<usize>row << 2), <usize>outStride << 2, lanes);
  }
}

export function copyF32(source: usize, count: i32, out: usize): void {
  memory.copy(out, source, <usize>count << 2);
}
