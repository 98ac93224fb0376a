// The products of i2s.ts by way of 16-bit sums, for machines whose dot product to 32 bits is slow, or absent: see `i2sGemv`
// and `i2sGemm` in src/contract.ts, and the layout in i2s.ts.
//
// With relaxed SIMD, products are added in pairs to i16 lanes, one instruction where the 32-bit dot product takes three.
// Without, values are widened to i16 for `i32x4.dot_i16x8_s`. Ranges are worked out where the sums are.
import { sumI32 } from './lanes';

// @ts-ignore: decorator
@inline
function scaled(dot: i32, sum: i32, activationScale: f32, weightScale: f32): f32 {
  return <f32>(dot - sum) / activationScale * weightScale;
}

/** acc + sums of two products each, in i16. Codes are at most 12, so that they have bit 7 clear: exact on every engine. */
// @ts-ignore: decorator
@inline
function pairs(values: v128, codes: v128, acc: v128): v128 {
  return i16x8.add(acc, i16x8.relaxed_dot_i8x16_i7x16_s(values, codes));
}

/** acc + sums of two products each, in i32. */
// @ts-ignore: decorator
@inline
function products(values: v128, codes: v128, acc: v128): v128 {
  return i32x4.add(acc, i32x4.dot_i16x8_s(values, codes));
}

/** Blocks of 128 columns between two moves of the i16 sums to i32. */
const BLOCKS: usize = 4;

export function i2sGemvI16(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize, scratch: usize,
): void {
  if (rowBegin >= rowEnd) return; // a thread without a share needs no widened values
  if (ASC_FEATURE_RELAXED_SIMD) gemvPairs(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, out);
  else gemvWidened(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, out, scratch);
}

function gemvPairs(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize,
): void {
  const activationScale = load<f32>(scales);
  const sum = load<i32>(sums);
  const valuesEnd = values + <usize>width;
  const low = i8x16.splat(0x03);
  const high = i8x16.splat(0x0c);
  let w = weights + ((<usize>rowBegin * width) >> 2);
  for (let row = rowBegin; row < rowEnd; row += 2) {
    let sum0 = i32x4.splat(0), sum1 = i32x4.splat(0);
    for (let v = values; v < valuesEnd; ) {
      // Codes in bits 0-1 count once (a), those in bits 2-3 four times (b). A block adds 4 pairs of at most 2 * 128 * 2 to
      // a lane of a, 4 of at most 2 * 128 * 8 to one of b: in 4 blocks -32,768 at least, and 32,512 at most, as 127 is the
      // largest value. a + b / 4 is at most 16,384.
      let a0 = i16x8.splat(0), b0 = i16x8.splat(0), a1 = i16x8.splat(0), b1 = i16x8.splat(0);
      for (const end = min(valuesEnd, v + 128 * BLOCKS); v < end; v += 128, w += 64) {
        let w0 = v128.load(w), w1 = v128.load(w, 32);
        let q = v128.load(v, 96);
        a0 = pairs(q, v128.and(w0, low), a0);
        a1 = pairs(q, v128.and(w1, low), a1);
        q = v128.load(v, 64);
        b0 = pairs(q, v128.and(w0, high), b0);
        b1 = pairs(q, v128.and(w1, high), b1);
        w0 = i16x8.shr_u(w0, 4);
        w1 = i16x8.shr_u(w1, 4);
        q = v128.load(v, 32);
        a0 = pairs(q, v128.and(w0, low), a0);
        a1 = pairs(q, v128.and(w1, low), a1);
        q = v128.load(v);
        b0 = pairs(q, v128.and(w0, high), b0);
        b1 = pairs(q, v128.and(w1, high), b1);
        w0 = v128.load(w, 16);
        w1 = v128.load(w, 48);
        q = v128.load(v, 112);
        a0 = pairs(q, v128.and(w0, low), a0);
        a1 = pairs(q, v128.and(w1, low), a1);
        q = v128.load(v, 80);
        b0 = pairs(q, v128.and(w0, high), b0);
        b1 = pairs(q, v128.and(w1, high), b1);
        w0 = i16x8.shr_u(w0, 4);
        w1 = i16x8.shr_u(w1, 4);
        q = v128.load(v, 48);
        a0 = pairs(q, v128.and(w0, low), a0);
        a1 = pairs(q, v128.and(w1, low), a1);
        q = v128.load(v, 16);
        b0 = pairs(q, v128.and(w0, high), b0);
        b1 = pairs(q, v128.and(w1, high), b1);
      }
      sum0 = i32x4.add(sum0, i32x4.extadd_pairwise_i16x8_s(i16x8.add(a0, i16x8.shr_s(b0, 2))));
      sum1 = i32x4.add(sum1, i32x4.extadd_pairwise_i16x8_s(i16x8.add(a1, i16x8.shr_s(b1, 2))));
    }
    const target = out + (<usize>row << 2);
    store<f32>(target, scaled(sumI32(sum0), sum, activationScale, weightScale));
    store<f32>(target, scaled(sumI32(sum1), sum, activationScale, weightScale), 4);
  }
}

