// Products of an f16 matrix with f32 vectors in the reference's two orders (numerics, sections 5.3 and 5.4):
// see `f16Gemv`, `f16Gemm`, `widenF16`, `roundToF16` and `findNonFiniteF16` in src/contract.ts.
//
// The plain dot product comes twice: over a row of f16 that is read once (the head), and over a row that was widened to
// f32 because several vectors read it (attention).
import { addExactProduct, F16_SCALE, fma4, halve4, loadF16x4, loadScaledF16x4, roundToF16x4 } from './lanes';

/** Sixteen lanes, four v128, to one sum by halving. */
// @ts-ignore: decorator
@inline
function halve16(a: v128, b: v128, c: v128, d: v128): f32 {
  return halve4(f32x4.add(f32x4.add(a, c), f32x4.add(b, d)));
}

/** Eight lanes of the plain dot product to one sum: halved once, then neighbours are added. */
// @ts-ignore: decorator
@inline
function sumNeighbours8(a: v128, b: v128): f32 {
  const s = f32x4.add(a, b);
  return (f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1)) + (f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3));
}

// The plain dot product: four accumulators of `lanes` floats, a, b, c, d, each of two v128 (0 and 1), added lane by lane
// as (a + c) + (b + d). Both factors hold f16 values, so every product is exact in f32. Columns beyond a multiple of
// 4 * lanes are added one by one in f64. Sixteen lanes go in two passes of eight over the row, the second from the
// cache: sixteen accumulators would not stay in registers.

/** Adds the columns from `full` on to `total`; row of f16, vector multiplied by 2^112. */
function addScaledTail(total: f32, row: usize, vector: usize, full: i32, width: i32): f32 {
  let sum = <f64>total;
  for (let i: usize = <usize>full; i < <usize>width; i += 4) {
    const products = f32x4.mul(loadScaledF16x4(row + (i << 1)), v128.load(vector + (i << 2)));
    sum += <f64>f32x4.extract_lane(products, 0);
    sum += <f64>f32x4.extract_lane(products, 1);
    sum += <f64>f32x4.extract_lane(products, 2);
    sum += <f64>f32x4.extract_lane(products, 3);
  }
  return <f32>sum;
}

/** Adds the columns from `full` on to `total`; row of f32. */
function addTail(total: f32, row: usize, vector: usize, full: i32, width: i32): f32 {
  let sum = <f64>total;
  for (let i: usize = <usize>full << 2, end = <usize>width << 2; i < end; i += 4) {
    sum += <f64>(load<f32>(row + i) * load<f32>(vector + i));
  }
  return <f32>sum;
}

/** Row of finite f16, vector multiplied by 2^112; 8 lanes. */
function dotScaledLanes8(row: usize, vector: usize, width: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  const full = width & ~31;
  let r = row, v = vector;
  for (const end = row + (<usize>full << 1); r < end; r += 64, v += 128) {
    a0 = addExactProduct(loadScaledF16x4(r), v128.load(v), a0);
    a1 = addExactProduct(loadScaledF16x4(r + 8), v128.load(v, 16), a1);
    b0 = addExactProduct(loadScaledF16x4(r + 16), v128.load(v, 32), b0);
    b1 = addExactProduct(loadScaledF16x4(r + 24), v128.load(v, 48), b1);
    c0 = addExactProduct(loadScaledF16x4(r + 32), v128.load(v, 64), c0);
    c1 = addExactProduct(loadScaledF16x4(r + 40), v128.load(v, 80), c1);
    d0 = addExactProduct(loadScaledF16x4(r + 48), v128.load(v, 96), d0);
    d1 = addExactProduct(loadScaledF16x4(r + 56), v128.load(v, 112), d1);
  }
  const s0 = f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0));
  const s1 = f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1));
  const total = sumNeighbours8(s0, s1);
  return full == width ? total : addScaledTail(total, row, vector, full, width);
}

/** Row of finite f16, vector multiplied by 2^112; 16 lanes. */
function dotScaledLanes16(row: usize, vector: usize, width: i32): f32 {
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
  const full = width & ~63;
  for (let half: usize = 0; half < 2; half++) {
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
    let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
    let r = row + (half << 4), v = vector + (half << 5);
    for (const end = r + (<usize>full << 1); r < end; r += 128, v += 256) {
      a0 = addExactProduct(loadScaledF16x4(r), v128.load(v), a0);
      a1 = addExactProduct(loadScaledF16x4(r + 8), v128.load(v, 16), a1);
      b0 = addExactProduct(loadScaledF16x4(r + 32), v128.load(v, 64), b0);
      b1 = addExactProduct(loadScaledF16x4(r + 40), v128.load(v, 80), b1);
      c0 = addExactProduct(loadScaledF16x4(r + 64), v128.load(v, 128), c0);
      c1 = addExactProduct(loadScaledF16x4(r + 72), v128.load(v, 144), c1);
      d0 = addExactProduct(loadScaledF16x4(r + 96), v128.load(v, 192), d0);
      d1 = addExactProduct(loadScaledF16x4(r + 104), v128.load(v, 208), d1);
    }
    s0 = s2;
    s1 = s3;
    s2 = f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0));
    s3 = f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1));
  }
  const total = halve16(s0, s1, s2, s3);
  return full == width ? total : addScaledTail(total, row, vector, full, width);
}

