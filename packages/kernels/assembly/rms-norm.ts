/** Root-mean-square normalization: see `rmsNorm` in src/contract.ts. */
export function rmsNorm(
  x: usize, weight: usize, rowBegin: i32, rowEnd: i32, width: i32, epsilon: f32, out: usize, normalized: usize,
): void {
  const bytes = <usize>width << 2;
  let row = rowBegin;
  // An addition waits for the one before it, but not for those of other rows.
  for (; row + 4 <= rowEnd; row += 4) {
    const source = x + <usize>row * bytes;
    let a: f64 = 0, b: f64 = 0, c: f64 = 0, d: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) {
      a += square(source + i);
      b += square(source + bytes + i);
      c += square(source + 2 * bytes + i);
      d += square(source + 3 * bytes + i);
    }
    const offset = <usize>row * bytes;
    scaleRow(x, weight, offset, bytes, a, epsilon, out, normalized);
    scaleRow(x, weight, offset + bytes, bytes, b, epsilon, out, normalized);
    scaleRow(x, weight, offset + 2 * bytes, bytes, c, epsilon, out, normalized);
    scaleRow(x, weight, offset + 3 * bytes, bytes, d, epsilon, out, normalized);
  }
  for (; row < rowEnd; row++) {
    const offset = <usize>row * bytes;
    let sum: f64 = 0; // of f32 squares, strictly from left to right
    for (let i: usize = 0; i < bytes; i += 4) sum += square(x + offset + i);
    scaleRow(x, weight, offset, bytes, sum, epsilon, out, normalized);
  }
}

// @ts-ignore: decorator
@inline
function square(p: usize): f64 {
  const v = load<f32>(p);
  return <f64>(v * v);
}

/** @param sum - of the row's squares */
function scaleRow(
  x: usize, weight: usize, offset: usize, bytes: usize, sum: f64, epsilon: f32, out: usize, normalized: usize,
): void {
  const mean = <f32>(sum / <f64>(<i32>bytes >> 2));
  const factor = f32x4.splat(<f32>1 / sqrt<f32>(mean + epsilon));
  for (let i = offset, end = offset + bytes, w = weight; i < end; i += 16, w += 16) {
    const v = f32x4.mul(v128.load(x + i), factor);
    if (normalized) v128.store(normalized + i, v);
    v128.store(out + i, f32x4.mul(v, v128.load(w)));
  }
}
