// The screened head: which rows of an f16 matrix can be among the k largest products, from an int8 copy of it, of which six bits
// are read of every row, and the last two only of rows that these do not exclude. See src/contract-screen.ts.
//
// A row w of the matrix is s * q + e: s its scale, q the integers from -127 to 127 that the copy has, e what rounding left. Without
// the last two bits it is s * q' + e', q' the middle of four such integers. The vector x is t * p + d: p integers that two int8
// can hold. What the exact kernel `f16Gemv` gives for the row is L; what is known of it is
//
//   L - s * t * (q · p) = (L - w · x) + e · x + s * (q · d)
//
// 1. L - w · x. `f16Gemv` forms products that f32 holds exactly (two f16 have 22 bits, and are far from f32's limits),
//    and adds the `width` of them in a tree of f32 or f64 additions, in an order that depends on `lanes`. Each product
//    passes through fewer than width + 8 additions, and each addition is off by a factor within 1 ± 2^-24 (sums of
//    multiples of 2^-48 do not underflow). So |L - w · x| <= g * sum |w_i * x_i| <= g * |w| * |x| in every order, with
//    g = (1 + 2^-24)^(width + 8) - 1 <= 1.02 * (width + 8) * 2^-24 for widths up to 65,536.
// 2. |e · x| <= |e| * |x|, and 3. |s * (q · d)| <= s * 127 * sqrt(width) * |d|, by Cauchy and Schwarz.
//
// With error = |e| + g * |w| of each row, from when it was packed, L is within error * |x| + s * 127 * sqrt(width) * |d|
// of s * t * (q · p); the same holds of q' and e'. e, e' and d are exact in f64: s * q' has 24 + 8 bits and t * p 24 + 15, w and x
// are multiples of 2^-24 below 2^16, and s and t are at least 2^-24 / 32,639. Norms are sums of f64 squares, with a relative error
// below width * 2^-52 < 2^-35; they are multiplied by 1 + 2^-20. The few roundings that remain are relative ones of f64 and one to
// f32; 2^-22 of the values' magnitudes, and 2^-140 for results too small for those, is far more than all of them. The estimate
// that `refineRows` corrects is the middle of two bounds in f32, which are each off by at most 2^-24 of themselves, or 2^-150.
//
// q' · p and q · p are exact: with codes c, q = c - 128 and q' = 4 * floor(c / 4) - 126.5, they are sums of floor(c / 4) * p, of
// (c mod 4) * p and of p, and with p = 256 * high + low, both int8, the sums of 65,536 products of magnitudes up to 63 * 128 stay
// below 2^30.
//
// Then, of any k rows, the least L is at most the k-th largest L of all. `selectLargest` takes rows whose lower bounds are
// large, and `rescoreCandidates` computes them. A row whose upper bound is below the least of these cannot be among the k
// largest, nor equal to the last of them. All others are candidates. That the k are computed, not only bounded, halves how far
// below them a row is excluded, where estimates are much better than their bounds.
//
// Non-finite values make bounds that are NaN or infinite, and those exclude no row.
import { f16Gemv } from './f16-matmul';
import { dot16, loadF16x4, promoteHigh, sumI32, sums4 } from './lanes';
import { touch, touchAhead, TOUCHED_BYTES } from './touch';

const OUTWARD: f64 = 1.0 + 1.0 / 1048576.0;

/** Magnitude of the largest q, and what is added to make it a code. */
const LARGEST_CODE: i32 = 127;
const CODE_OFFSET: i32 = 128;

/** q' - 4 * floor(c / 4), and what that is of codes' last two bits. */
const COARSE_OFFSET: f64 = -126.5;
const FINE_OFFSET: f64 = -1.5;

/** Largest magnitude of p = 256 * high + low: high is at most 127. */
const MOST_STEPS: i32 = 32639;

/** Bytes of the codes of 128 columns: of their upper six bits, and of their last two. */
const BLOCK_BYTES: usize = 96;
const FINE_BLOCK_BYTES: usize = 32;