/**
 * Values of 64 columns that share 16 bytes of weights, as i16: those of even bytes and of odd bytes by turns. Codes stay
 * where they are in their bytes, and so count 64, 16, 4 or 1 times; the values make 64 of each.
 */
// @ts-ignore: decorator
@inline
function widen64(from: usize, to: usize): void {
  widen16(from, to, 0);
  widen16(from + 32, to + 32, 2);
  widen16(from + 64, to + 64, 4);
  widen16(from + 96, to + 96, 6);
}

// @ts-ignore: decorator
@inline
function widen16(from: usize, to: usize, shift: i32): void {
  const q = v128.load(from);
  v128.store(to, i16x8.shl(i16x8.shr_s(i16x8.shl(q, 8), 8), shift));
  v128.store(to, i16x8.shl(i16x8.shr_s(q, 8), shift), 16);
}

function gemvWidened(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, out: usize, scratch: usize,
): void {
  let to = scratch;
  for (let v = values, end = values + <usize>width; v < end; v += 128, to += 256) {
    widen64(v, to);
    widen64(v + 16, to + 128);
  }
  const activationScale = load<f32>(scales);
  const sum = load<i32>(sums);
  const m0 = i16x8.splat(0xc0), m1 = i16x8.splat(0x30), m2 = i16x8.splat(0x0c), m3 = i16x8.splat(0x03);
  let w = weights + ((<usize>rowBegin * width) >> 2);
  for (let row = rowBegin; row < rowEnd; row += 2) {
    // All products count 64 times: the sum of a row is at most 64 * 256 * width, 2^30 for the largest width.
    let a0 = i32x4.splat(0), b0 = i32x4.splat(0), a1 = i32x4.splat(0), b1 = i32x4.splat(0);
    for (let v = scratch; v < to; w += 32) {
      for (const end = v + 256; v < end; v += 128, w += 16) {
        let w0 = v128.load(w), w1 = v128.load(w, 32);
        let q = v128.load(v);
        a0 = products(q, v128.and(w0, m0), a0);
        a1 = products(q, v128.and(w1, m0), a1);
        q = v128.load(v, 32);
        b0 = products(q, v128.and(w0, m1), b0);
        b1 = products(q, v128.and(w1, m1), b1);
        q = v128.load(v, 64);
        a0 = products(q, v128.and(w0, m2), a0);
        a1 = products(q, v128.and(w1, m2), a1);
        q = v128.load(v, 96);
        b0 = products(q, v128.and(w0, m3), b0);
        b1 = products(q, v128.and(w1, m3), b1);
        w0 = i16x8.shr_u(w0, 8);
        w1 = i16x8.shr_u(w1, 8);
        q = v128.load(v, 16);
        a0 = products(q, v128.and(w0, m0), a0);
        a1 = products(q, v128.and(w1, m0), a1);
        q = v128.load(v, 48);
        b0 = products(q, v128.and(w0, m1), b0);
        b1 = products(q, v128.and(w1, m1), b1);
        q = v128.load(v, 80);
        a0 = products(q, v128.and(w0, m2), a0);
        a1 = products(q, v128.and(w1, m2), a1);
        q = v128.load(v, 112);
        b0 = products(q, v128.and(w0, m3), b0);
        b1 = products(q, v128.and(w1, m3), b1);
      }
    }
    const target = out + (<usize>row << 2);
    store<f32>(target, scaled(sumI32(i32x4.add(a0, b0)) >> 6, sum, activationScale, weightScale));
    store<f32>(target, scaled(sumI32(i32x4.add(a1, b1)) >> 6, sum, activationScale, weightScale), 4);
  }
}

