// Products of an f16 matrix with f32 vectors in the reference's two orders (numerics, sections 5.3 and 5.4):
// see `f16Gemv`, `f16Gemm`, `widenF16`, `roundToF16` and `findNonFiniteF16` in src/contract.ts.
//
// The plain dot product is here over rows of f16 that are read once (the head); attention-tiles.ts has it over rows that were
// widened to f32, because several vectors read them.
import { addExactProduct, F16_SCALE, fma4, halve4, roundToF16x4, SCALED_F16, scaledF16x4, widenF16x4 } from './lanes';
import { touch, touchAhead, TOUCHED_BYTES } from './touch';

/** Sixteen lanes, four v128, to one sum by halving. */
// @ts-ignore: decorator
@inline
function halve16(a: v128, b: v128, c: v128, d: v128): f32 {
  return halve4(f32x4.add(f32x4.add(a, c), f32x4.add(b, d)));
}

// The plain dot product: four accumulators of `lanes` floats, a, b, c, d, added lane by lane as (a + c) + (b + d). Both
// factors hold f16 values, so every product is exact in f32. Columns beyond a multiple of 4 * lanes are added one by one
// in f64.

/** Adds the columns from `full` on to `total`; row of f16, vector multiplied by 2^112. */
function addScaledTail(total: f32, row: usize, vector: usize, full: i32, width: i32): f32 {
  let sum = <f64>total;
  for (let i: usize = <usize>full; i < <usize>width; i += 4) {
    const products = f32x4.mul(scaledF16x4(v128.load16x4_s(row + (i << 1))), v128.load(vector + (i << 2)));
    sum += <f64>f32x4.extract_lane(products, 0);
    sum += <f64>f32x4.extract_lane(products, 1);
    sum += <f64>f32x4.extract_lane(products, 2);
    sum += <f64>f32x4.extract_lane(products, 3);
  }
  return <f32>sum;
}

// The head's rows are read once, so they are widened on the way, and without a shuffle: a v128 of eight f16 is four i32,
// in which the columns 1, 3, 5, 7 are the upper halves, and 0, 2, 4, 6 come there by a shift. The vector is brought to
// that order once a call:
//
//   16 columns: | 0 2 4 6 | 8 10 12 14 | 1 3 5 7 | 9 11 13 15 |, then 16 more, and so on.
//
// Pairs of adjacent v128 are treated alike, which V8's revectorizer joins to 256-bit instructions. An f16 from bit 16 on,
// shifted right by 3, is an f32 that is 2^112 times too small.

/** The first `full` columns of `vector` times 2^112 in the order above; `full` is a multiple of 16. */
function arrangeVector(vector: usize, full: i32, out: usize): void {
  const scale = f32x4.splat(F16_SCALE);
  for (const end = vector + (<usize>full << 2); vector < end; vector += 64, out += 64) {
    const a = f32x4.mul(v128.load(vector), scale), b = f32x4.mul(v128.load(vector, 16), scale);
    const c = f32x4.mul(v128.load(vector, 32), scale), d = f32x4.mul(v128.load(vector, 48), scale);
    v128.store(out, i32x4.shuffle(a, b, 0, 2, 4, 6));
    v128.store(out, i32x4.shuffle(c, d, 0, 2, 4, 6), 16);
    v128.store(out, i32x4.shuffle(a, b, 1, 3, 5, 7), 32);
    v128.store(out, i32x4.shuffle(c, d, 1, 3, 5, 7), 48);
  }
}

/**
 * Sums of the products of 16 columns of every `step`, and of the 16 that lie half a step further: 16 sums to `out`, for
 * the columns 0 to 15 in the order above.
 *
 * @param row - finite f16
 * @param end - of the row's columns
 * @param vector - f32 in the order above
 * @param step - bytes of the row, 64 or 128
 */
// @ts-ignore: decorator
@inline
function sumColumns(row: usize, end: usize, vector: usize, step: usize, out: usize): void {
  const mask = i32x4.splat(SCALED_F16);
  let e0 = f32x4.splat(0), E0 = f32x4.splat(0), o0 = f32x4.splat(0), O0 = f32x4.splat(0);
  let e1 = f32x4.splat(0), E1 = f32x4.splat(0), o1 = f32x4.splat(0), O1 = f32x4.splat(0);
  let later = row + (step >> 1), laterVector = vector + step;
  for (; row < end; row += step, later += step, vector += 2 * step, laterVector += 2 * step) {
    let w = v128.load(row), W = v128.load(row, 16);
    e0 = addExactProduct(v128.and(i32x4.shr_s(i32x4.shl(w, 16), 3), mask), v128.load(vector), e0);
    E0 = addExactProduct(v128.and(i32x4.shr_s(i32x4.shl(W, 16), 3), mask), v128.load(vector, 16), E0);
    o0 = addExactProduct(v128.and(i32x4.shr_s(w, 3), mask), v128.load(vector, 32), o0);
    O0 = addExactProduct(v128.and(i32x4.shr_s(W, 3), mask), v128.load(vector, 48), O0);
    w = v128.load(later);
    W = v128.load(later, 16);
    e1 = addExactProduct(v128.and(i32x4.shr_s(i32x4.shl(w, 16), 3), mask), v128.load(laterVector), e1);
    E1 = addExactProduct(v128.and(i32x4.shr_s(i32x4.shl(W, 16), 3), mask), v128.load(laterVector, 16), E1);
    o1 = addExactProduct(v128.and(i32x4.shr_s(w, 3), mask), v128.load(laterVector, 32), o1);
    O1 = addExactProduct(v128.and(i32x4.shr_s(W, 3), mask), v128.load(laterVector, 48), O1);
  }
  v128.store(out, f32x4.add(e0, e1));
  v128.store(out, f32x4.add(E0, E1), 16);
  v128.store(out, f32x4.add(o0, o1), 32);
  v128.store(out, f32x4.add(O0, O1), 48);
}

