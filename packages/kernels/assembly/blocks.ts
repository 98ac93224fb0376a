// Helpers for products of quantized blocks (numerics, section 11): integer sums of four neighbouring products in each
// of eight lanes, two v128; f16 block scales; the sum of eight f32 lanes.
import { halve4, widenF16x4 } from './lanes';

/** The f16 at `p`, widened, in all lanes. */
// @ts-ignore: decorator
@inline
export function splatF16(p: usize): v128 {
  return widenF16x4(i32x4.splat(<i32>load<i16>(p)));
}

/** The f16 at `p` and at each `stride` bytes further on, widened, one a lane. */
// @ts-ignore: decorator
@inline
export function gatherF16x4(p: usize, stride: usize): v128 {
  let bits = v128.load16_lane(p, i32x4.splat(0), 0);
  bits = v128.load16_lane(p + stride, bits, 1);
  bits = v128.load16_lane(p + 2 * stride, bits, 2);
  bits = v128.load16_lane(p + 3 * stride, bits, 3);
  return widenF16x4(i32x4.extend_low_i16x8_s(bits));
}

/** Eight lanes to one sum by halving; `low` has lanes 0 to 3. */
// @ts-ignore: decorator
@inline
export function halve8(low: v128, high: v128): f32 {
  return halve4(f32x4.add(low, high));
}

/** Sums of neighbouring i32 that fit i16: those of `a` in lanes 0 and 1, of `b` in 2 and 3. Fewer instructions than shuffles. */
// @ts-ignore: decorator
@inline
function addNeighbours(a: v128, b: v128): v128 {
  return i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.splat(1));
}

/**
 * acc + sums of four neighbouring products. `values` are i8, `codes` 0..127: bit 7 clear, so exact on every engine
 * (a pair of products is at most 2 * 128 * 127 = 32,512, which i16 holds).
 */
// @ts-ignore: decorator
@inline
export function dotCodes(values: v128, codes: v128, acc: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, acc);
  const low = i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_low_i8x16_s(values, codes));
  const high = i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_high_i8x16_s(values, codes));
  return i32x4.add(acc, addNeighbours(low, high));
}

/** The same in pairs: eight i16. */
// @ts-ignore: decorator
@inline
export function dotPairs(values: v128, codes: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(values, codes);
  return i16x8.narrow_i32x4_s(
    i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_low_i8x16_s(values, codes)),
    i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_high_i8x16_s(values, codes)),
  );
}

/**
 * Sums of four neighbouring products of the 16 i8 at `p` with the i16 in `low` and `high`, which are -127..127: a pair of
 * products is at most 2 * 128 * 127 = 32,512, which i16 holds.
 */
// @ts-ignore: decorator
@inline
export function dotBytes(p: usize, low: v128, high: v128): v128 {
  return addNeighbours(i32x4.dot_i16x8_s(v128.load8x8_s(p), low), i32x4.dot_i16x8_s(v128.load8x8_s(p, 8), high));
}

/** Sixteen i8, each times `scale`, as f32 at `out`: exact where the product has at most 24 bits. */
// @ts-ignore: decorator
@inline
export function storeScaled(bytes: v128, scale: v128, out: usize): void {
  const low = i16x8.extend_low_i8x16_s(bytes), high = i16x8.extend_high_i8x16_s(bytes);
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), scale));
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), scale), 16);
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), scale), 32);
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), scale), 48);
}
