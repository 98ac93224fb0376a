// Rotary position embedding: see `ropeRatio`, `ropeTable`, `ropeNeox` and `ropeNorm` in src/contract.ts.
import { fma4 } from './lanes';

export function ropeRatio(base: f32, headDim: i32): f32 {
  // In WebAssembly, so that it has the same bits under every JavaScript engine (Math.pow of the host need not).
  return <f32>NativeMath.pow(<f64>base, <f64>(<f32>(-2.0 / <f64>headDim)));
}

/**
 * Sine and cosine of one f32 angle as glibc's sinf and cosf give them (numerics, section 5.2), which are not
 * correctly rounded. `quarter` 0 gives the sine, 1 the cosine.
 */
function sinOrCos(angle: f32, quarter: i32): f32 {
  const x = <f64>angle;
  const n = abs(x) < 0.7853981852531433 ? 0 : nearest<f64>(x * 0.6366197723675814);
  const r = abs(x) < 120
    ? x - n * 1.5707963267948966
    : x - n * 1.5707963267341256 - n * 6.077100506303966e-11 - n * 2.0222662487959506e-21;
  const r2 = r * r;
  const quadrant = (<i32>n + quarter) & 3;
  let y: f64;
  if ((quadrant & 1) == 0) {
    const r3 = r * r2;
    y = (r + r3 * -0.16666654943701084) + r3 * r2 * (0.008332178146138854 + r2 * -0.00019517298981385725);
  } else {
    const r4 = r2 * r2;
    y = ((1.0 + r2 * -0.49999999725108224) + r4 * 0.041666623324344516) +
      r4 * r2 * (-0.001388676379437604 + r2 * 2.4390450703564542e-5);
  }
  return <f32>((quadrant & 2) == 0 ? y : -y);
}

export function ropeTable(
  positionBegin: i32, positionEnd: i32, headDim: i32, ratio: f32, factors: usize, cosines: usize, sines: usize,
): void {
  const half = headDim >> 1;
  for (let position = positionBegin; position < positionEnd; position++) {
    let angle = <f32>position;
    for (let j = 0; j < half; j++) {
      const at = (<usize>position * half + j) << 2;
      const divided = factors ? angle / load<f32>(factors + (<usize>j << 2)) : angle;
      store<f32>(cosines + at, sinOrCos(divided, 1));
      store<f32>(sines + at, sinOrCos(divided, 0));
      angle *= ratio; // an f32 product a step, as the reference does; not position * base^(-2j / headDim)
    }
  }
}

export function ropeNeox(
  x: usize, rowBegin: i32, rowEnd: i32, heads: i32, headDim: i32, position: i32, cosines: usize, sines: usize,
): void {
  const half = <usize>headDim << 1; // bytes of half a head
  for (let row = rowBegin; row < rowEnd; row++) {
    const table = <usize>(position + row) * half;
    for (let head = 0; head < heads; head++) {
      const first = x + ((<usize>row * heads + head) * headDim << 2);
      for (let j: usize = 0; j < half; j += 16) {
        const c = v128.load(cosines + table + j);
        const s = v128.load(sines + table + j);
        const a = v128.load(first + j);
        const b = v128.load(first + half + j);
        v128.store(first + j, fma4(a, c, f32x4.neg(f32x4.mul(b, s))));
        v128.store(first + half + j, fma4(a, s, f32x4.mul(b, c)));
      }
    }
  }
}

export function ropeNorm(
  x: usize, rowBegin: i32, rowEnd: i32, heads: i32, headDim: i32, position: i32, cosines: usize, sines: usize,
): void {
  const half = <usize>headDim << 1; // bytes of a table's row
  for (let row = rowBegin; row < rowEnd; row++) {
    const table = <usize>(position + row) * half;
    for (let head = 0; head < heads; head++) {
      let pairs = x + ((<usize>row * heads + head) * headDim << 2);
      for (let j: usize = 0; j < half; j += 16, pairs += 32) {
        const c = v128.load(cosines + table + j);
        const s = v128.load(sines + table + j);
        const low = v128.load(pairs), high = v128.load(pairs, 16);
        const a = i32x4.shuffle(low, high, 0, 2, 4, 6);
        const b = i32x4.shuffle(low, high, 1, 3, 5, 7);
        const first = fma4(a, c, f32x4.neg(f32x4.mul(b, s)));
        const second = fma4(a, s, f32x4.mul(b, c));
        v128.store(pairs, i32x4.shuffle(first, second, 0, 4, 1, 5));
        v128.store(pairs, i32x4.shuffle(first, second, 2, 6, 3, 7), 16);
      }
    }
  }
}