// @ts-ignore: decorator
@inline
function blocksOf(width: i32): usize {
  return <usize>((width + 127) >> 7);
}

// @ts-ignore: decorator
@inline
export function codesBytes(width: i32): usize {
  return blocksOf(width) * BLOCK_BYTES;
}

// @ts-ignore: decorator
@inline
export function fineCodesBytes(width: i32): usize {
  return blocksOf(width) * FINE_BLOCK_BYTES;
}

/** Of what {@link quantizeForScreen} makes of a vector. */
// @ts-ignore: decorator
@inline
export function valuesBytes(width: i32): usize {
  return blocksOf(width) << 8;
}

export function packScreen(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32,
  codes: usize, fineCodes: usize, scales: usize, errors: usize, fineErrors: usize, scratch: usize,
): void {
  const g = 1.02 * <f64>(width + 8) / 16777216.0;
  for (let row = rowBegin; row < rowEnd; row++) {
    const source = matrix + ((<usize>row * rowStride) << 1), end = source + (<usize>width << 1);
    let largest = f32x4.splat(0);
    for (let p = source; p < end; p += 8) largest = f32x4.max(largest, f32x4.abs(loadF16x4(p)));
    const amax = max(
      max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
      max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
    );
    const at = <usize>row << 2;
    let target = codes + <usize>row * codesBytes(width), fineTarget = fineCodes + <usize>row * fineCodesBytes(width);
    if (!(amax < Infinity)) {
      memory.fill(target, 0, codesBytes(width));
      memory.fill(fineTarget, 0, fineCodesBytes(width));
      store<f32>(scales + at, 0);
      store<f32>(errors + at, Infinity);
      store<f32>(fineErrors + at, Infinity);
      continue;
    }
    const scale = amax / <f32>LARGEST_CODE;
    const s = f32x4.splat(scale), s64 = f64x2.splat(<f64>scale);
    // Sums of squares of columns 0 and 1, 2 and 3 modulo 4: of what rounding leaves with and without the last bits, and of weights
    let e0 = f64x2.splat(0), e1 = f64x2.splat(0), c0 = f64x2.splat(0), c1 = f64x2.splat(0);
    let w0 = f64x2.splat(0), w1 = f64x2.splat(0);
    for (let block = source; block < end; block += 256) {
      const blockEnd = min(block + 256, end);
      if (blockEnd < block + 256) memory.fill(scratch, 0, 128); // columns that do not exist
      for (let p = block, to = scratch; p < blockEnd; p += 8, to += 4) {
        const w = loadF16x4(p);
        const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(w, s))); // 0 / 0 in a row of zeros gives 0
        const code = i32x4.add(q, i32x4.splat(CODE_OFFSET));
        const coarse = v128.andnot(code, i32x4.splat(3));
        const low = f64x2.promote_low_f32x4(w), high = promoteHigh(w);
        const eLow = f64x2.sub(low, f64x2.mul(s64, f64x2.convert_low_i32x4_s(q)));
        const eHigh = f64x2.sub(high, f64x2.mul(s64, f64x2.convert_low_i32x4_s(i64x2.shuffle(q, q, 1, 1))));
        const cLow = f64x2.sub(low, f64x2.mul(s64, coarseValues(coarse)));
        const cHigh = f64x2.sub(high, f64x2.mul(s64, coarseValues(i64x2.shuffle(coarse, coarse, 1, 1))));
        e0 = f64x2.add(e0, f64x2.mul(eLow, eLow));
        e1 = f64x2.add(e1, f64x2.mul(eHigh, eHigh));
        c0 = f64x2.add(c0, f64x2.mul(cLow, cLow));
        c1 = f64x2.add(c1, f64x2.mul(cHigh, cHigh));
        w0 = f64x2.add(w0, f64x2.mul(low, low));
        w1 = f64x2.add(w1, f64x2.mul(high, high));
        const words = i16x8.narrow_i32x4_s(code, code);
        store<i32>(to, i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0));
      }
      for (let half = 0; half < 2; half++, target += 16, fineTarget += 16) packHalf(scratch + (half << 4), target, fineTarget);
      target += BLOCK_BYTES - 32;
    }
    const rounding = g * sqrt<f64>(sumF64(w0, w1));
    store<f32>(scales + at, scale);
    store<f32>(errors + at, errorOf(sumF64(c0, c1), rounding));
    store<f32>(fineErrors + at, errorOf(sumF64(e0, e1), rounding));
  }
}