/** Codes of 16 columns, one a byte; `part` 0 are the highest bits. */
// @ts-ignore: decorator
@inline
function codesOf(block: v128, part: i32): v128 {
  return v128.and(i16x8.shr_u(block, 6 - (part << 1)), i8x16.splat(3));
}

/**
 * Codes of one row's block of 128 columns, 32 bytes at `from`, to where a product of four rows reads them: 16 columns of
 * row 0, of row 1, of row 2, of row 3, and so on; a byte each, or two for `i32x4.dot_i16x8_s`.
 */
// @ts-ignore: decorator
@inline
function unpackBlock(from: usize, to: usize, row: usize): void {
  const a = v128.load(from), b = v128.load(from, 16);
  for (let part = 0; part < 4; part++) {
    storeCodes(to + <usize>part * 128 * CODE_BYTES + row * 16 * CODE_BYTES, codesOf(a, part));
    storeCodes(to + <usize>part * 128 * CODE_BYTES + (64 + row * 16) * CODE_BYTES, codesOf(b, part));
  }
}

const CODE_BYTES: usize = ASC_FEATURE_RELAXED_SIMD ? 1 : 2;

// @ts-ignore: decorator
@inline
function storeCodes(to: usize, codes: v128): void {
  if (ASC_FEATURE_RELAXED_SIMD) v128.store(to, codes);
  else {
    v128.store(to, i16x8.extend_low_i8x16_u(codes));
    v128.store(to, i16x8.extend_high_i8x16_u(codes), 16);
  }
}

export function i2sGemmI16(
  weights: usize, rowBegin: i32, rowEnd: i32, width: i32, weightScale: f32,
  values: usize, scales: usize, sums: usize, count: i32, out: usize, outStride: i32, scratch: usize,
): void {
  const pair = <usize>width >> 1; // bytes of a row pair
  const dots = scratch + 4 * CODE_BYTES * <usize>width; // i32 [2, 4]
  for (let row = rowBegin; row < rowEnd; row += 4) {
    let from = weights + ((<usize>row * width) >> 2);
    for (let to = scratch; to < dots; to += 512 * CODE_BYTES, from += 64) {
      unpackBlock(from, to, 0);
      unpackBlock(from + 32, to, 1);
      unpackBlock(from + pair, to, 2);
      unpackBlock(from + pair + 32, to, 3);
    }
    for (let index = 0; index < count; index += 2) {
      // The last of an odd number is done twice, and stored once.
      const second = min(index + 1, count - 1);
      const p = values + <usize>index * width, q = values + <usize>second * width;
      if (ASC_FEATURE_RELAXED_SIMD) dotsOfPairs(p, q, width, scratch, dots);
      else dotsOfWidened(p, q, width, scratch, dots);
      storeScaled(dots, index, sums, scales, weightScale, out, outStride, row);
      if (second > index) storeScaled(dots + 16, second, sums, scales, weightScale, out, outStride, row);
    }
  }
}

// @ts-ignore: decorator
@inline
function storeScaled(
  dots: usize, index: i32, sums: usize, scales: usize, weightScale: f32, out: usize, outStride: i32, row: i32,
): void {
  const at = <usize>index << 2;
  const exact = f32x4.convert_i32x4_s(i32x4.sub(v128.load(dots), v128.load32_splat(sums + at)));
  const target = out + ((<usize>index * outStride + row) << 2);
  v128.store(target, f32x4.mul(f32x4.div(exact, v128.load32_splat(scales + at)), f32x4.splat(weightScale)));
}

