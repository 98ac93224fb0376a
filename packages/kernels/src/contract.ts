import type { BlockKernels } from './contract-blocks.ts';
import type { ScreenKernels } from './contract-screen.ts';

/** Byte offset into the kernels' memory; arrays start at multiples of 16. */
export type Pointer = number;

/** Vector width in f32 lanes of the reference build whose order of float sums is reproduced: 8 (AVX2), 16 (AVX-512). */
export type Lanes = 8 | 16;

/**
 * Every operation of a BitNet forward pass, over one linear memory.
 *
 * Implemented by the WebAssembly binaries ({@link loadKernels}) and, slow and plain, by {@link referenceKernels}.
 * Arrays are contiguous, outermost dimension first; f32 unless said otherwise. Nothing here checks its arguments or
 * allocates: callers check shapes once, when a model is loaded. Ranges `[begin, end)` let threads split the work; a
 * `scratch` pointer belongs to one thread alone, so that no thread writes below another's output.
 *
 * "Section" numbers refer to docs/numerics.md. Where a float result has several correct roundings, the order given
 * here is part of the result.
 */
export interface Kernels extends BlockKernels, ScreenKernels {
  /**
   * Repacks I2_S codes from a file's layout into the row-pair layout: rows 2r and 2r + 1 alternate every 128 columns
   * (32 bytes), so that one linear stream feeds two rows. Bytes within a row are those of 128x32.
   *
   * @param packed - rows * columns / 4 bytes of a file; rows even, columns a multiple of 128
   * @param layout - 128 for 128x32, 64 for 64x16 (section 2)
   * @param out - rows * columns / 4 bytes
   * @returns -1, or the first row that holds the code 3, which I2_S does not have; `out` is then incomplete
   */
  packRowPairs(packed: Pointer, rows: number, columns: number, layout: 128 | 64, out: Pointer): number;

  /**
   * Quantizes activation rows to int8 (section 3).
   * amax = max(1e-5, max |x|) in f64; scale = f32(127 / amax); value = clamp(roundToEven(f32(x * scale)), -128, 127).
   *
   * @param x - f32 [rows, width]; width a multiple of 16
   * @param values - out: int8 [rows, width]
   * @param scales - out: f32 [rows]; real = value / scale
   * @param sums - out: int32 [rows], the sum of a row's values
   */
  quantizeRows(
    x: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    values: Pointer,
    scales: Pointer,
    sums: Pointer,
  ): void;

  /**
   * The same as TL1 quantizes (section 4): without the floor, so that rows of less than 1e-5 get a larger scale. A row of
   * zeros has the scale infinity, values 0 and so products of 0. Below 3.8e-37 the scale is infinite too, and products
   * are zeros of either sign.
   */
  quantizeRowsTl1(
    x: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    values: Pointer,
    scales: Pointer,
    sums: Pointer,
  ): void;

  /**
   * Ternary matrix times one quantized row (section 3): out[m] = f32(f32(dot[m] - sum) / scale) * weightScale.
   *
   * @param weights - codes in the row-pair layout ({@link Kernels.packRowPairs}), [rows, width]; width a multiple of 128, at most 65,536
   * @param rowBegin - even, as is rowEnd
   * @param values - int8 [width]; `scales` f32 [1] and `sums` int32 [1] belong to it
   * @param out - f32 [rows]
   * @param scratch - {@link i2sScratchBytes}
   */
  i2sGemv(
    weights: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    weightScale: number,
    values: Pointer,
    scales: Pointer,
    sums: Pointer,
    out: Pointer,
    scratch: Pointer,
  ): void;

  /**
   * The same for `count` quantized rows; bit for bit what `count` calls of {@link Kernels.i2sGemv} give.
   *
   * @param rowBegin - a multiple of 4, as is rowEnd
   * @param values - int8 [count, width]; `scales` f32 [count], `sums` int32 [count]
   * @param out - f32 [count, outStride]; outStride a multiple of 4
   * @param scratch - {@link i2sScratchBytes}
   */
  i2sGemm(
    weights: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    weightScale: number,
    values: Pointer,
    scales: Pointer,
    sums: Pointer,
    count: number,
    out: Pointer,
    outStride: number,
    scratch: Pointer,
  ): void;

  /**
   * Transcodes a TL1 matrix to the row-pair layout of {@link Kernels.packRowPairs}, without loss: {@link Kernels.i2sGemv}
   * and {@link Kernels.i2sGemm} then compute with it.
   *
   * @param packed - rows * columns / 4 bytes of a file
   * @param rows - a multiple of tileRows; columns a multiple of 128 and of tileColumns
   * @param tileRows - with tileColumns and innerRows the tiling (`Tl1Tiling`)
   * @param out - rows * columns / 4 bytes
   * @returns -1, or the first row that holds a nibble above 8, which TL1 does not have; `out` is then incomplete
   */
  tl1ToRowPairs(
    packed: Pointer,
    rows: number,
    columns: number,
    tileRows: number,
    tileColumns: number,
    innerRows: number,
    out: Pointer,
  ): number;

