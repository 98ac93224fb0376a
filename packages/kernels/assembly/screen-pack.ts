// The int8 copy of a matrix for the screened head, and vectors for it, with what bounds their products: see screen.ts.
import { loadF16x4, promoteHigh } from './lanes';

const OUTWARD: f64 = 1.0 + 1.0 / 1048576.0;

/** Magnitude of the largest q, and what is added to make it a code. */
const LARGEST_CODE: i32 = 127;
const CODE_OFFSET: i32 = 128;

/** q' - 4 * floor(c / 4), and what that is of codes' last two bits. */
export const COARSE_OFFSET: f64 = -126.5;
export const FINE_OFFSET: f64 = -1.5;

/** Largest magnitude of p = 256 * high + low: high is at most 127. */
const MOST_STEPS: i32 = 32639;

/** Bytes of the codes of 128 columns: of their upper six bits, and of their last two. */
export const BLOCK_BYTES: usize = 96;
export const FINE_BLOCK_BYTES: usize = 32;

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
