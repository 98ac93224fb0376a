import type { Lanes, Pointer } from './contract.ts';

/** Bytes of the upper six bits of a row's codes ({@link ScreenKernels.packScreen}). */
export function screenRowBytes(width: number): number {
  return 96 * Math.ceil(width / 128);
}

/** Bytes of the last two bits of a row's codes ({@link ScreenKernels.packScreen}). */
export function screenFineRowBytes(width: number): number {
  return 32 * Math.ceil(width / 128);
}

/** Bytes of what {@link ScreenKernels.quantizeForScreen} makes of a vector. */
export function screenValuesBytes(width: number): number {
  return 256 * Math.ceil(width / 128);
}

/**
 * The screened head: the k largest products of an f16 matrix with a vector, with the bits of {@link Kernels.f16Gemv},
 * mostly from six bits of an int8 copy of the matrix. It bounds every product from below and above, and computes k of them
 * exactly. Of rows whose upper bound is not below these, it bounds products again, by all bits of the copy. What is below then
 * cannot be among the k largest, and the others are computed exactly. The bounds are proven in assembly/screen.ts, for both
 * orders of {@link Lanes}.
 *
 * Calls in this order, once the matrix is packed: quantizeForScreen, screenRows, selectLargest, rescoreCandidates, refineRows,
 * selectCandidates, rescoreCandidates, f16GemvUnscreened.
 */
export interface ScreenKernels {
  /**
   * Rounds rows of an f16 matrix to int8: scale = f32(max |w| / 127), code = 128 + roundToEven(f32(w / scale)).
   *
   * @param matrix - f16 [rows, rowStride]; the first `width` columns count, a multiple of 16, at most 65,536
   * @param codes - out: uint8 [rows, {@link screenRowBytes}], upper six bits of codes, 96 bytes for 128 columns: the lower six
   *   bits of bytes 0 to 95 are those of columns 0 to 95, the upper two of bytes j, 32 + j and 64 + j, lowest first, those of
   *   column 96 + j. Columns beyond `width` have the code 0, as has a row that is not finite
   * @param fineCodes - out: uint8 [rows, {@link screenFineRowBytes}], the last two bits of codes, 32 bytes for 128 columns:
   *   byte j has those of columns j, 32 + j, 64 + j and 96 + j, lowest first
   * @param scales - out: f32 [rows]
   * @param errors - out: f32 [rows], how far a product with a vector of norm 1 can be from the exact kernel's, if of the last two
   *   bits only the middle of their values is known: what rounding left, and the exact kernel's own rounding. A row that is not
   *   finite has the scale 0 and the error infinity
   * @param fineErrors - out: f32 [rows], the same if all bits are known
   * @param scratch - 128 bytes
   */
  packScreen(
    matrix: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    rowStride: number,
    codes: Pointer,
    fineCodes: Pointer,
    scales: Pointer,
    errors: Pointer,
    fineErrors: Pointer,
    scratch: Pointer,
  ): void;

  /**
   * Rounds a vector to integers p = 256 * high + low, both int8, in units of max |x| / 32,639.
   *
   * @param vector - f32 [width] of f16 values, as {@link Kernels.f16Gemv} takes it
   * @param values - out: int8 [{@link screenValuesBytes}], 256 bytes for 128 columns: their `high`, then their `low`; 0 for
   *   columns beyond `width`
   * @param bounds - out: f64 [4], the unit (NaN if a value is not finite), at least the vector's norm, at least
   *   127 * sqrt(width) times the norm of what rounding left, the sum of p
   */
  quantizeForScreen(vector: Pointer, width: number, values: Pointer, bounds: Pointer): void;

  /**
   * Bounds of the products that {@link Kernels.f16Gemv} gives.
   *
   * @param codes - uint8 [rows, {@link screenRowBytes}] ({@link ScreenKernels.packScreen}), with `scales` and `errors`
   *   f32 [rows]. Rows are done in fours: all arrays have room for a multiple of 4
   * @param rowBegin - a multiple of 4
   * @param values - int8 [{@link screenValuesBytes}], and `bounds` f64 [4] ({@link ScreenKernels.quantizeForScreen})
   * @param lower - out: f32 [rows]; `upper` the same. NaN or infinite where nothing is known
   * @param scratch - 256 bytes
   */
  screenRows(
    codes: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    scales: Pointer,
    errors: Pointer,
    values: Pointer,
    bounds: Pointer,
    lower: Pointer,
    upper: Pointer,
    scratch: Pointer,
  ): void;

  /**
   * k rows with large lower bounds: the first k whose lower bound is not below the k-th largest, so that one that is equal to it
   * can take the place of a larger one further on. NaN is not below anything.
   *
   * @param lower - f32 [rows]
   * @param k - 1 to rows
   * @param heap - f32 [k], written
   * @param candidates - out: int32 [1 + k], k and the rows from the lowest up
   */
  selectLargest(lower: Pointer, rows: number, k: number, heap: Pointer, candidates: Pointer): void;

  /**
   * Bounds with all bits of the codes, of the rows whose upper bound is not below any of the k products. A team's threads take
   * shares of their own: `share` is 0 and `shares` 1.
   *
   * @param fineCodes - uint8 [rows, {@link screenFineRowBytes}] ({@link ScreenKernels.packScreen}), with `scales` and
   *   `fineErrors` f32 [rows]
   * @param values - as {@link ScreenKernels.screenRows} takes them, and `bounds`
   * @param products - f32 [k], of any k rows
   * @param lower - f32 [rows], as {@link ScreenKernels.screenRows} gives them; `upper` the same. Both are replaced
   * @param scratch - 64 bytes
   */
  refineRows(
    fineCodes: Pointer,
    rows: number,
    width: number,
    scales: Pointer,
    fineErrors: Pointer,
    values: Pointer,
    bounds: Pointer,
    products: Pointer,
    k: number,
    lower: Pointer,
    upper: Pointer,
    share: 0,
    shares: 1,
    scratch: Pointer,
  ): void;

  /**
   * The rows that can be among the k with the largest products, or equal to the last of them: those whose upper bound is not
   * below any of k products.
   *
   * @param upper - f32 [rows]
   * @param products - f32 [k], of any k rows
   * @param capacity - most candidates, k to rows
   * @param candidates - out: int32 [1 + capacity], their number and the rows from the lowest up; or -1 if they are more
   *   than capacity
   */
  selectCandidates(
    upper: Pointer,
    rows: number,
    products: Pointer,
    k: number,
    capacity: number,
    candidates: Pointer,
  ): void;

  /**
   * {@link Kernels.f16Gemv} for the candidates; nothing if there were more than capacity. A team's threads take shares of
   * their own: `share` is 0 and `shares` 1.
   *
   * @param out - f32 [candidates]
   * @param scratch - 4 * width + 128 bytes
   */
  rescoreCandidates(
    matrix: Pointer,
    width: number,
    rowStride: number,
    vector: Pointer,
    candidates: Pointer,
    out: Pointer,
    lanes: Lanes,
    share: 0,
    shares: 1,
    scratch: Pointer,
  ): void;

  /**
   * {@link Kernels.f16Gemv} for all rows if there were more candidates than capacity; else nothing.
   *
   * @param out - f32 [rows]
   * @param scratch - 4 * width + 128 bytes
   */
  f16GemvUnscreened(
    matrix: Pointer,
    rows: number,
    width: number,
    rowStride: number,
    vector: Pointer,
    candidates: Pointer,
    out: Pointer,
    lanes: Lanes,
    share: 0,
    shares: 1,
    scratch: Pointer,
  ): void;
}