/** Row of f32; 8 lanes. */
function dotLanes8(row: usize, vector: usize, width: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  const full = width & ~31;
  let r = row, v = vector;
  for (const end = row + (<usize>full << 2); r < end; r += 128, v += 128) {
    a0 = addExactProduct(v128.load(r), v128.load(v), a0);
    a1 = addExactProduct(v128.load(r, 16), v128.load(v, 16), a1);
    b0 = addExactProduct(v128.load(r, 32), v128.load(v, 32), b0);
    b1 = addExactProduct(v128.load(r, 48), v128.load(v, 48), b1);
    c0 = addExactProduct(v128.load(r, 64), v128.load(v, 64), c0);
    c1 = addExactProduct(v128.load(r, 80), v128.load(v, 80), c1);
    d0 = addExactProduct(v128.load(r, 96), v128.load(v, 96), d0);
    d1 = addExactProduct(v128.load(r, 112), v128.load(v, 112), d1);
  }
  const s0 = f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0));
  const s1 = f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1));
  const total = sumNeighbours8(s0, s1);
  return full == width ? total : addTail(total, row, vector, full, width);
}

/** Row of f32; 16 lanes. */
function dotLanes16(row: usize, vector: usize, width: i32): f32 {
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
  const full = width & ~63;
  for (let half: usize = 0; half < 2; half++) {
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
    let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
    let r = row + (half << 5), v = vector + (half << 5);
    for (const end = r + (<usize>full << 2); r < end; r += 256, v += 256) {
      a0 = addExactProduct(v128.load(r), v128.load(v), a0);
      a1 = addExactProduct(v128.load(r, 16), v128.load(v, 16), a1);
      b0 = addExactProduct(v128.load(r, 64), v128.load(v, 64), b0);
      b1 = addExactProduct(v128.load(r, 80), v128.load(v, 80), b1);
      c0 = addExactProduct(v128.load(r, 128), v128.load(v, 128), c0);
      c1 = addExactProduct(v128.load(r, 144), v128.load(v, 144), c1);
      d0 = addExactProduct(v128.load(r, 192), v128.load(v, 192), d0);
      d1 = addExactProduct(v128.load(r, 208), v128.load(v, 208), d1);
    }
    s0 = s2;
    s1 = s3;
    s2 = f32x4.add(f32x4.add(a0, c0), f32x4.add(b0, d0));
    s3 = f32x4.add(f32x4.add(a1, c1), f32x4.add(b1, d1));
  }
  const total = halve16(s0, s1, s2, s3);
  return full == width ? total : addTail(total, row, vector, full, width);
}

/** The plain dot product of an f32 row that holds f16 values with a vector that does. */
export function dotF16(row: usize, vector: usize, width: i32, lanes: i32): f32 {
  return lanes == 16 ? dotLanes16(row, vector, width) : dotLanes8(row, vector, width);
}

export function f16Gemv(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32, vector: usize, out: usize, lanes: i32,
  scratch: usize,
): void {
  const scale = f32x4.splat(F16_SCALE);
  for (let i: usize = 0, bytes = <usize>width << 2; i < bytes; i += 16) {
    v128.store(scratch + i, f32x4.mul(v128.load(vector + i), scale));
  }
  for (let row = rowBegin; row < rowEnd; row++) {
    const m = matrix + ((<usize>row * rowStride) << 1);
    const dot = lanes == 16 ? dotScaledLanes16(m, scratch, width) : dotScaledLanes8(m, scratch, width);
    store<f32>(out + (<usize>row << 2), dot);
  }
}

// The small matrix product's dot product: one accumulator of `lanes`, fused, reduced by halving. The row is f32; four
// vectors (8 lanes) or two (16 lanes) share its loads.

