// Activation quantization: see `quantizeRows` and `quantizeRowsTl1` in src/contract.ts.

export function quantizeRows(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize,
): void {
  quantize(x, rowBegin, rowEnd, width, 1e-5, values, scales, sums);
}

export function quantizeRowsTl1(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize,
): void {
  // A quotient of f32 values that is computed in f64 and rounded to f32 is the f32 quotient: 53 bits >= 2 * 24 + 2.
  quantize(x, rowBegin, rowEnd, width, 0, values, scales, sums);
}

// @ts-ignore: decorator
@inline
function quantize(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, floor: f64, values: usize, scales: usize, sums: usize,
): void {
  for (let row = rowBegin; row < rowEnd; row++) {
    const source = x + ((<usize>row * width) << 2);
    const end = source + (<usize>width << 2);
    let largest = i32x4.splat(0); // bits of |x|, in whose order NaN is the largest
    for (let p = source; p < end; p += 16) largest = i32x4.max_s(largest, v128.andnot(v128.load(p), f32x4.splat(-0.0)));
    const amax = reinterpret<f32>(max(
      max(i32x4.extract_lane(largest, 0), i32x4.extract_lane(largest, 1)),
      max(i32x4.extract_lane(largest, 2), i32x4.extract_lane(largest, 3)),
    ));
    const scale = <f32>(127.0 / max(<f64>amax, floor));
    const s = f32x4.splat(scale);
    let target = values + <usize>row * width;
    let total = i32x4.splat(0);
    // Of finite values by a finite scale, no product is above 127 and a rounding.
    const small = amax < Infinity && scale < Infinity;
    for (let p = source; p < end; p += 64, target += 16) {
      const v0 = f32x4.mul(v128.load(p), s), v1 = f32x4.mul(v128.load(p, 16), s);
      const v2 = f32x4.mul(v128.load(p, 32), s), v3 = f32x4.mul(v128.load(p, 48), s);
      const q = small ? narrow(roundSmall(v0), roundSmall(v1), roundSmall(v2), roundSmall(v3)) : narrow(round(v0), round(v1), round(v2), round(v3));
      v128.store(target, q);
      total = i32x4.add(total, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(q)));
    }
    store<f32>(scales + (<usize>row << 2), scale);
    store<i32>(
      sums + (<usize>row << 2),
      i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 1) + i32x4.extract_lane(total, 2) + i32x4.extract_lane(total, 3),
    );
  }
}

/** The nearest integers, ties to even; 0 of NaN, which is 0 times an infinite scale. */
// @ts-ignore: decorator
@inline
function round(v: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(v));
}

/** {@link round} of what is below 2^22: added to 1.5 * 2^23, whose last bit is 1, it is rounded by the addition. */
// @ts-ignore: decorator
@inline
function roundSmall(v: v128): v128 {
  const shift = f32x4.splat(12582912);
  return i32x4.sub(f32x4.add(v, shift), shift);
}

/** Saturates to -128..127. */
// @ts-ignore: decorator
@inline
function narrow(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}