/** q' of two codes without their last two bits. */
// @ts-ignore: decorator
@inline
function coarseValues(codes: v128): v128 {
  return f64x2.add(f64x2.convert_low_i32x4_s(codes), f64x2.splat(COARSE_OFFSET));
}

// @ts-ignore: decorator
@inline
function errorOf(squares: f64, rounding: f64): f32 {
  return <f32>((sqrt<f64>(squares) + rounding) * OUTWARD * OUTWARD);
}

/**
 * Half of 128 codes, of which those of 32 columns are 32 bytes apart. Of the upper six bits, those of columns 96 to 127 go above
 * the others', two at a time.
 */
// @ts-ignore: decorator
@inline
function packHalf(codes: usize, target: usize, fineTarget: usize): void {
  const a = v128.load(codes), b = v128.load(codes, 32), c = v128.load(codes, 64), d = v128.load(codes, 96);
  const last = i8x16.shr_u(d, 2);
  v128.store(target, v128.or(i8x16.shr_u(a, 2), i8x16.shl(last, 6)));
  v128.store(target, v128.or(i8x16.shr_u(b, 2), i8x16.shl(i8x16.shr_u(last, 2), 6)), 32);
  v128.store(target, v128.or(i8x16.shr_u(c, 2), i8x16.shl(i8x16.shr_u(last, 4), 6)), 64);
  const two = i8x16.splat(3);
  const ab = v128.or(v128.and(a, two), i8x16.shl(v128.and(b, two), 2));
  const cd = v128.or(v128.and(c, two), i8x16.shl(v128.and(d, two), 2));
  v128.store(fineTarget, v128.or(ab, i8x16.shl(cd, 4)));
}

