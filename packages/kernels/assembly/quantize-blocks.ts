// Activation quantization in blocks: see `quantizeRowsQ8_0` and `quantizeRowsQ8K` in src/contract-blocks.ts.
import { roundToF16x4 } from './lanes';

/** Sixteen f32 at `p` times `scale`, rounded to even, as i8. NaN, which is 0 times an infinite scale, becomes 0. */
// @ts-ignore: decorator
@inline
function quantize16(p: usize, scale: v128): v128 {
  const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(p), scale)));
  const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(p, 16), scale)));
  const c = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(p, 32), scale)));
  const d = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(p, 48), scale)));
  return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)); // saturates to -128..127
}

export function quantizeRowsQ8_0(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize,
): void {
  const first = <usize>rowBegin * width;
  const end = x + ((<usize>rowEnd * width) << 2);
  let v = values + first;
  let s = scales + (first >> 3);
  for (let p = x + (first << 2); p < end; p += 128, v += 32, s += 4) {
    let largest = f32x4.abs(v128.load(p));
    for (let i: usize = 16; i < 128; i += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(p + i)));
    const amax = max(
      max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
      max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
    );
    const inverse = f32x4.splat(amax == 0 ? 0 : <f32>127 / amax);
    v128.store(v, quantize16(p, inverse));
    v128.store(v, quantize16(p + 64, inverse), 16);
    store<f32>(s, f32x4.extract_lane(roundToF16x4(f32x4.splat(amax / <f32>127)), 0));
  }
}

/** Of the 256 f32 at `p`, the first of those that are largest in magnitude; 0 if none is above 0. NaN is passed over. */
function firstLargest(p: usize): f32 {
  let largest = f32x4.splat(0);
  for (let i: usize = 0; i < 1024; i += 16) largest = f32x4.pmax(largest, f32x4.abs(v128.load(p + i)));
  let amax = f32x4.extract_lane(largest, 0);
  if (f32x4.extract_lane(largest, 1) > amax) amax = f32x4.extract_lane(largest, 1);
  if (f32x4.extract_lane(largest, 2) > amax) amax = f32x4.extract_lane(largest, 2);
  if (f32x4.extract_lane(largest, 3) > amax) amax = f32x4.extract_lane(largest, 3);
  if (amax == 0) return 0;
  const wanted = f32x4.splat(amax);
  let found = 0;
  while (!(found = i32x4.bitmask(f32x4.eq(f32x4.abs(v128.load(p)), wanted)))) p += 16; // it is there
  return load<f32>(p + (<usize>ctz(found) << 2));
}

export function quantizeRowsQ8K(
  x: usize, rowBegin: i32, rowEnd: i32, width: i32, values: usize, scales: usize, sums: usize,
): void {
  const first = <usize>rowBegin * width;
  const end = x + ((<usize>rowEnd * width) << 2);
  let v = values + first;
  let s = scales + (first >> 6);
  let t = sums + (first >> 3);
  for (let p = x + (first << 2); p < end; s += 4) {
    const largest = firstLargest(p);
    const inverse = largest == 0 ? <f32>0 : <f32>-127 / largest;
    for (const blockEnd = p + 1024; p < blockEnd; p += 64, v += 16, t += 2) {
      const q = quantize16(p, f32x4.splat(inverse));
      v128.store(v, q);
      const sums4 = i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(q));
      const sums2 = i32x4.add(sums4, i32x4.shuffle(sums4, sums4, 2, 3, 0, 1));
      store<i16>(t, <i16>(i32x4.extract_lane(sums2, 0) + i32x4.extract_lane(sums2, 1)));
    }
    store<f32>(s, largest == 0 ? <f32>0 : <f32>1 / inverse);
  }
}
