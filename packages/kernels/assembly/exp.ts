// The exponential that both reference builds use in softmax and SiLU (numerics, section 5.3). Not correctly rounded:
// its error is part of the reference's results, and so is the difference between the two builds.
import { fma4 } from './lanes';

/** 2^k in four lanes, for whole k in -126..127. */
// @ts-ignore: decorator
@inline
function powerOfTwo(k: v128): v128 {
  return i32x4.shl(i32x4.add(k, i32x4.splat(127)), 23);
}

/** 1.5 * 2^23: x / ln 2 added to it is rounded to a whole number n, which is in the last bits then. */
const SHIFT: f32 = 12582912;

/** b = x - n * ln 2, in two parts; |b| <= ln(2) / 2. */
// @ts-ignore: decorator
@inline
function remainder(x: v128, n: v128): v128 {
  const minusN = f32x4.neg(n);
  return fma4(minusN, f32x4.splat(1.428606765330187e-6), fma4(minusN, f32x4.splat(0.693145751953125), x));
}

/** (e^b - 1 - b) / b^2, nearly. */
// @ts-ignore: decorator
@inline
function polynomial(b: v128, u: v128): v128 {
  return fma4(
    fma4(f32x4.splat(0.008247390389442444), b, f32x4.splat(0.04189976677298546)),
    u,
    fma4(f32x4.splat(0.16668395698070526), b, f32x4.splat(0.4999912679195404)),
  );
}

// From -64 to 64 no result needs care, nor 2^n two factors. Two functions, as a branch on `lanes` would stay in the loop that
// one is inlined into, and the revectorizer joins nothing across branches.

/** {@link exp4} of four f32 from -64 to 64, `lanes` 16. */
// @ts-ignore: decorator
@inline
export function expNear16(x: v128): v128 {
  const shift = f32x4.splat(SHIFT);
  const shifted = fma4(x, f32x4.splat(1.4426950216293335), shift);
  const b = remainder(x, f32x4.sub(shifted, shift));
  const u = f32x4.mul(b, b);
  const value = fma4(polynomial(b, u), u, fma4(f32x4.splat(0.9999994039535522), b, f32x4.splat(1)));
  return i32x4.add(value, i32x4.shl(shifted, 23)); // times 2^n, exactly: n is all that the shift leaves
}

/** {@link exp4} of four f32 from -64 to 64, `lanes` 8. */
// @ts-ignore: decorator
@inline
export function expNear8(x: v128): v128 {
  const shift = f32x4.splat(SHIFT);
  const shifted = fma4(x, f32x4.splat(1.4426950216293335), shift);
  const b = remainder(x, f32x4.sub(shifted, shift));
  const u = f32x4.mul(b, b);
  const scale = i32x4.add(i32x4.shl(shifted, 23), f32x4.splat(1)); // 2^n
  return fma4(scale, fma4(polynomial(b, u), u, f32x4.mul(f32x4.splat(0.9999994039535522), b)), scale);
}

/** exp of four f32. `lanes` 16: AVX-512 build, 8: AVX2 build. -inf gives 0, NaN gives NaN. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128, lanes: i32): v128 {
  const shift = f32x4.splat(SHIFT);
  const n = f32x4.sub(fma4(x, f32x4.splat(1.4426950216293335), shift), shift);
  const b = remainder(x, n);
  const u = f32x4.mul(b, b);
  const poly = polynomial(b, u);
  const inRange = f32x4.le(f32x4.abs(n), f32x4.splat(192)); // false for NaN
  const power = i32x4.trunc_sat_f32x4_s(v128.and(n, inRange));
  let value: v128;
  if (lanes == 16) {
    value = fma4(poly, u, fma4(f32x4.splat(0.9999994039535522), b, f32x4.splat(1)));
    // value * 2^power with one rounding: the first factor keeps the product normal.
    const first = i32x4.max_s(i32x4.min_s(power, i32x4.splat(96)), i32x4.splat(-96));
    value = f32x4.mul(f32x4.mul(value, powerOfTwo(first)), powerOfTwo(i32x4.sub(power, first)));
  } else {
    const j = fma4(poly, u, f32x4.mul(f32x4.splat(0.9999994039535522), b));
    // Beyond 2^126 the scale is split in two: 2^(power - outer) * 2^outer.
    const far = i32x4.gt_s(i32x4.abs(power), i32x4.splat(126));
    const side = v128.bitselect(i32x4.splat(127), i32x4.splat(-125), i32x4.gt_s(power, i32x4.splat(0)));
    const outer = v128.and(side, far);
    const scale = powerOfTwo(i32x4.sub(power, outer));
    value = f32x4.mul(fma4(scale, j, scale), powerOfTwo(outer));
  }
  const overflow = v128.and(f32x4.splat(Infinity), f32x4.gt(n, f32x4.splat(0)));
  const notANumber = v128.and(f32x4.splat(NaN), f32x4.ne(n, n));
  return v128.bitselect(value, v128.or(overflow, notANumber), inRange);
}