// @ts-ignore: decorator
@inline
function sumF64(a: v128, b: v128): f64 {
  const sum = f64x2.add(a, b);
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

export function quantizeForScreen(vector: usize, width: i32, values: usize, bounds: usize): void {
  let amax: f32 = 0;
  let squares: f64 = 0;
  for (let i: usize = 0; i < <usize>width; i++) {
    const x = load<f32>(vector + (i << 2));
    amax = max(amax, abs(x));
    squares += <f64>x * <f64>x;
  }
  const most = <f32>MOST_STEPS;
  const unit: f32 = amax < Infinity ? amax / most : NaN;
  memory.fill(values, 0, valuesBytes(width));
  let left: f64 = 0;
  let sum: i64 = 0;
  for (let i: usize = 0; i < <usize>width; i++) {
    const x = load<f32>(vector + (i << 2));
    const p = min(most, max(-most, nearest<f32>(x / unit)));
    const value = p == p ? <i32>p : 0; // 0 / 0 in a vector of zeros, and whatever is not finite
    const to = values + ((i & ~127) << 1) + (i & 127);
    store<i8>(to, (value + 128) >> 8);
    store<i8>(to, value, 128); // its low byte, as int8
    sum += value;
    const d = <f64>x - <f64>unit * <f64>value;
    left += d * d;
  }
  store<f64>(bounds, <f64>unit);
  store<f64>(bounds, sqrt<f64>(squares) * OUTWARD, 8); // >= |x|
  store<f64>(bounds, <f64>LARGEST_CODE * sqrt<f64>(<f64>width) * sqrt<f64>(left) * OUTWARD, 16); // >= 127 * sqrt(width) * |d|
  store<f64>(bounds, <f64>sum, 24);
}

/** Lower bounds of two rows in lanes 0 and 1, upper bounds in 2 and 3. */
// @ts-ignore: decorator
@inline
function bounds2(dots: v128, scales: v128, errors: v128, bounds: usize): v128 {
  const s = f64x2.promote_low_f32x4(scales);
  const estimate = f64x2.mul(dots, f64x2.mul(s, v128.load64_splat(bounds)));
  let radius = f64x2.add(
    f64x2.mul(f64x2.promote_low_f32x4(errors), v128.load64_splat(bounds, 8)),
    f64x2.mul(s, v128.load64_splat(bounds, 16)),
  );
  const slack = f64x2.mul(f64x2.add(f64x2.abs(estimate), radius), f64x2.splat(2.384185791015625e-7)); // 2^-22
  radius = f64x2.add(radius, f64x2.add(slack, f64x2.splat(7.174648137343064e-43))); // 2^-140
  const lower = f32x4.demote_f64x2_zero(f64x2.sub(estimate, radius));
  const upper = f32x4.demote_f64x2_zero(f64x2.add(estimate, radius));
  return i64x2.shuffle(lower, upper, 0, 2);
}

/** The codes of columns 96 to 127 of a block. */
// @ts-ignore: decorator
@inline
function lastCodes(a: v128, b: v128, c: v128, low: v128): v128 {
  const bits01 = i16x8.shr_u(v128.andnot(a, low), 6), bits23 = i16x8.shr_u(v128.andnot(b, low), 4);
  return v128.or(v128.or(bits01, bits23), i16x8.shr_u(v128.andnot(c, low), 2));
}

/** Four sums of eight i32 each, 64 bytes apart. */
// @ts-ignore: decorator
@inline
function sumRows(p: usize): v128 {
  return sums4(
    i32x4.add(v128.load(p), v128.load(p, 16)), i32x4.add(v128.load(p, 64), v128.load(p, 80)),
    i32x4.add(v128.load(p, 128), v128.load(p, 144)), i32x4.add(v128.load(p, 192), v128.load(p, 208)),
  );
}

/** q' · p of two rows, from the sums of their codes with the high and the low bytes of p. */
// @ts-ignore: decorator
@inline
function dots2(high: v128, low: v128, offset: v128): v128 {
  const dots = f64x2.mul(f64x2.convert_low_i32x4_s(high), f64x2.splat(256));
  return f64x2.add(f64x2.mul(f64x2.add(dots, f64x2.convert_low_i32x4_s(low)), f64x2.splat(4)), offset);
}

/** Of each page, for {@link touchAhead}: by `bench kernels --only screenRows`. */
const SCREEN_LINES_AHEAD: i32 = 10;

export function screenRows(
  codes: usize, rowBegin: i32, rowEnd: i32, width: i32, scales: usize, errors: usize,
  values: usize, bounds: usize, lower: usize, upper: usize, scratch: usize,
): void {
  const stride = codesBytes(width);
  const valuesEnd = values + valuesBytes(width);
  const most = max(4, (TOUCHED_BYTES / <i32>stride) & ~3);
  const six = i8x16.splat(0x3f);
  const offset = f64x2.splat(COARSE_OFFSET * load<f64>(bounds, 24));
  let touched = 0;
  let next: usize = 0, nextEnd: usize = 0; // the block after that of the row
  for (let row = rowBegin; row < rowEnd; row += 4) {
    const part = (row - rowBegin) % most;
    let p = codes + <usize>row * stride;
    if (part == 0) {
      const end = min(row + most, rowEnd);
      next = codes + <usize>end * stride;
      nextEnd = codes + <usize>min(end + most, rowEnd) * stride;
      touched |= touch(p, next);
    }
    touched |= touchAhead(next, nextEnd, part >> 2, most >> 2, SCREEN_LINES_AHEAD);
    for (let to = scratch; to < scratch + 256; to += 64) {
      // Upper case are the second 16 of 32 columns: what V8's revectorizer joins. It starts from adjacent stores. Of high and
      // low bytes there are two sums each, so that a product need not wait for the one before.
      let h0 = i32x4.splat(0), H0 = i32x4.splat(0), h1 = i32x4.splat(0), H1 = i32x4.splat(0);
      let l0 = i32x4.splat(0), L0 = i32x4.splat(0), l1 = i32x4.splat(0), L1 = i32x4.splat(0);
      for (let v = values; v < valuesEnd; v += 256, p += BLOCK_BYTES) {
        const a = v128.load(p), A = v128.load(p, 16);
        const b = v128.load(p, 32), B = v128.load(p, 48);
        const c = v128.load(p, 64), C = v128.load(p, 80);
        let q = lastCodes(a, b, c, six), Q = lastCodes(A, B, C, six);
        h1 = dot16(v128.load(v, 96), q, h1);
        H1 = dot16(v128.load(v, 112), Q, H1);
        l1 = dot16(v128.load(v, 224), q, l1);
        L1 = dot16(v128.load(v, 240), Q, L1);
        q = v128.and(a, six);
        Q = v128.and(A, six);
        h0 = dot16(v128.load(v), q, h0);
        H0 = dot16(v128.load(v, 16), Q, H0);
        l0 = dot16(v128.load(v, 128), q, l0);
        L0 = dot16(v128.load(v, 144), Q, L0);
        q = v128.and(b, six);
        Q = v128.and(B, six);
        h1 = dot16(v128.load(v, 32), q, h1);
        H1 = dot16(v128.load(v, 48), Q, H1);
        l1 = dot16(v128.load(v, 160), q, l1);
        L1 = dot16(v128.load(v, 176), Q, L1);
        q = v128.and(c, six);
        Q = v128.and(C, six);
        h0 = dot16(v128.load(v, 64), q, h0);
        H0 = dot16(v128.load(v, 80), Q, H0);
        l0 = dot16(v128.load(v, 192), q, l0);
        L0 = dot16(v128.load(v, 208), Q, L0);
      }
      v128.store(to, i32x4.add(h0, h1));
      v128.store(to, i32x4.add(H0, H1), 16);
      v128.store(to, i32x4.add(l0, l1), 32);
      v128.store(to, i32x4.add(L0, L1), 48);
    }
    const high = sumRows(scratch), low = sumRows(scratch + 32);
    const at = <usize>row << 2;
    const s = v128.load(scales + at), e = v128.load(errors + at);
    const both01 = bounds2(dots2(high, low, offset), s, e, bounds);
    const both23 = bounds2(
      dots2(i64x2.shuffle(high, high, 1, 1), i64x2.shuffle(low, low, 1, 1), offset),
      i64x2.shuffle(s, s, 1, 1), i64x2.shuffle(e, e, 1, 1), bounds,
    );
    v128.store(lower + at, i64x2.shuffle(both01, both23, 0, 2));
    v128.store(upper + at, i64x2.shuffle(both01, both23, 1, 3));
  }
  store<i32>(scratch, touched);
}

/** Puts `value` in the place of a heap's root, its least, and lets it sink. */
function replaceRoot(heap: usize, size: i32, value: f32): void {
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && load<f32>(heap + (<usize>(child + 1) << 2)) < load<f32>(heap + (<usize>child << 2))) child++;
    const least = load<f32>(heap + (<usize>child << 2));
    if (value <= least) break;
    store<f32>(heap + (<usize>at << 2), least);
    at = child;
  }
  store<f32>(heap + (<usize>at << 2), value);
}