/** Dot products of two rows of values with four of codes. */
function dotsOfPairs(p: usize, q: usize, width: i32, codes: usize, dots: usize): void {
  let s0 = i32x4.splat(0), s1 = i32x4.splat(0), s2 = i32x4.splat(0), s3 = i32x4.splat(0);
  let t0 = i32x4.splat(0), t1 = i32x4.splat(0), t2 = i32x4.splat(0), t3 = i32x4.splat(0);
  const end = p + <usize>width;
  while (p < end) {
    // Pairs of at most 2 * 128 * 2, 32 of them in 512 columns: 16,384.
    let a0 = i16x8.splat(0), a1 = i16x8.splat(0), a2 = i16x8.splat(0), a3 = i16x8.splat(0);
    let b0 = i16x8.splat(0), b1 = i16x8.splat(0), b2 = i16x8.splat(0), b3 = i16x8.splat(0);
    for (const stop = min(end, p + 512); p < stop; p += 16, q += 16, codes += 64) {
      const x = v128.load(p), y = v128.load(q);
      let c = v128.load(codes);
      a0 = pairs(x, c, a0);
      b0 = pairs(y, c, b0);
      c = v128.load(codes, 16);
      a1 = pairs(x, c, a1);
      b1 = pairs(y, c, b1);
      c = v128.load(codes, 32);
      a2 = pairs(x, c, a2);
      b2 = pairs(y, c, b2);
      c = v128.load(codes, 48);
      a3 = pairs(x, c, a3);
      b3 = pairs(y, c, b3);
    }
    s0 = i32x4.add(s0, i32x4.extadd_pairwise_i16x8_s(a0));
    s1 = i32x4.add(s1, i32x4.extadd_pairwise_i16x8_s(a1));
    s2 = i32x4.add(s2, i32x4.extadd_pairwise_i16x8_s(a2));
    s3 = i32x4.add(s3, i32x4.extadd_pairwise_i16x8_s(a3));
    t0 = i32x4.add(t0, i32x4.extadd_pairwise_i16x8_s(b0));
    t1 = i32x4.add(t1, i32x4.extadd_pairwise_i16x8_s(b1));
    t2 = i32x4.add(t2, i32x4.extadd_pairwise_i16x8_s(b2));
    t3 = i32x4.add(t3, i32x4.extadd_pairwise_i16x8_s(b3));
  }
  storeSums(dots, s0, s1, s2, s3);
  storeSums(dots + 16, t0, t1, t2, t3);
}

/** The same; codes are i16. */
function dotsOfWidened(p: usize, q: usize, width: i32, codes: usize, dots: usize): void {
  let a0 = i32x4.splat(0), a1 = i32x4.splat(0), a2 = i32x4.splat(0), a3 = i32x4.splat(0);
  let b0 = i32x4.splat(0), b1 = i32x4.splat(0), b2 = i32x4.splat(0), b3 = i32x4.splat(0);
  for (const end = p + <usize>width; p < end; codes += 96) {
    for (const stop = p + 16; p < stop; p += 8, q += 8, codes += 16) {
      const x = v128.load8x8_s(p), y = v128.load8x8_s(q);
      let c = v128.load(codes);
      a0 = products(x, c, a0);
      b0 = products(y, c, b0);
      c = v128.load(codes, 32);
      a1 = products(x, c, a1);
      b1 = products(y, c, b1);
      c = v128.load(codes, 64);
      a2 = products(x, c, a2);
      b2 = products(y, c, b2);
      c = v128.load(codes, 96);
      a3 = products(x, c, a3);
      b3 = products(y, c, b3);
    }
  }
  storeSums(dots, a0, a1, a2, a3);
  storeSums(dots + 16, b0, b1, b2, b3);
}

/** The sums of four i32x4, in order. */
// @ts-ignore: decorator
@inline
function storeSums(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = i32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7));
  v128.store(to, i32x4.add(i32x4.shuffle(ab, cd, 0, 1, 4, 5), i32x4.shuffle(ab, cd, 2, 3, 6, 7)));
}