  /**
   * Repacks a TL1 matrix for {@link Kernels.tl1Gemv}: tiles of 32 rows, each 4 columns of a tile 32 bytes, of which byte r
   * has row r, nibbles as in the file. Arguments and result are those of {@link Kernels.tl1ToRowPairs}.
   */
  tl1ToTiles(
    packed: Pointer,
    rows: number,
    columns: number,
    tileRows: number,
    tileColumns: number,
    innerRows: number,
    out: Pointer,
  ): number;

  /**
   * Ternary matrix times one quantized row as TL1 does it, by look-up (section 4): a table of all nine sums for each pair
   * of values, from which nibbles choose. Bit for bit what {@link Kernels.i2sGemv} gives for the same weights.
   *
   * @param weights - nibbles 0..8 in tiles ({@link Kernels.tl1ToTiles}), [rows, width]; width a multiple of 128, at most 65,536
   * @param rowBegin - a multiple of 32, as is rowEnd
   * @param values - int8 [width]; `scales` f32 [1] belongs to it
   * @param out - f32 [rows]
   * @param scratch - 16 * width bytes, for the tables
   */
  tl1Gemv(
    weights: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    weightScale: number,
    values: Pointer,
    scales: Pointer,
    out: Pointer,
    scratch: Pointer,
  ): void;

  /**
   * RMS normalization (section 5.2): f32 squares summed in f64 from left to right; mean, root and quotient in f32.
   *
   * @param x - f32 [rows, width]; width a multiple of 4
   * @param weight - f32 [width]
   * @param out - f32 [rows, width], normalized * weight
   * @param normalized - f32 [rows, width] before the weight, or 0 to leave it out
   */
  rmsNorm(
    x: Pointer,
    weight: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    epsilon: number,
    out: Pointer,
    normalized: Pointer,
  ): void;

  /** f32(base ^ f32(-2 / headDim)): the factor from one RoPE angle to the next (section 5.2). */
  ropeRatio(base: number, headDim: number): number;

  /**
   * Sines and cosines of all angles of positions `positionBegin` to `positionEnd - 1`, with glibc's bits (section 5.2).
   * Angle 0 is the position, each next one f32(angle * ratio).
   *
   * @param factors - f32 [headDim / 2], by which the angles are divided before use (`rope_freqs.weight`), or 0
   * @param cosines - out: f32 [positions, headDim / 2], indexed by the position itself; `sines` the same
   */
  ropeTable(
    positionBegin: number,
    positionEnd: number,
    headDim: number,
    ratio: number,
    factors: Pointer,
    cosines: Pointer,
    sines: Pointer,
  ): void;

  /**
   * Rotates the pairs (j, j + headDim / 2) of every head in place (section 5.2), with fused multiply-adds.
   *
   * @param x - f32 [rows, heads, headDim]; headDim a multiple of 8
   * @param position - of row 0; row r is at position + r
   */
  ropeNeox(
    x: Pointer,
    rowBegin: number,
    rowEnd: number,
    heads: number,
    headDim: number,
    position: number,
    cosines: Pointer,
    sines: Pointer,
  ): void;

  /** The same for the pairs (2j, 2j + 1), as the architecture llama has them. */
  ropeNorm(
    x: Pointer,
    rowBegin: number,
    rowEnd: number,
    heads: number,
    headDim: number,
    position: number,
    cosines: Pointer,
    sines: Pointer,
  ): void;

  /**
   * Appends `count` keys and values to a layer's cache, rounded to f16.
   *
   * @param keys - f32 [count, kvHeads, headDim], rotated; `values` the same, not rotated
   * @param position - first cell to write; cells is the cache's capacity
   * @param keyCache - f16 [kvHeads, cells, headDim]
   * @param valueCache - f16 [kvHeads, headDim, cells]: transposed, so that the sum over cells reads one line
   */
  storeKeysValues(
    keys: Pointer,
    values: Pointer,
    count: number,
    kvHeads: number,
    headDim: number,
    position: number,
    cells: number,
    keyCache: Pointer,
    valueCache: Pointer,
  ): void;

  /**
   * Causal attention of `count` rows over a layer's cache (section 5.3). Query head h reads kv head
   * floor(h / (heads / kvHeads)). One row rounds its probabilities to f16; several keep them in f32 and sum in another
   * order: the reference's arithmetic depends on the batch.
   *
   * Threads split the query heads: [headBegin, headEnd).
   *
   * @param q - f32 [count, heads, headDim], rotated; headDim a multiple of 8
   * @param position - of row 0: row r sees cells 0 to position + r
   * @param cacheCells - the cache's capacity; cells - how many are read, a multiple of 32, those unused being 0
   * @param scale - f32(1 / sqrt(headDim))
   * @param out - f32 [count, heads, headDim]
   * @param scores - out: f32 [heads, count, cells] before scale and mask, or 0
   * @param probabilities - out: f32 [heads, count, cells], or 0
   * @param scratch - {@link attentionScratchBytes}
   */
  attention(
    q: Pointer,
    headBegin: number,
    headEnd: number,
    heads: number,
    kvHeads: number,
    headDim: number,
    count: number,
    position: number,
    keyCache: Pointer,
    valueCache: Pointer,
    cacheCells: number,
    cells: number,
    scale: number,
    lanes: Lanes,
    out: Pointer,
    scores: Pointer,
    probabilities: Pointer,
    scratch: Pointer,
  ): void;

