/** Root-mean-square normalization: see `rmsNorm` in src/contract.ts. */
export function rmsNorm(
  x: usize, weight: usize, rowBegin: i32, rowEnd: i32, width: i32, epsilon: f32, out: usize, normalized: usize,
): void {
  const bytes = <usize>width << 2;
  for (let row = rowBegin; row < rowEnd; row++) {
    const offset = <usize>row * bytes;
    const source = x + offset;
    let sum: f64 = 0; // of f32 squares, strictly from left to right
    for (let i: usize = 0; i < bytes; i += 16) {
      const v = v128.load(source + i);
      const squares = f32x4.mul(v, v);
      sum += <f64>f32x4.extract_lane(squares, 0);
      sum += <f64>f32x4.extract_lane(squares, 1);
      sum += <f64>f32x4.extract_lane(squares, 2);
      sum += <f64>f32x4.extract_lane(squares, 3);
    }
    const mean = <f32>(sum / <f64>width);
    const factor = f32x4.splat(<f32>1 / sqrt<f32>(mean + epsilon));
    for (let i: usize = 0; i < bytes; i += 16) {
      const v = f32x4.mul(v128.load(source + i), factor);
      if (normalized) v128.store(normalized + offset + i, v);
      v128.store(out + offset + i, f32x4.mul(v, v128.load(weight + i)));
    }
  }
}
