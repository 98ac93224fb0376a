// Products of an f16 matrix with f32 vectors in the reference's two orders (numerics, sections 5.3 and 5.4):
// see `f16Gemv`, `f16Gemm`, `widenF16` and `roundToF16` in src/contract.ts.
import { fma4, halve4, loadF16x4, roundToF16x4 } from './lanes';

// @ts-ignore: decorator
@inline
function f16Product(matrix: usize, vector: usize): v128 {
  return f32x4.mul(loadF16x4(matrix), v128.load(vector));
}

/** The columns from `full` on, one by one: products in f32, their sum in f64. */
// @ts-ignore: decorator
@inline
function withTail(total: f32, matrix: usize, vector: usize, full: i32, width: i32): f32 {
  if (full == width) return total;
  let sum = <f64>total;
  for (let i = full; i < width; i += 4) {
    const products = f16Product(matrix + (<usize>i << 1), vector + (<usize>i << 2));
    sum += <f64>f32x4.extract_lane(products, 0);
    sum += <f64>f32x4.extract_lane(products, 1);
    sum += <f64>f32x4.extract_lane(products, 2);
    sum += <f64>f32x4.extract_lane(products, 3);
  }
  return <f32>sum;
}

/** The reference's f16 dot product, 8 lanes. Both sides hold f16 values: products are exact, so mul + add is fma. */
function dotF16Lanes8(matrix: usize, vector: usize, width: i32): f32 {
  // Four accumulators of 8 lanes, each two v128: a, b, c, d.
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  const full = width & ~31;
  let m = matrix, v = vector;
  for (const end = matrix + (<usize>full << 1); m < end; m += 64, v += 128) {
    a0 = f32x4.add(a0, f16Product(m, v));
    a1 = f32x4.add(a1, f16Product(m + 8, v + 16));
    b0 = f32x4.add(b0, f16Product(m + 16, v + 32));
    b1 = f32x4.add(b1, f16Product(m + 24, v + 48));
    c0 = f32x4.add(c0, f16Product(m + 32, v + 64));
    c1 = f32x4.add(c1, f16Product(m + 40, v + 80));
    d0 = f32x4.add(d0, f16Product(m + 48, v + 96));
    d1 = f32x4.add(d1, f16Product(m + 56, v + 112));
  }
  const s0 = f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0));
  const s1 = f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1));
  const s = f32x4.add(s0, s1);
  // Horizontal adds: neighbours, not halves.
  const total = (f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1)) + (f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3));
  return withTail(total, matrix, vector, full, width);
}

/** The same with 16 lanes: four accumulators of four v128, reduced by halving. */
function dotF16Lanes16(matrix: usize, vector: usize, width: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  let d0 = f32x4.splat(0), d1 = f32x4.splat(0), d2 = f32x4.splat(0), d3 = f32x4.splat(0);
  const full = width & ~63;
  let m = matrix, v = vector;
  for (const end = matrix + (<usize>full << 1); m < end; m += 128, v += 256) {
    a0 = f32x4.add(a0, f16Product(m, v));
    a1 = f32x4.add(a1, f16Product(m + 8, v + 16));
    a2 = f32x4.add(a2, f16Product(m + 16, v + 32));
    a3 = f32x4.add(a3, f16Product(m + 24, v + 48));
    b0 = f32x4.add(b0, f16Product(m + 32, v + 64));
    b1 = f32x4.add(b1, f16Product(m + 40, v + 80));
    b2 = f32x4.add(b2, f16Product(m + 48, v + 96));
    b3 = f32x4.add(b3, f16Product(m + 56, v + 112));
    c0 = f32x4.add(c0, f16Product(m + 64, v + 128));
    c1 = f32x4.add(c1, f16Product(m + 72, v + 144));
    c2 = f32x4.add(c2, f16Product(m + 80, v + 160));
    c3 = f32x4.add(c3, f16Product(m + 88, v + 176));
    d0 = f32x4.add(d0, f16Product(m + 96, v + 192));
    d1 = f32x4.add(d1, f16Product(m + 104, v + 208));
    d2 = f32x4.add(d2, f16Product(m + 112, v + 224));
    d3 = f32x4.add(d3, f16Product(m + 120, v + 240));
  }
  const s0 = f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0));
  const s1 = f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1));
  const s2 = f32x4.add(f32x4.add(a2, c2), f32x4.add(b2, d2));
  const s3 = f32x4.add(f32x4.add(a3, c3), f32x4.add(b3, d3));
  const total = halve4(f32x4.add(f32x4.add(s0, s2), f32x4.add(s1, s3)));
  return withTail(total, matrix, vector, full, width);
}

export function f16Gemv(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32, vector: usize, out: usize, lanes: i32,
): void {
  for (let row = rowBegin; row < rowEnd; row++) {
    const m = matrix + ((<usize>row * rowStride) << 1);
    const dot = lanes == 16 ? dotF16Lanes16(m, vector, width) : dotF16Lanes8(m, vector, width);
    store<f32>(out + (<usize>row << 2), dot);
  }
}

