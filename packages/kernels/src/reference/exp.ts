import type { Lanes } from '../contract.ts';
import { fma } from './float.ts';

const { fround } = Math;

// Constants of the reference's exponential, f32 (numerics, section 5.3)
const LOG2_E = 1.4426950216293335; // 0x1.715476p+0
const LN2_HIGH = 0.693145751953125; // 0x1.62e4p-1
const LN2_LOW = 1.428606765330187e-6; // 0x1.7f7d1cp-20
const C1 = 0.9999994039535522; // 0x1.ffffecp-1
const C2 = 0.4999912679195404; // 0x1.fffdb6p-2
const C3 = 0.16668395698070526; // 0x1.555e66p-3
const C4 = 0.04189976677298546; // 0x1.573e2ep-5
const C5 = 0.008247390389442444; // 0x1.0e4020p-7
const ROUNDING = 12_582_912; // 1.5 * 2^23

/** f32 exp(x) as the reference build of that width computes it. */
export function exp(x: number, lanes: Lanes): number {
  const n = fround(fma(x, LOG2_E, ROUNDING) - ROUNDING);
  if (Number.isNaN(n)) return Number.NaN;
  if (n > 192) return Number.POSITIVE_INFINITY;
  if (n < -192) return 0;
  const b = fma(-n, LN2_LOW, fma(-n, LN2_HIGH, x));
  const u = fround(b * b);
  const polynomial = fma(fma(C5, b, C4), u, fma(C3, b, C2));
  // 2^n scales in f64, which holds it exactly, so that one rounding to f32 is left.
  if (lanes === 16) return fround(fma(polynomial, u, fma(C1, b, 1)) * 2 ** n);
  const j = fma(polynomial, u, fround(C1 * b));
  const outer = Math.abs(n) <= 126 ? 0 : n <= 0 ? -125 : 127;
  const scale = 2 ** (n - outer);
  return fround(fma(scale, j, scale) * 2 ** outer);
}
