import type { Lanes, Pointer } from './contract.ts';

/** Bytes of a row of {@link ScreenKernels.packScreen}'s codes. */
export function screenRowBytes(width: number): number {
  return 96 * Math.ceil(width / 128);
}

/** Bytes of what {@link ScreenKernels.quantizeForScreen} makes of a vector. */
export function screenValuesBytes(width: number): number {
  return 256 * Math.ceil(width / 128);
}

/**
 * The screened head: the k largest products of an f16 matrix with a vector, with the bits of {@link Kernels.f16Gemv},
 * mostly from a copy of the matrix in six bits a weight. It bounds every product from below and above; rows whose upper bound
 * is below k products that were computed exactly cannot be among the k largest, and the others are computed, too. The bounds
 * are proven in assembly/screen.ts, for both orders of {@link Lanes}.
 *
 * Calls in this order, once the matrix is packed: quantizeForScreen, screenRows, selectLargest, rescoreCandidates,
 * selectCandidates, rescoreCandidates, f16GemvUnscreened.
 */
export interface ScreenKernels {
  /**
   * Rounds rows of an f16 matrix to six bits: scale = f32(max |w| / 31), code = 32 + roundToEven(f32(w / scale)).
   *
   * @param matrix - f16 [rows, rowStride]; the first `width` columns count, a multiple of 16, at most 65,536
   * @param codes - out: uint8 [rows, {@link screenRowBytes}], 96 bytes for 128 columns: the lowest six bits of bytes 0 to 95
   *   are the codes of columns 0 to 95, the upper two of bytes j, 32 + j and 64 + j, lowest first, the code of column 96 + j.
   *   Columns beyond `width` have the code 0, as has a row that is not finite
   * @param scales - out: f32 [rows]
   * @param errors - out: f32 [rows], how far a product with a vector of norm 1 can be from the exact kernel's: what
   *   rounding to six bits left, and the exact kernel's own rounding. A row that is not finite has the scale 0 and the error
   *   infinity
   * @param scratch - 128 bytes
   */
  packScreen(
    matrix: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    rowStride: number,
    codes: Pointer,
    scales: Pointer,
    errors: Pointer,
    scratch: Pointer,
  ): void;

  /**
   * Rounds a vector to integers p = 256 * high + low, both int8, in units of max |x| / 32,639.
   *
   * @param vector - f32 [width] of f16 values, as {@link Kernels.f16Gemv} takes it
   * @param values - out: int8 [{@link screenValuesBytes}], 256 bytes for 128 columns: their `high`, then their `low`; 0 for
   *   columns beyond `width`
   * @param bounds - out: f64 [4], the unit (NaN if a value is not finite), at least the vector's norm, at least
   *   31 * sqrt(width) times the norm of what rounding left, 32 times the sum of p
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
   * k rows, no lower bound of which is below the k-th largest: the first that are so.
   *
   * @param lower - f32 [rows]
   * @param k - 1 to rows
   * @param heap - f32 [k], written
   * @param candidates - out: int32 [1 + k], their number and the rows from the lowest up. They are fewer than k only where
   *   lower bounds are NaN
   */
  selectLargest(lower: Pointer, rows: number, k: number, heap: Pointer, candidates: Pointer): void;

  /**
   * The rows that can be among the k with the largest products, or equal to the last of them: those whose upper bound is not
   * below the products of k others.
   *
   * @param products - f32 [k], of {@link ScreenKernels.rescoreCandidates} for what {@link ScreenKernels.selectLargest} chose
   * @param upper - f32 [rows]
   * @param capacity - most candidates, k to rows
   * @param candidates - in: what {@link ScreenKernels.selectLargest} left, of which the number counts: if it is not k, no row
   *   is excluded. Out: int32 [1 + capacity], the number of candidates and the rows from the lowest up; or -1 if they are more
   *   than capacity
   */
  selectCandidates(
    products: Pointer,
    k: number,
    upper: Pointer,
    rows: number,
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
