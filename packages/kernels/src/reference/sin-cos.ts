// Sine and cosine with the bits of glibc's sinf and cosf (numerics, section 5.2), in f64 products and sums.

const S = [-0.16666654943701084, 0.008332178146138854, -0.00019517298981385725] as const;
const C = [-0.49999999725108224, 0.041666623324344516, -0.001388676379437604, 2.4390450703564542e-5] as const;
const HALF_PI = 1.5707963267948966;
const HALF_PI_PARTS = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21] as const;
const QUARTER_PI = 0.7853981852531433; // f32

/** f32 [sine, cosine] of an f32 angle. */
export function sinCos(angle: number): [sine: number, cosine: number] {
  const n = Math.abs(angle) < QUARTER_PI ? 0 : nearest(angle * (2 / Math.PI));
  const [p1, p2, p3] = HALF_PI_PARTS;
  const r = Math.abs(angle) < 120 ? angle - n * HALF_PI : angle - n * p1 - n * p2 - n * p3;
  const r2 = r * r;
  const r3 = r * r2;
  const r4 = r2 * r2;
  const sine = r + r3 * S[0] + r3 * r2 * (S[1] + r2 * S[2]);
  const cosine = 1 + r2 * C[0] + r4 * C[1] + r4 * r2 * (C[2] + r2 * C[3]);
  const quadrants = [
    [sine, cosine],
    [cosine, -sine],
    [-sine, -cosine],
    [-cosine, sine],
  ] as const;
  const [s, c] = quadrants[((n % 4) + 4) % 4]!;
  return [Math.fround(s), Math.fround(c)];
}

/** Nearest whole number; ties cannot occur for multiples of 2 / pi of an f32. */
function nearest(x: number): number {
  return Math.floor(x + 0.5);
}
