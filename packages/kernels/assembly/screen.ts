// The screened head: which rows of an f16 matrix can be among the k largest products, from an int8 copy of it, of which six bits
// are read of every row, and the last two only of rows that these do not exclude. See src/contract-screen.ts. The bounds are here;
// screen-pack.ts makes the copy, screen-select.ts chooses rows by their bounds.
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
// below them a row has to be, where estimates are much better than their bounds.
//
// Non-finite values make bounds that are NaN or infinite, and those exclude no row.
import { dot16, sumI32, sums4 } from './lanes';
import { BLOCK_BYTES, COARSE_OFFSET, codesBytes, FINE_BLOCK_BYTES, FINE_OFFSET, fineCodesBytes, valuesBytes } from './screen-pack';
import { allLess16, leastOf, shareOf } from './screen-select';
import { touch, touchAhead, TOUCHED_BYTES } from './touch';

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
  let h0 = i32x4.splat(0), H0 = i32x4.splat(0), h1 = i32x4.splat(0), H1 = i32x4.splat(0); // as in screenRows
  let l0 = i32x4.splat(0), L0 = i32x4.splat(0), l1 = i32x4.splat(0), L1 = i32x4.splat(0);
  for (let v = values, p = codes; v < valuesEnd; v += 256, p += FINE_BLOCK_BYTES) {
    const c = v128.load(p), C = v128.load(p, 16);
    let q = v128.and(c, two), Q = v128.and(C, two);
    h0 = dot16(v128.load(v), q, h0);
    H0 = dot16(v128.load(v, 16), Q, H0);
    l0 = dot16(v128.load(v, 128), q, l0);
    L0 = dot16(v128.load(v, 144), Q, L0);
    q = v128.and(i16x8.shr_u(c, 2), two);
    Q = v128.and(i16x8.shr_u(C, 2), two);
    h1 = dot16(v128.load(v, 32), q, h1);
    H1 = dot16(v128.load(v, 48), Q, H1);
    l1 = dot16(v128.load(v, 160), q, l1);
    L1 = dot16(v128.load(v, 176), Q, L1);
    q = v128.and(i16x8.shr_u(c, 4), two);
    Q = v128.and(i16x8.shr_u(C, 4), two);
    h0 = dot16(v128.load(v, 64), q, h0);
    H0 = dot16(v128.load(v, 80), Q, H0);
    l0 = dot16(v128.load(v, 192), q, l0);
    L0 = dot16(v128.load(v, 208), Q, L0);
    q = v128.and(i16x8.shr_u(c, 6), two);
    Q = v128.and(i16x8.shr_u(C, 6), two);
    h1 = dot16(v128.load(v, 96), q, h1);
    H1 = dot16(v128.load(v, 112), Q, H1);
    l1 = dot16(v128.load(v, 224), q, l1);
    L1 = dot16(v128.load(v, 240), Q, L1);
  }
  v128.store(scratch, i32x4.add(h0, h1));
  v128.store(scratch, i32x4.add(H0, H1), 16);
  v128.store(scratch, i32x4.add(l0, l1), 32);
  v128.store(scratch, i32x4.add(L0, L1), 48);
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
