// Helpers on one v128: fused multiply-add, exact f16 conversions, integer dot product, the reference's lane reductions.
// All are inlined. `ASC_FEATURE_RELAXED_SIMD` is a compile-time constant: this source builds two binaries.

/**
 * a * b + c in each of four f32 lanes, rounded once.
 *
 * Relaxed build: one instruction, fused only where the machine fuses it; the loader's probe refuses the build elsewhere.
 * Baseline build: exact emulation in f64, right for every input, subnormal results included.
 */
// @ts-ignore: decorator
@inline
export function fma4(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  const low = fmaRoundedToOdd(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(b), f64x2.promote_low_f32x4(c));
  const high = fmaRoundedToOdd(promoteHigh(a), promoteHigh(b), promoteHigh(c));
  return i64x2.shuffle(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

/** Lanes 2 and 3 as f64. */
// @ts-ignore: decorator
@inline
export function promoteHigh(v: v128): v128 {
  return f64x2.promote_low_f32x4(upperHalf(v));
}

// @ts-ignore: decorator
@inline
function upperHalf(v: v128): v128 {
  return i64x2.shuffle(v, v, 1, 1);
}

/**
 * a * b + c in two f64 lanes that hold f32 values, rounded to odd: an inexact sum takes the neighbour with the odd
 * last bit. 53 bits >= 24 + 2, so the later rounding to f32 gives what one rounding of the exact value gives
 * (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
 */
// @ts-ignore: decorator
@inline
function fmaRoundedToOdd(a: v128, b: v128, c: v128): v128 {
  const product = f64x2.mul(a, b); // exact: 24 + 24 bits
  const sum = f64x2.add(product, c);
  const added = f64x2.sub(sum, product);
  const error = f64x2.add(f64x2.sub(product, f64x2.sub(sum, added)), f64x2.sub(c, added)); // two-sum: exact
  const zero = f64x2.splat(0);
  const inexact = v128.or(f64x2.gt(error, zero), f64x2.lt(error, zero)); // false for NaN, that is for infinite sums
  const even = i64x2.eq(v128.and(sum, i64x2.splat(1)), zero);
  const step = v128.or(i64x2.shr_s(v128.xor(sum, error), 63), i64x2.splat(1)); // +1 away from zero, -1 towards it
  return i64x2.add(sum, v128.and(step, v128.and(inexact, even)));
}

/** a * b + c where a * b is exact in f32, so that one rounding or two are the same. */
// @ts-ignore: decorator
@inline
export function addExactProduct(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * acc + sums of four products each: `values` are i8, `codes` at most 63, so sums of two products stay within
 * 2 * 128 * 63 = 16,128, an i16. Exact on every engine: codes have bit 7 clear.
 */
// @ts-ignore: decorator
@inline
export function dot16(values: v128, codes: v128, acc: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, acc);
  const pairs = i16x8.add(i16x8.extmul_low_i8x16_s(values, codes), i16x8.extmul_high_i8x16_s(values, codes));
  return i32x4.add(acc, i32x4.extadd_pairwise_i16x8_s(pairs));
}

/** Bytes of `table` at `indices`, each below 16: one instruction where the relaxed form is to be had. */
// @ts-ignore: decorator
@inline
export function lookup(table: v128, indices: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, indices);
  return i8x16.swizzle(table, indices);
}

/** Sum of the four i32 lanes. */
// @ts-ignore: decorator
@inline
export function sumI32(v: v128): i32 {
  v = i32x4.add(v, i32x4.shuffle(v, v, 2, 3, 0, 1));
  v = i32x4.add(v, i32x4.shuffle(v, v, 1, 0, 3, 2));
  return i32x4.extract_lane(v, 0);
}

/** Sums of four i32x4, one a lane. */
// @ts-ignore: decorator
@inline
export function sums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7));
  return i32x4.add(i32x4.shuffle(ab, cd, 0, 1, 4, 5), i32x4.shuffle(ab, cd, 2, 3, 6, 7));
}