// @ts-ignore: decorator
@inline
function anyGreater16(p: usize, than: v128): bool {
  return v128.any_true(v128.or(
    v128.or(f32x4.gt(v128.load(p), than), f32x4.gt(v128.load(p, 16), than)),
    v128.or(f32x4.gt(v128.load(p, 32), than), f32x4.gt(v128.load(p, 48), than)),
  ));
}

// @ts-ignore: decorator
@inline
function allLess16(p: usize, than: v128): bool {
  return i32x4.all_true(v128.and(
    v128.and(f32x4.lt(v128.load(p), than), f32x4.lt(v128.load(p, 16), than)),
    v128.and(f32x4.lt(v128.load(p, 32), than), f32x4.lt(v128.load(p, 48), than)),
  ));
}

export function selectLargest(lower: usize, rows: i32, k: i32, heap: usize, candidates: usize): void {
  for (let i: usize = 0; i < <usize>k; i++) store<f32>(heap + (i << 2), -Infinity);
  for (let row = 0; row < rows; row += 16) {
    const end = min(row + 16, rows);
    // NaN is not greater than anything.
    if (end == row + 16 && !anyGreater16(lower + (<usize>row << 2), v128.load32_splat(heap))) continue;
    for (let r = row; r < end; r++) {
      const bound = load<f32>(lower + (<usize>r << 2));
      if (bound > load<f32>(heap)) replaceRoot(heap, k, bound);
    }
  }
  const least = load<f32>(heap);
  let count = 0;
  for (let row = 0; row < rows && count < k; row += 16) {
    const end = min(row + 16, rows);
    if (end == row + 16 && allLess16(lower + (<usize>row << 2), f32x4.splat(least))) continue;
    for (let r = row; r < end && count < k; r++) {
      if (load<f32>(lower + (<usize>r << 2)) < least) continue; // not NaN
      count++;
      store<i32>(candidates + (<usize>count << 2), r);
    }
  }
  store<i32>(candidates, count);
}

