import { promoteHigh } from './lanes';

/** Root-mean-square normalization: see `rmsNorm` in src/contract.ts. */
export function rmsNorm(
  x: usize, weight: usize, rowBegin: i32, rowEnd: i32, width: i32, epsilon: f32, out: usize, normalized: usize,
): void {
  const bytes = <usize>width << 2;
  const weightEnd = weight + bytes;
  // Sums are f64, of f32 squares, each strictly from left to right. An addition waits for the one before it, but not for
  // those of other rows.
  let row = rowBegin;
  for (; row + 4 <= rowEnd; row += 4) {
    const offset = <usize>row * bytes;
    const source = x + offset;
    let ab = f64x2.splat(0), cd = f64x2.splat(0);
    for (let p = source, end = source + bytes; p < end; p += 16) {
      const a = squares(p), b = squares(p + bytes), c = squares(p + 2 * bytes), d = squares(p + 3 * bytes);
      let v = i32x4.shuffle(a, b, 0, 4, 1, 5), w = i32x4.shuffle(c, d, 0, 4, 1, 5);
      ab = addBoth(ab, v);
      cd = addBoth(cd, w);
      v = i32x4.shuffle(a, b, 2, 6, 3, 7);
      w = i32x4.shuffle(c, d, 2, 6, 3, 7);
      ab = addBoth(ab, v);
      cd = addBoth(cd, w);
    }
    const a = f64x2.extract_lane(ab, 0), b = f64x2.extract_lane(ab, 1);
    const c = f64x2.extract_lane(cd, 0), d = f64x2.extract_lane(cd, 1);
    const target = out + offset, tap = normalized ? normalized + offset : 0;
    scaleRow(source, weight, weightEnd, factorOf(a, width, epsilon), target, tap);
    scaleRow(source + bytes, weight, weightEnd, factorOf(b, width, epsilon), target + bytes, tap ? tap + bytes : 0);
    scaleRow(source + 2 * bytes, weight, weightEnd, factorOf(c, width, epsilon), target + 2 * bytes, tap ? tap + 2 * bytes : 0);
    scaleRow(source + 3 * bytes, weight, weightEnd, factorOf(d, width, epsilon), target + 3 * bytes, tap ? tap + 3 * bytes : 0);
  }
  for (; row < rowEnd; row++) {
    const offset = <usize>row * bytes;
    let sum: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) sum += square(x + offset + i);
    scaleRow(x + offset, weight, weightEnd, factorOf(sum, width, epsilon), out + offset, normalized ? normalized + offset : 0);
  }
}

// @ts-ignore: decorator
@inline
function squares(p: usize): v128 {
  const v = v128.load(p);
  return f32x4.mul(v, v);
}

/** Lanes 0 and 1 of f32 `v` added to two sums, and after them lanes 2 and 3. */
// @ts-ignore: decorator
@inline
function addBoth(sums: v128, v: v128): v128 {
  return f64x2.add(f64x2.add(sums, f64x2.promote_low_f32x4(v)), promoteHigh(v));
}

// @ts-ignore: decorator
@inline
function square(p: usize): f64 {
  const v = load<f32>(p);
  return <f64>(v * v);
}

// @ts-ignore: decorator
@inline
function factorOf(sum: f64, width: i32, epsilon: f32): f32 {
  const mean = <f32>(sum / <f64>width);
  return <f32>1 / sqrt<f32>(mean + epsilon);
}

/** @param normalized - out: the row times `factor`, or 0 */
function scaleRow(source: usize, weight: usize, weightEnd: usize, factor: f32, out: usize, normalized: usize): void {
  const factors = f32x4.splat(factor);
  for (; weight < weightEnd; weight += 16, source += 16, out += 16) {
    const v = f32x4.mul(v128.load(source), factors);
    if (normalized) {
      v128.store(normalized, v);
      normalized += 16;
    }
    v128.store(out, f32x4.mul(v, v128.load(weight)));
  }
}