/** Four lanes to one by halving: (l0 + l2) + (l1 + l3). */
// @ts-ignore: decorator
@inline
export function halve4(v: v128): f32 {
  v = f32x4.add(v, i32x4.shuffle(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1);
}

/** Four f16 at `p`, widened to f32. Exact for every f16: zeros, subnormals, infinities and NaN too. */
// @ts-ignore: decorator
@inline
export function loadF16x4(p: usize): v128 {
  return widenF16x4(v128.load16x4_s(p));
}

/** Four f16 in the low halves of i32 lanes, sign-extended, widened to f32. */
// @ts-ignore: decorator
@inline
export function widenF16x4(bits: v128): v128 {
  // Exponent and mantissa in f32 position, exponent too small by 112; the multiplication also normalizes subnormals.
  const shifted = v128.and(i32x4.shl(bits, 13), i32x4.splat(SCALED_F16));
  const finite = f32x4.mul(shifted, f32x4.splat(F16_SCALE));
  const special = i32x4.ge_s(v128.and(shifted, i32x4.splat(0x7fffffff)), i32x4.splat(0x0f800000)); // exponent 31
  return v128.or(finite, v128.and(special, i32x4.splat(0x7f800000)));
}

/** What an f16 has in an f32 divided by 2^112: the sign, and exponent and mantissa below three bits of no use. */
export const SCALED_F16: i32 = 0x8fffe000;

/** 2^112, between the exponent biases of f32 and f16. */
export const F16_SCALE: f32 = 5.192296858534828e33;

/**
 * Four finite f16, sign-extended to i32 lanes, as f32 divided by 2^112, exactly: f16's smallest is 2^-136 then, which f32 holds.
 * Saves the multiplication where the other factor is multiplied by 2^112 once.
 */
// @ts-ignore: decorator
@inline
export function scaledF16x4(bits: v128): v128 {
  return v128.and(i32x4.shl(bits, 13), i32x4.splat(SCALED_F16));
}

/** Four f32 rounded to f16 (nearest, ties to even), as f16 bits in the low halves of i32 lanes. */
// @ts-ignore: decorator
@inline
export function narrowF16x4(v: v128): v128 {
  const sign = v128.and(i32x4.shr_u(v, 16), i32x4.splat(0x8000));
  const magnitude = v128.and(v, i32x4.splat(0x7fffffff));
  // Normal f16: rebias the exponent by 112, add half an ulp (minus one, plus the last kept bit: ties to even).
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(magnitude, i32x4.add(odd, i32x4.splat(0xc8000fff))), 13);
  // Subnormal f16: adding 0.5 leaves the f16 mantissa, rounded by the addition, in the last bits.
  const half = f32x4.splat(0.5);
  const subnormal = i32x4.sub(f32x4.add(magnitude, half), half);
  const special = v128.bitselect(i32x4.splat(0x7e00), i32x4.splat(0x7c00), i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
  let bits = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000))); // < 2^-14
  bits = v128.bitselect(special, bits, i32x4.ge_s(magnitude, i32x4.splat(0x47800000))); // >= 65536
  return v128.or(bits, sign);
}

/** Four f32 rounded to f16 values (as by {@link narrowF16x4}), as f32. */
// @ts-ignore: decorator
@inline
export function roundToF16x4(v: v128): v128 {
  const magnitude = v128.and(v, i32x4.splat(0x7fffffff));
  // Normal f16: 13 bits of the mantissa go, ties to even.
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const normal = v128.and(i32x4.add(i32x4.add(magnitude, odd), i32x4.splat(0xfff)), i32x4.splat(0xffffe000));
  // Subnormal f16 are multiples of 2^-24, as f32 from 0.5 to 1 are: the additions round, and are exact.
  const half = f32x4.splat(0.5);
  const subnormal = f32x4.sub(f32x4.add(magnitude, half), half);
  let rounded = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000))); // < 2^-14
  const special = v128.bitselect(i32x4.splat(0x7fc00000), i32x4.splat(0x7f800000), i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
  rounded = v128.bitselect(special, rounded, i32x4.gt_s(magnitude, i32x4.splat(0x477fefff))); // from 65520 on
  return v128.or(rounded, v128.and(v, i32x4.splat(0x80000000)));
}

/** Stores four f16 (8 bytes) from the low halves of i32 lanes. */
// @ts-ignore: decorator
@inline
export function storeF16x4(p: usize, bits: v128): void {
  v128.store64_lane(p, i8x16.shuffle(bits, bits, 0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13), 0);
}