function blasLanes8x4(row: usize, vectors: usize, stride: usize, width: i32, out: usize, outStride: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  let va = vectors, vb = vectors + stride, vc = vb + stride, vd = vc + stride;
  for (const end = row + (<usize>width << 2); row < end; row += 32, va += 32, vb += 32, vc += 32, vd += 32) {
    const r0 = v128.load(row), r1 = v128.load(row, 16);
    a0 = fma4(r0, v128.load(va), a0);
    a1 = fma4(r1, v128.load(va, 16), a1);
    b0 = fma4(r0, v128.load(vb), b0);
    b1 = fma4(r1, v128.load(vb, 16), b1);
    c0 = fma4(r0, v128.load(vc), c0);
    c1 = fma4(r1, v128.load(vc, 16), c1);
    d0 = fma4(r0, v128.load(vd), d0);
    d1 = fma4(r1, v128.load(vd, 16), d1);
  }
  store<f32>(out, halve4(f32x4.add(a0, a1)));
  store<f32>(out + outStride, halve4(f32x4.add(b0, b1)));
  store<f32>(out + 2 * outStride, halve4(f32x4.add(c0, c1)));
  store<f32>(out + 3 * outStride, halve4(f32x4.add(d0, d1)));
}

function blasLanes8(row: usize, vector: usize, width: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0);
  for (const end = row + (<usize>width << 2); row < end; row += 32, vector += 32) {
    a0 = fma4(v128.load(row), v128.load(vector), a0);
    a1 = fma4(v128.load(row, 16), v128.load(vector, 16), a1);
  }
  return halve4(f32x4.add(a0, a1));
}

function blasLanes16x2(row: usize, vectors: usize, stride: usize, width: i32, out: usize, outStride: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  let va = vectors, vb = vectors + stride;
  for (const end = row + (<usize>width << 2); row < end; row += 64, va += 64, vb += 64) {
    let r = v128.load(row);
    a0 = fma4(r, v128.load(va), a0);
    b0 = fma4(r, v128.load(vb), b0);
    r = v128.load(row, 16);
    a1 = fma4(r, v128.load(va, 16), a1);
    b1 = fma4(r, v128.load(vb, 16), b1);
    r = v128.load(row, 32);
    a2 = fma4(r, v128.load(va, 32), a2);
    b2 = fma4(r, v128.load(vb, 32), b2);
    r = v128.load(row, 48);
    a3 = fma4(r, v128.load(va, 48), a3);
    b3 = fma4(r, v128.load(vb, 48), b3);
  }
  store<f32>(out, halve16(a0, a1, a2, a3));
  store<f32>(out + outStride, halve16(b0, b1, b2, b3));
}

function blasLanes16(row: usize, vector: usize, width: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  for (const end = row + (<usize>width << 2); row < end; row += 64, vector += 64) {
    a0 = fma4(v128.load(row), v128.load(vector), a0);
    a1 = fma4(v128.load(row, 16), v128.load(vector, 16), a1);
    a2 = fma4(v128.load(row, 32), v128.load(vector, 32), a2);
    a3 = fma4(v128.load(row, 48), v128.load(vector, 48), a3);
  }
  return halve16(a0, a1, a2, a3);
}

/** The small matrix product of one f32 row with `count` vectors; strides in bytes. */
export function blasRow(
  row: usize, vectors: usize, stride: usize, width: i32, count: i32, out: usize, outStride: usize, lanes: i32,
): void {
  let index = 0;
  if (lanes == 16) {
    for (; index + 2 <= count; index += 2, vectors += 2 * stride, out += 2 * outStride) {
      blasLanes16x2(row, vectors, stride, width, out, outStride);
    }
    if (index < count) store<f32>(out, blasLanes16(row, vectors, width));
  } else {
    for (; index + 4 <= count; index += 4, vectors += 4 * stride, out += 4 * outStride) {
      blasLanes8x4(row, vectors, stride, width, out, outStride);
    }
    for (; index < count; index++, vectors += stride, out += outStride) store<f32>(out, blasLanes8(row, vectors, width));
  }
}

export function f16Gemm(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32,
  vectors: usize, vectorStride: i32, count: i32, out: usize, outStride: i32, lanes: i32, scratch: usize,
): void {
  for (let row = rowBegin; row < rowEnd; row++) {
    widenF16(matrix + ((<usize>row * rowStride) << 1), width, scratch);
    blasRow(scratch, vectors, <usize>vectorStride << 2, width, count, out + (<usize>row << 2), <usize>outStride << 2, lanes);
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

export function findNonFiniteF16(source: usize, count: i32): i32 {
  const exponent = i16x8.splat(0x7c00);
  for (let i = 0; i < count; i += 8) {
    const special = i16x8.eq(v128.and(v128.load(source + (<usize>i << 1)), exponent), exponent);
    if (v128.any_true(special)) return i + <i32>ctz(i16x8.bitmask(special));
  }
  return -1;
}