/** Eight lanes in 32 columns: a and b are the first 16, c and d the next. Halved once, then neighbours are added. */
function dotArrangedLanes8(row: usize, vector: usize, full: i32, sums: usize): f32 {
  sumColumns(row, row + (<usize>full << 1), vector, 64, sums);
  let even = f32x4.add(v128.load(sums), v128.load(sums, 16)), odd = f32x4.add(v128.load(sums, 32), v128.load(sums, 48));
  even = f32x4.add(even, i32x4.shuffle(even, even, 2, 3, 0, 1));
  odd = f32x4.add(odd, i32x4.shuffle(odd, odd, 2, 3, 0, 1));
  const s = f32x4.add(even, odd);
  return f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1);
}

/** Sixteen lanes in 64 columns: a and c in one pass, b and d in another, so that their sums stay in registers. */
function dotArrangedLanes16(row: usize, vector: usize, full: i32, sums: usize): f32 {
  const end = row + (<usize>full << 1);
  sumColumns(row, end, vector, 128, sums);
  sumColumns(row + 32, end, vector + 64, 128, sums + 64);
  const even = f32x4.add(
    f32x4.add(v128.load(sums), v128.load(sums, 64)),
    f32x4.add(v128.load(sums, 16), v128.load(sums, 80)),
  );
  const odd = f32x4.add(
    f32x4.add(v128.load(sums, 32), v128.load(sums, 96)),
    f32x4.add(v128.load(sums, 48), v128.load(sums, 112)),
  );
  return halve4(even) + halve4(odd);
}

/** Of each page, for {@link touchAhead}: by `bench kernels --only f16Gemv`. */
const F16_LINES_AHEAD: i32 = 13;

export function f16Gemv(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32, vector: usize, out: usize, lanes: i32,
  scratch: usize,
): void {
  const full = width & (lanes == 16 ? ~63 : ~31);
  const sums = scratch + (<usize>width << 2);
  arrangeVector(vector, full, scratch);
  const scale = f32x4.splat(F16_SCALE);
  for (let i = <usize>full << 2, bytes = <usize>width << 2; i < bytes; i += 16) {
    v128.store(scratch + i, f32x4.mul(v128.load(vector + i), scale));
  }
  const rowBytes = <usize>rowStride << 1;
  const most = max(1, TOUCHED_BYTES / <i32>rowBytes);
  let touched = 0;
  for (let row = rowBegin; row < rowEnd; row += most) {
    const end = min(row + most, rowEnd);
    let m = matrix + <usize>row * rowBytes;
    const next = matrix + <usize>end * rowBytes, nextEnd = matrix + <usize>min(end + most, rowEnd) * rowBytes;
    touched |= touch(m, next);
    for (let r = row, to = out + (<usize>row << 2); r < end; r++, to += 4, m += rowBytes) {
      touched |= touchAhead(next, nextEnd, r - row, end - row, F16_LINES_AHEAD);
      const dot = lanes == 16 ? dotArrangedLanes16(m, scratch, full, sums) : dotArrangedLanes8(m, scratch, full, sums);
      store<f32>(to, full == width ? dot : addScaledTail(dot, m, scratch, full, width));
    }
  }
  store<i32>(sums, touched);
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
  const end = source + (<usize>count << 1);
  for (; source + 16 <= end; source += 16, out += 32) {
    const bits = v128.load(source); // as in widenScaled: attention.ts
    v128.store(out, widenF16x4(i32x4.extend_low_i16x8_s(bits)));
    v128.store(out, widenF16x4(i32x4.extend_high_i16x8_s(bits)), 16);
  }
  if (source < end) v128.store(out, widenF16x4(v128.load16x4_s(source)));
}

export function roundToF16(source: usize, count: i32, out: usize): void {
  const end = source + (<usize>count << 2);
  for (; source + 32 <= end; source += 32, out += 32) {
    const a = roundToF16x4(v128.load(source)), b = roundToF16x4(v128.load(source, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
  if (source < end) v128.store(out, roundToF16x4(v128.load(source)));
}

export function findNonFiniteF16(source: usize, count: i32): i32 {
  const exponent = i16x8.splat(0x7c00);
  for (let i = 0; i < count; i += 8) {
    const special = i16x8.eq(v128.and(v128.load(source + (<usize>i << 1)), exponent), exponent);
    if (v128.any_true(special)) return i + <i32>ctz(i16x8.bitmask(special));
  }
  return -1;
}
