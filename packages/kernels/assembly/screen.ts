// The screened head: which rows of an f16 matrix can be among the k largest products, from an int8 copy of it. See
// `packScreen` and what follows it in src/contract.ts.
//
// A row w of the matrix is s * q + e: q int8, s its scale, e what rounding left. The vector x is t * p + d: p int16.
// What the exact kernel `f16Gemv` gives for the row is L; what is known of it is
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
// of s * t * (q · p). e and d are exact in f64: s * q has 24 + 7 bits and t * p 24 + 15, w and x are multiples of 2^-24
// below 2^16, and s and t are at least 2^-24 / 32,767. Norms are sums of f64 squares, with a relative error below
// width * 2^-52 < 2^-35; they are multiplied by 1 + 2^-20. The few roundings that remain are relative ones of f64 and one to
// f32; 2^-22 of the values' magnitudes, and 2^-140 for results too small for those, is far more than all of them. q · p is an
// integer, and exact.
//
// Then, of k rows whose lower bounds are largest, the least lower bound is at most the k-th largest L. A row whose upper
// bound is below that cannot be among the k largest, nor equal to the last of them. All others are candidates.
//
// Non-finite values make bounds that are NaN or infinite, and those exclude no row.
import { f16Gemv } from './f16-matmul';
import { loadF16x4, promoteHigh } from './lanes';
import { touch, touchAhead, TOUCHED_BYTES } from './touch';

const OUTWARD: f64 = 1.0 + 1.0 / 1048576.0;

export function packScreen(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, rowStride: i32, codes: usize, scales: usize, errors: usize,
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
    let target = codes + <usize>row * width;
    if (!(amax < Infinity)) {
      memory.fill(target, 0, width);
      store<f32>(scales + (<usize>row << 2), 0);
      store<f32>(errors + (<usize>row << 2), Infinity);
      continue;
    }
    const scale = amax / <f32>127;
    const s = f32x4.splat(scale), s64 = f64x2.splat(<f64>scale);
    // Sums of squares of columns 0 and 1, 2 and 3 modulo 4: of what rounding leaves, and of weights
    let e0 = f64x2.splat(0), e1 = f64x2.splat(0), w0 = f64x2.splat(0), w1 = f64x2.splat(0);
    for (let p = source; p < end; target += 16) {
      let packed = i32x4.splat(0);
      for (let part = 0; part < 4; part++, p += 8) {
        const w = loadF16x4(p);
        const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(w, s))); // 0 / 0 in a row of zeros gives 0
        const low = f64x2.promote_low_f32x4(w), high = promoteHigh(w);
        const qHigh = i64x2.shuffle(q, q, 1, 1);
        const dLow = f64x2.sub(low, f64x2.mul(s64, f64x2.convert_low_i32x4_s(q)));
        const dHigh = f64x2.sub(high, f64x2.mul(s64, f64x2.convert_low_i32x4_s(qHigh)));
        e0 = f64x2.add(e0, f64x2.mul(dLow, dLow));
        e1 = f64x2.add(e1, f64x2.mul(dHigh, dHigh));
        w0 = f64x2.add(w0, f64x2.mul(low, low));
        w1 = f64x2.add(w1, f64x2.mul(high, high));
        const words = i16x8.narrow_i32x4_s(q, q);
        store<i32>(target + (<usize>part << 2), i32x4.extract_lane(i8x16.narrow_i16x8_s(words, words), 0));
      }
    }
    const error = (sqrt<f64>(sumF64(e0, e1)) + g * sqrt<f64>(sumF64(w0, w1))) * OUTWARD;
    store<f32>(scales + (<usize>row << 2), scale);
    store<f32>(errors + (<usize>row << 2), <f32>(error * OUTWARD));
  }
}

