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
    let largest = f32x4.splat(0);
    for (let p = source; p < end; p += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(p)));
    const amax = max(
      max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
      max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
    );
    const scale = <f32>(127.0 / max(<f64>amax, floor));
    const s = f32x4.splat(scale);
    let target = values + <usize>row * width;
    let total = i32x4.splat(0);
    for (let p = source; p < end; p += 16, target += 16) {
      // The conversion makes 0 of NaN, which is 0 times an infinite scale.
      const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(p), s)));
      const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load((p += 16)), s)));
      const c = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load((p += 16)), s)));
      const d = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load((p += 16)), s)));
      const q = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)); // saturates to -128..127
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