/** One matrix row with four vectors, 8 lanes: one accumulator of two v128 for each, fused. */
// @ts-ignore: decorator
@inline
function blasLanes8x4(matrix: usize, vectors: usize, stride: usize, width: i32, out: usize, outStride: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  const vb = vectors + stride, vc = vb + stride, vd = vc + stride;
  for (let i: usize = 0, end = <usize>width << 2; i < end; i += 32) {
    const m0 = loadF16x4(matrix + (i >> 1)), m1 = loadF16x4(matrix + (i >> 1) + 8);
    a0 = fma4(m0, v128.load(vectors + i), a0);
    a1 = fma4(m1, v128.load(vectors + i, 16), a1);
    b0 = fma4(m0, v128.load(vb + i), b0);
    b1 = fma4(m1, v128.load(vb + i, 16), b1);
    c0 = fma4(m0, v128.load(vc + i), c0);
    c1 = fma4(m1, v128.load(vc + i, 16), c1);
    d0 = fma4(m0, v128.load(vd + i), d0);
    d1 = fma4(m1, v128.load(vd + i, 16), d1);
  }
  store<f32>(out, halve4(f32x4.add(a0, a1)));
  store<f32>(out + outStride, halve4(f32x4.add(b0, b1)));
  store<f32>(out + 2 * outStride, halve4(f32x4.add(c0, c1)));
  store<f32>(out + 3 * outStride, halve4(f32x4.add(d0, d1)));
}

// @ts-ignore: decorator
@inline
function blasLanes8(matrix: usize, vector: usize, width: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0);
  for (let i: usize = 0, end = <usize>width << 2; i < end; i += 32) {
    a0 = fma4(loadF16x4(matrix + (i >> 1)), v128.load(vector + i), a0);
    a1 = fma4(loadF16x4(matrix + (i >> 1) + 8), v128.load(vector + i, 16), a1);
  }
  return halve4(f32x4.add(a0, a1));
}

/** Four v128 of 16 lanes to one sum by halving. */
// @ts-ignore: decorator
@inline
function halve16(a: v128, b: v128, c: v128, d: v128): f32 {
  return halve4(f32x4.add(f32x4.add(a, c), f32x4.add(b, d)));
}

/** One matrix row with two vectors, 16 lanes: one accumulator of four v128 for each, fused. */
// @ts-ignore: decorator
@inline
function blasLanes16x2(matrix: usize, vectors: usize, stride: usize, width: i32, out: usize, outStride: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  const vb = vectors + stride;
  for (let i: usize = 0, end = <usize>width << 2; i < end; i += 64) {
    const row = matrix + (i >> 1);
    let m = loadF16x4(row);
    a0 = fma4(m, v128.load(vectors + i), a0);
    b0 = fma4(m, v128.load(vb + i), b0);
    m = loadF16x4(row + 8);
    a1 = fma4(m, v128.load(vectors + i, 16), a1);
    b1 = fma4(m, v128.load(vb + i, 16), b1);
    m = loadF16x4(row + 16);
    a2 = fma4(m, v128.load(vectors + i, 32), a2);
    b2 = fma4(m, v128.load(vb + i, 32), b2);
    m = loadF16x4(row + 24);
    a3 = fma4(m, v128.load(vectors + i, 48), a3);
    b3 = fma4(m, v128.load(vb + i, 48), b3);
  }
  store<f32>(out, halve16(a0, a1, a2, a3));
  store<f32>(out + outStride, halve16(b0, b1, b2, b3));
}

// @ts-ignore: decorator
@inline
function blasLanes16(matrix: usize, vector: usize, width: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  for (let i: usize = 0, end = <usize>width << 2; i < end; i += 64) {
    const row = matrix + (i >> 1);
    a0 = fma4(loadF16x4(row), v128.load(vector + i), a0);
    a1 = fma4(loadF16x4(row + 8), v128.load(vector + i, 16), a1);
    a2 = fma4(loadF16x4(row + 16), v128.load(vector + i, 32), a2);
    a3 = fma4(loadF16x4(row + 24), v128.load(vector + i, 48), a3);
  }
  return halve16(a0, a1, a2, a3);
}

export function f16Gemm(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32,
  vectors: usize, vectorStride: i32, count: i32, out: usize, outStride: i32, lanes: i32,
): void {
  const stride = <usize>vectorStride << 2;
  const step = <usize>outStride << 2;
  for (let row = rowBegin; row < rowEnd; row++) {
    const m = matrix + ((<usize>row * rowStride) << 1);
    let target = out + (<usize>row << 2);
    let v = vectors;
    let index = 0;
    if (lanes == 16) {
      for (; index + 2 <= count; index += 2, v += 2 * stride, target += 2 * step) blasLanes16x2(m, v, stride, width, target, step);
      if (index < count) store<f32>(target, blasLanes16(m, v, width));
    } else {
      for (; index + 4 <= count; index += 4, v += 4 * stride, target += 4 * step) blasLanes8x4(m, v, stride, width, target, step);
      for (; index < count; index++, v += stride, target += step) store<f32>(target, blasLanes8(m, v, width));
    }
  }
}

export function widenF16(source: usize, count: i32, out: usize): void {
  for (const end = source + (<usize>count << 1); source < end; source += 8, out += 16) v128.store(out, loadF16x4(source));
}

export function roundToF16(source: usize, count: i32, out: usize): void {
  for (const end = source + (<usize>count << 2); source < end; source += 16, out += 16) {
    v128.store(out, roundToF16x4(v128.load(source)));
  }
}