// @ts-ignore: decorator
@inline
function sumF64(a: v128, b: v128): f64 {
  const sum = f64x2.add(a, b);
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

/** Largest magnitude of p: four i32 lanes hold a row's sum of products with magnitudes up to 127. At most i16's. */
// @ts-ignore: decorator
@inline
function mostOf(width: i32): i32 {
  return min(32767, <i32>(4 * <i64>i32.MAX_VALUE / (127 * <i64>width)));
}

export function quantizeForScreen(vector: usize, width: i32, values: usize, bounds: usize): void {
  const most = <f32>mostOf(width);
  let amax: f32 = 0;
  let squares: f64 = 0;
  for (let i: usize = 0; i < <usize>width; i++) {
    const x = load<f32>(vector + (i << 2));
    amax = max(amax, abs(x));
    squares += <f64>x * <f64>x;
  }
  const unit: f32 = amax < Infinity ? amax / most : NaN;
  let left: f64 = 0;
  for (let i: usize = 0; i < <usize>width; i++) {
    const x = load<f32>(vector + (i << 2));
    const p = min(most, max(-most, nearest<f32>(x / unit)));
    const value = p == p ? <i32>p : 0; // 0 / 0 in a vector of zeros, and whatever is not finite
    store<i16>(values + (i << 1), <i16>value);
    const d = <f64>x - <f64>unit * <f64>value;
    left += d * d;
  }
  store<f64>(bounds, <f64>unit);
  store<f64>(bounds, sqrt<f64>(squares) * OUTWARD, 8); // >= |x|
  store<f64>(bounds, 127.0 * sqrt<f64>(<f64>width) * sqrt<f64>(left) * OUTWARD, 16); // >= 127 * sqrt(width) * |d|
}

/** The sums of four i32 lanes each, exactly. */
// @ts-ignore: decorator
@inline
function sums2(a: v128, b: v128): v128 {
  const lowA = f64x2.convert_low_i32x4_s(a), highA = f64x2.convert_low_i32x4_s(i64x2.shuffle(a, a, 1, 1));
  const lowB = f64x2.convert_low_i32x4_s(b), highB = f64x2.convert_low_i32x4_s(i64x2.shuffle(b, b, 1, 1));
  const sumA = f64x2.add(lowA, highA), sumB = f64x2.add(lowB, highB);
  return f64x2.add(i64x2.shuffle(sumA, sumB, 0, 2), i64x2.shuffle(sumA, sumB, 1, 3));
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

/** Of each page, for {@link touchAhead}: by `bench kernels --only screenRows`. */
const SCREEN_LINES_AHEAD: i32 = 10;

export function screenRows(
  codes: usize, rowBegin: i32, rowEnd: i32, width: i32, scales: usize, errors: usize,
  values: usize, bounds: usize, lower: usize, upper: usize, scratch: usize,
): void {
  const stride = <usize>width;
  const most = max(4, (TOUCHED_BYTES / width) & ~3);
  let touched = 0;
  let next: usize = 0, nextEnd: usize = 0; // the block after that of the row
  for (let row = rowBegin; row < rowEnd; row += 4) {
    const part = (row - rowBegin) % most;
    if (part == 0) {
      const end = min(row + most, rowEnd);
      next = codes + <usize>end * stride;
      nextEnd = codes + <usize>min(end + most, rowEnd) * stride;
      touched |= touch(codes + <usize>row * stride, next);
    }
    touched |= touchAhead(next, nextEnd, part >> 2, most >> 2, SCREEN_LINES_AHEAD);
    // Upper case are the second 8 of 16 columns: what V8's revectorizer joins. It starts from adjacent stores.
    let a0 = i32x4.splat(0), A0 = i32x4.splat(0), a1 = i32x4.splat(0), A1 = i32x4.splat(0);
    let a2 = i32x4.splat(0), A2 = i32x4.splat(0), a3 = i32x4.splat(0), A3 = i32x4.splat(0);
    let p0 = codes + <usize>row * stride;
    let p1 = p0 + stride, p2 = p1 + stride, p3 = p2 + stride;
    for (let v = values, end = p1; p0 < end; v += 32, p0 += 16, p1 += 16, p2 += 16, p3 += 16) {
      const x = v128.load(v), X = v128.load(v, 16);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load8x8_s(p0), x));
      A0 = i32x4.add(A0, i32x4.dot_i16x8_s(v128.load8x8_s(p0, 8), X));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load8x8_s(p1), x));
      A1 = i32x4.add(A1, i32x4.dot_i16x8_s(v128.load8x8_s(p1, 8), X));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load8x8_s(p2), x));
      A2 = i32x4.add(A2, i32x4.dot_i16x8_s(v128.load8x8_s(p2, 8), X));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load8x8_s(p3), x));
      A3 = i32x4.add(A3, i32x4.dot_i16x8_s(v128.load8x8_s(p3, 8), X));
    }
    v128.store(scratch, a0);
    v128.store(scratch, A0, 16);
    v128.store(scratch, a1, 32);
    v128.store(scratch, A1, 48);
    v128.store(scratch, a2, 64);
    v128.store(scratch, A2, 80);
    v128.store(scratch, a3, 96);
    v128.store(scratch, A3, 112);
    const dots01 = sums2(
      i32x4.add(v128.load(scratch), v128.load(scratch, 16)), i32x4.add(v128.load(scratch, 32), v128.load(scratch, 48)),
    );
    const dots23 = sums2(
      i32x4.add(v128.load(scratch, 64), v128.load(scratch, 80)), i32x4.add(v128.load(scratch, 96), v128.load(scratch, 112)),
    );
    const at = <usize>row << 2;
    const s = v128.load(scales + at), e = v128.load(errors + at);
    const both01 = bounds2(dots01, s, e, bounds);
    const both23 = bounds2(dots23, i64x2.shuffle(s, s, 1, 1), i64x2.shuffle(e, e, 1, 1), bounds);
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

export function selectCandidates(
  lower: usize, upper: usize, rows: i32, k: i32, capacity: i32, heap: usize, candidates: usize,
): void {
  for (let i: usize = 0; i < <usize>k; i++) store<f32>(heap + (i << 2), -Infinity);
  for (let row = 0; row < rows; row += 4) {
    // NaN is not greater than anything, and rows beyond the last are not looked at.
    if (!v128.any_true(f32x4.gt(v128.load(lower + (<usize>row << 2)), v128.load32_splat(heap)))) continue;
    for (let r = row, end = min(row + 4, rows); r < end; r++) {
      const bound = load<f32>(lower + (<usize>r << 2));
      if (bound > load<f32>(heap)) replaceRoot(heap, k, bound);
    }
  }
  const threshold = v128.load32_splat(heap);
  let count = 0;
  for (let row = 0; row < rows; row += 4) {
    const excluded = f32x4.lt(v128.load(upper + (<usize>row << 2)), threshold); // not NaN
    if (i32x4.all_true(excluded)) continue;
    for (let r = row, end = min(row + 4, rows); r < end; r++) {
      if (load<f32>(upper + (<usize>r << 2)) < load<f32>(heap)) continue;
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