/** The least of `k` products. */
function leastOf(products: usize, k: i32): f32 {
  let least: f32 = Infinity;
  for (let i: usize = 0; i < <usize>k; i++) least = min(least, load<f32>(products + (i << 2))); // NaN stays NaN
  return least;
}

/** Returns how many rows it refined. */
export function refineRows(
  fineCodes: usize, rows: i32, width: i32, scales: usize, fineErrors: usize, values: usize, bounds: usize,
  products: usize, k: i32, lower: usize, upper: usize, share: i32, shares: i32, scratch: usize,
): i32 {
  const least = leastOf(products, k);
  const begin = shareOf(rows, share, shares), rowEnd = shareOf(rows, share + 1, shares);
  let refined = 0;
  for (let row = begin; row < rowEnd; row += 16) {
    const end = min(row + 16, rowEnd);
    if (end == row + 16 && allLess16(upper + (<usize>row << 2), f32x4.splat(least))) continue;
    for (let r = row; r < end; r++) {
      if (load<f32>(upper + (<usize>r << 2)) < least) continue; // not NaN
      const dot = fineDot(fineCodes + <usize>r * fineCodesBytes(width), width, values, scratch);
      refineBounds(dot + FINE_OFFSET * load<f64>(bounds, 24), <usize>r << 2, scales, fineErrors, bounds, lower, upper);
      refined++;
    }
  }
  return refined;
}

/** A row's sum of products of the last two bits of its codes with p. */
function fineDot(codes: usize, width: i32, values: usize, scratch: usize): f64 {
  const valuesEnd = values + valuesBytes(width);
  const two = i8x16.splat(3);
  let h = i32x4.splat(0), H = i32x4.splat(0), l = i32x4.splat(0), L = i32x4.splat(0); // as in screenRows
  for (let v = values, p = codes; v < valuesEnd; v += 256, p += FINE_BLOCK_BYTES) {
    const c = v128.load(p), C = v128.load(p, 16);
    let q = v128.and(c, two), Q = v128.and(C, two);
    h = dot16(v128.load(v), q, h);
    H = dot16(v128.load(v, 16), Q, H);
    l = dot16(v128.load(v, 128), q, l);
    L = dot16(v128.load(v, 144), Q, L);
    q = v128.and(i16x8.shr_u(c, 2), two);
    Q = v128.and(i16x8.shr_u(C, 2), two);
    h = dot16(v128.load(v, 32), q, h);
    H = dot16(v128.load(v, 48), Q, H);
    l = dot16(v128.load(v, 160), q, l);
    L = dot16(v128.load(v, 176), Q, L);
    q = v128.and(i16x8.shr_u(c, 4), two);
    Q = v128.and(i16x8.shr_u(C, 4), two);
    h = dot16(v128.load(v, 64), q, h);
    H = dot16(v128.load(v, 80), Q, H);
    l = dot16(v128.load(v, 192), q, l);
    L = dot16(v128.load(v, 208), Q, L);
    q = v128.and(i16x8.shr_u(c, 6), two);
    Q = v128.and(i16x8.shr_u(C, 6), two);
    h = dot16(v128.load(v, 96), q, h);
    H = dot16(v128.load(v, 112), Q, H);
    l = dot16(v128.load(v, 224), q, l);
    L = dot16(v128.load(v, 240), Q, L);
  }
  v128.store(scratch, h);
  v128.store(scratch, H, 16);
  v128.store(scratch, l, 32);
  v128.store(scratch, L, 48);
  const high = sumI32(i32x4.add(v128.load(scratch), v128.load(scratch, 16)));
  const low = sumI32(i32x4.add(v128.load(scratch, 32), v128.load(scratch, 48)));
  return 256.0 * <f64>high + <f64>low;
}

