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
    let a: f64 = 0, b: f64 = 0, c: f64 = 0, d: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) {
      a += square(source + i);
      b += square(source + bytes + i);
      c += square(source + 2 * bytes + i);
      d += square(source + 3 * bytes + i);
    }
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