  /** {@link Kernels.storeKeysValues} for a cache that keeps them unrounded: keyCache and valueCache are f32. */
  storeKeysValuesF32: Kernels['storeKeysValues'];

  /**
   * {@link Kernels.attention} over an f32 cache. Nothing is rounded to f16: neither q nor the probabilities of one row. Dot
   * products are the reference's for f32 (section 5.3): as for f16, but with fused accumulators, and columns beyond a
   * multiple of 4 * lanes are added one by one, fused, in f32.
   *
   * Its scratch is {@link attentionF32ScratchBytes}.
   */
  attentionF32: Kernels['attention'];

  /**
   * f16 matrix times one vector, in the order of the reference's f16 dot product (section 5.3, `dot16`): four
   * accumulators of `lanes`, then the columns beyond a multiple of 4 * lanes one by one in f64.
   *
   * @param matrix - f16 [rows, rowStride], all finite; the first `width` columns count, a multiple of 4
   * @param vector - f32 [width] of f16 values (see {@link Kernels.roundToF16})
   * @param out - f32 [rows]
   * @param scratch - 4 * width + 128 bytes
   */
  f16Gemv(
    matrix: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    rowStride: number,
    vector: Pointer,
    out: Pointer,
    lanes: Lanes,
    scratch: Pointer,
  ): void;

  /**
   * f16 matrix times `count` f32 vectors, in the order of the reference's small matrix product (section 5.3, `blas`):
   * one accumulator of `lanes`, fused, reduced by halving.
   *
   * @param matrix - f16 [rows, rowStride]; the first `width` columns count, a multiple of `lanes`
   * @param vectors - f32 [count, vectorStride]
   * @param out - f32 [count, outStride]
   * @param scratch - 4 * width bytes
   */
  f16Gemm(
    matrix: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    rowStride: number,
    vectors: Pointer,
    vectorStride: number,
    count: number,
    out: Pointer,
    outStride: number,
    lanes: Lanes,
    scratch: Pointer,
  ): void;

  /** f16 [count] -> f32 [count], exactly. `count` is a multiple of 4 here and in all that follow. */
  widenF16(source: Pointer, count: number, out: Pointer): void;

  /** Index of the first NaN or infinity among f16 [count], count a multiple of 8; -1 if there is none. */
  findNonFiniteF16(source: Pointer, count: number): number;

  /** f32 [count] -> the nearest f16 values (ties to even, overflow to infinity), as f32 [count]. May work in place. */
  roundToF16(source: Pointer, count: number, out: Pointer): void;

  /** out = a + b. May work in place. */
  add(a: Pointer, b: Pointer, count: number, out: Pointer): void;

  /** Adds `vector` f32 [width] to the rows of x f32 [rows, width]. */
  addToRows(x: Pointer, rowBegin: number, rowEnd: number, width: number, vector: Pointer): void;

  /** x = x * factor, f32 [count]. */
  multiplyBy(x: Pointer, count: number, factor: number): void;

  /**
   * out = max(gate, 0)² * up, each product rounded to f32 (architectures bitnet-25 and bitnet-b1.58).
   *
   * @param relu - out: max(gate, 0), or 0; `squared` - out: its square, or 0
   */
  reluSquaredGate(gate: Pointer, up: Pointer, count: number, out: Pointer, relu: Pointer, squared: Pointer): void;

  /**
   * out = gate / (1 + exp(-gate)) * up with the reference's exponential (architecture bitnet).
   *
   * @param silu - out: the first factor, or 0
   */
  siluGate(gate: Pointer, up: Pointer, count: number, lanes: Lanes, out: Pointer, silu: Pointer): void;

  /** The reference's exponential (section 5.3): out = exp(x). */
  exponential(x: Pointer, count: number, lanes: Lanes, out: Pointer): void;

  /** out = a * b + c, rounded once. */
  multiplyAdd(a: Pointer, b: Pointer, c: Pointer, count: number, out: Pointer): void;
}

/** Scratch of {@link Kernels.i2sGemv} and {@link Kernels.i2sGemm}: unpacked rows of weights, and sums of 128 tokens (i2s-wide.ts). */
export function i2sScratchBytes(width: number): number {
  return 8 * width + 65 * 384;
}

/**
 * Scratch of {@link Kernels.attention}: keys and values of one head in f32, a tile of 8 queries and their scores, sums, and
 * up to 64 columns of the tile in f64.
 */
export function attentionScratchBytes(headDim: number, cells: number): number {
  return 4 * (2 * cells * headDim + 8 * (headDim + cells)) + 256 + 8 * 512;
}

/** Scratch of {@link Kernels.attentionF32}: the scores of a row, a tile of 8 rows of probabilities, and sums. */
export function attentionF32ScratchBytes(cells: number): number {
  return 36 * cells + 256;
}