/** Bounds with all bits of a row's codes, from those without the last two and what (q - q') · p is. */
function refineBounds(
  dot: f64, at: usize, scales: usize, fineErrors: usize, bounds: usize, lower: usize, upper: usize,
): void {
  const scale = <f64>load<f32>(scales + at);
  const low = <f64>load<f32>(lower + at), high = <f64>load<f32>(upper + at);
  const estimate = (low + high) * 0.5 + dot * (scale * load<f64>(bounds));
  let radius = <f64>load<f32>(fineErrors + at) * load<f64>(bounds, 8) + scale * load<f64>(bounds, 16);
  const slack = (abs(estimate) + radius) * 2.384185791015625e-7 + (abs(low) + abs(high)) * 1.1920928955078125e-7; // 2^-22, 2^-23
  radius += slack + 7.174648137343064e-43; // 2^-140
  store<f32>(lower + at, <f32>(estimate - radius));
  store<f32>(upper + at, <f32>(estimate + radius));
}

export function selectCandidates(
  upper: usize, rows: i32, products: usize, k: i32, capacity: i32, candidates: usize,
): void {
  const least = leastOf(products, k);
  let count = 0;
  for (let row = 0; row < rows; row += 16) {
    const end = min(row + 16, rows);
    if (end == row + 16 && allLess16(upper + (<usize>row << 2), f32x4.splat(least))) continue;
    for (let r = row; r < end; r++) {
      if (load<f32>(upper + (<usize>r << 2)) < least) continue; // not NaN
      if (count == capacity) {
        store<i32>(candidates, -1);
        return;
      }
      count++;
      store<i32>(candidates + (<usize>count << 2), r);
    }
  }
  store<i32>(candidates, count);
}

/** Where a share of `total` begins. */
// @ts-ignore: decorator
@inline
export function shareOf(total: i32, share: i32, shares: i32): i32 {
  return <i32>(<i64>total * share / shares);
}

export function rescoreCandidates(
  matrix: usize, width: i32, rowStride: i32, vector: usize, candidates: usize, out: usize, lanes: i32,
  share: i32, shares: i32, scratch: usize,
): i32 {
  const count = max(0, load<i32>(candidates));
  const begin = shareOf(count, share, shares), end = shareOf(count, share + 1, shares);
  for (let i = begin; i < end; ) {
    // Neighbours at once: the kernel prepares the vector for each call.
    const first = load<i32>(candidates + (<usize>(i + 1) << 2));
    let next = i + 1;
    while (next < end && load<i32>(candidates + (<usize>(next + 1) << 2)) == first + next - i) next++;
    f16Gemv(matrix, first, first + next - i, width, rowStride, vector, out + (<usize>(i - first) << 2), lanes, scratch);
    i = next;
  }
  return end - begin;
}

export function f16GemvUnscreened(
  matrix: usize, rows: i32, width: i32, rowStride: i32, vector: usize, candidates: usize, out: usize, lanes: i32,
  share: i32, shares: i32, scratch: usize,
): i32 {
  if (load<i32>(candidates) >= 0) return -1;
  const begin = shareOf(rows, share, shares), end = shareOf(rows, share + 1, shares);
  f16Gemv(matrix, begin, end, width, rowStride, vector, out, lanes, scratch);
  return end - begin;
}
