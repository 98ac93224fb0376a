// Float steps that JavaScript has no operator for. `fround` marks every rounding to f32.

const { fround } = Math;

const F64 = new Float64Array(1);
const F64_BITS = new BigInt64Array(F64.buffer);
const F32 = new Float32Array(1);
const F32_BITS = new Uint32Array(F32.buffer);

/** a * b + c for f32 values, rounded once to f32. */
export function fma(a: number, b: number, c: number): number {
  const product = a * b; // exact in f64: 24 + 24 bits
  const sum = product + c;
  if (!Number.isFinite(sum) || sum === 0) return fround(sum);
  // The error of the sum, exactly (two-sum). Where there is one, the sum's last bit is made odd, towards the error:
  // then it lies on no boundary between two f32, and the second rounding cannot go wrong.
  const added = sum - product;
  const error = product - (sum - added) + (c - added);
  if (error === 0) return fround(sum);
  F64[0] = sum;
  if ((F64_BITS[0]! & 1n) === 0n) F64_BITS[0]! += error > 0 === sum > 0 ? 1n : -1n;
  return fround(F64[0]);
}

/** Value of an f16 given by its bits. */
export function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

/** Bits of the f16 nearest to `x`, ties to even. */
export function f16Bits(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00 | f32Sign(x);
  if (magnitude >= 65_520) return sign | 0x7c00; // half-way from 65504 to 65536 and beyond
  // One ulp is 2^-24 below 2^-14, and 2^(exponent - 10) from there on.
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const steps = roundToEven(magnitude / 2 ** (exponent - 10)); // 0 .. 2048
  // 1024 steps and more carry into the exponent by themselves.
  return sign | (((exponent + 14) << 10) + steps);
}

function f32Sign(x: number): number {
  F32[0] = x;
  return (F32_BITS[0]! >>> 16) & 0x8000;
}

/** `x` rounded to f16 and back. */
export function roundF16(x: number): number {
  return f16Value(f16Bits(x));
}

/** Nearest whole number, ties to even. */
export function roundToEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** Sum by halving: element i + element i + length / 2, until one is left. Length a power of two; f32 sums. */
export function sumByHalving(values: ArrayLike<number>): number {
  let left = Array.from(values);
  while (left.length > 1) {
    const half = left.length / 2;
    left = left.slice(0, half).map((value, i) => fround(value + left[i + half]!));
  }
  return left[0]!;
}
