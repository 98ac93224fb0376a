import type { Lanes, Pointer } from './contract.ts';

/**
 * Matrix products and look-ups for the tensor types of llama.cpp, in the arithmetic of the reference's x86 builds
 * (docs/numerics.md, section 11). Matrices are as in files, blocks row by row; TQ1_0 is transcoded to TQ2_0.
 *
 * Products take `count` rows of activations at once, and give the same bits for each whatever `count` is. Threads split
 * the matrix's rows [rowBegin, rowEnd). out is f32 [count, outStride], of which columns rowBegin to rowEnd - 1 are written.
 */
export interface BlockKernels {
  /**
   * Quantizes activation rows for Q8_0 and Q4_0 weights, in blocks of 32: amax = max |x|;
   * value = roundToEven(f32(x * f32(127 / amax))), or 0 where amax is 0; scale = f16(f32(amax / 127)).
   *
   * @param x - f32 [rows, width]; width a multiple of 32
   * @param values - out: int8 [rows, width]
   * @param scales - out: f32 [rows, width / 32], f16 values; real = value * scale
   */
  quantizeRowsQ8_0(x: Pointer, rowBegin: number, rowEnd: number, width: number, values: Pointer, scales: Pointer): void;

  /**
   * Quantizes activation rows for Q6_K, TQ1_0 and TQ2_0 weights, in blocks of 256: inverse = f32(-127 / m), m being the
   * first of the block's values that are largest in magnitude; value = min(127, roundToEven(f32(x * inverse)));
   * scale = f32(1 / inverse). A block of zeros has values and scale 0. As in the reference, NaN counts as 0.
   *
   * @param x - f32 [rows, width]; width a multiple of 256
   * @param values - out: int8 [rows, width]
   * @param scales - out: f32 [rows, width / 256], of either sign; real = value * scale
   * @param sums - out: int16 [rows, width / 16], of 16 values each
   */
  quantizeRowsQ8K(
    x: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    values: Pointer,
    scales: Pointer,
    sums: Pointer,
  ): void;

  /** f32 [count] -> the nearest bf16 values (ties to even), as f32 [count]; count a multiple of 4. May work in place. */
  roundToBf16(source: Pointer, count: number, out: Pointer): void;

  /**
   * f32 matrix times one vector: the plain dot product. Four accumulators of `lanes`, fused; then the columns beyond a
   * multiple of 4 * lanes one by one, fused.
   *
   * @param matrix - f32 [rows, width]; width a multiple of 4
   * @param vector - f32 [width]
   */
  f32Gemv(
    matrix: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    vector: Pointer,
    out: Pointer,
    lanes: Lanes,
  ): void;

  /**
   * f32 matrix times `count` vectors, in the order of the reference's small matrix product (section 5.3, `blas`).
   *
   * @param matrix - f32 [rows, width]; width a multiple of `lanes`
   * @param vectors - f32 [count, width]
   */
  f32Gemm(
    matrix: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    vectors: Pointer,
    count: number,
    out: Pointer,
    outStride: number,
    lanes: Lanes,
  ): void;

  /**
   * bf16 matrix times `count` vectors. 32 columns a step; with 16 lanes two accumulators, each summed by halving and then
   * added; with 8 lanes four, added as (a + c) + (b + d) and summed by halving.
   *
   * @param matrix - bf16 [rows, width]; width a multiple of 32
   * @param vectors - f32 [count, width] of bf16 values ({@link BlockKernels.roundToBf16})
   */
  bf16Gemm(
    matrix: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    vectors: Pointer,
    count: number,
    out: Pointer,
    outStride: number,
    lanes: Lanes,
  ): void;

  /**
   * Q8_0 matrix times `count` quantized rows. For each block, with scale = f32(weight scale * activation scale), lane l
   * of eight takes the integer sum of the products of columns 4l to 4l + 3: lane = fma(scale, sum, lane). Then the
   * lanes are summed by halving.
   *
   * @param weights - Q8_0 [rows, width]; width a multiple of 32
   * @param values - int8 [count, width], -127..127; `scales` f32 [count, width / 32]
   */
  q8_0Gemm(
    weights: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    values: Pointer,
    scales: Pointer,
    count: number,
    out: Pointer,
    outStride: number,
  ): void;

  /** Q4_0 matrix times `count` quantized rows, as {@link BlockKernels.q8_0Gemm} does it. */
  q4_0Gemm(
    weights: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    values: Pointer,
    scales: Pointer,
    count: number,
    out: Pointer,
    outStride: number,
  ): void;

  /**
   * Q6_K matrix times `count` quantized rows. For each block, lane l of eight takes columns c with floor(c / 4) mod 8 = l:
   * the integer sum of (code - 32) * value * the i8 scale of the column's 16. lane = fma(scale, sum, lane), with
   * scale = f32(activation scale * weight scale). Then the lanes are summed by halving.
   *
   * @param weights - Q6_K [rows, width]; width a multiple of 256
   * @param values - int8 [count, width]; `scales` f32 [count, width / 256]
   */
  q6KGemm(
    weights: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    values: Pointer,
    scales: Pointer,
    count: number,
    out: Pointer,
    outStride: number,
  ): void;

  /**
   * TQ2_0 matrix times `count` quantized rows. For each block, lane l of eight takes columns c with
   * floor(c / 4) mod 8 = l: the integer sum of code * value, less sums 2l and 2l + 1 of the block.
   * lane = f32(f32(sum * scale) + lane), not fused. Then the lanes are summed by halving.
   *
   * @param weights - TQ2_0 [rows, width]; width a multiple of 256. Code 3 counts as 2, as in the reference
   * @param values - int8 [count, width]; `scales` f32 [count, width / 256], `sums` int16 [count, width / 16]
   */
  tq2_0Gemm(
    weights: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    values: Pointer,
    scales: Pointer,
    sums: Pointer,
    count: number,
    out: Pointer,
    outStride: number,
  ): void;

  /** TQ1_0 [count] -> TQ2_0 [count] of the same values, without loss; count a multiple of 256. */
  tq1_0ToTq2_0(source: Pointer, count: number, out: Pointer): void;

  /** f32 [count] -> f32 [count]. */
  copyF32(source: Pointer, count: number, out: Pointer): void;

  /** bf16 [count] -> f32 [count], exactly; count a multiple of 4. */
  widenBf16(source: Pointer, count: number, out: Pointer): void;

  /** Q8_0 [count] -> f32 [count], exactly; count a multiple of 32 here and for Q4_0. */
  widenQ8_0(source: Pointer, count: number, out: Pointer): void;

  /** Q4_0 [count] -> f32 [count], exactly. */
  widenQ4_0(source: Pointer, count: number, out: Pointer): void;

  /** Q6_K [count] -> f32 [count], exactly; count a multiple of 256 here and for TQ2_0. */
  widenQ6K(source: Pointer, count: number, out: Pointer): void;

  /** TQ2_0 [count] -> f32 [count], exactly. */
  widenTq2_0(source: Pointer, count: number, out: Pointer): void;

  /** Index of the first NaN or infinity among f32 [count], count a multiple of 4; -1 if there is none. */
  findNonFiniteF32(source: Pointer, count: number): number;

  /** The same among bf16 [count], count a multiple of 8. */
  findNonFiniteBf16(source: Pointer, count: number): number;

  /** The same among `count` f16 that are `strideBytes` apart: scales of blocks. */
  findNonFiniteScale(source: Pointer, count: number, strideBytes: number): number;
}
