import type { Lanes, Pointer } from './contract.ts';

/**
 * The screened head: the k largest products of an f16 matrix with a vector, with the bits of {@link Kernels.f16Gemv},
 * mostly from an int8 copy of the matrix. It bounds every product from below and above; rows whose upper bound is below
 * the k-th largest lower one cannot be among the k largest, and the others are computed exactly. The bounds are proven in
 * assembly/screen.ts, for both orders of {@link Lanes}.
 *
 * Calls in this order, once the matrix is packed: quantizeForScreen, screenRows, selectCandidates, rescoreCandidates,
 * f16GemvUnscreened.
 */
export interface ScreenKernels {
  /**
   * Rounds rows of an f16 matrix to int8: scale = f32(max |w| / 127), code = roundToEven(f32(w / scale)).
   *
   * @param matrix - f16 [rows, rowStride]; the first `width` columns count, a multiple of 16, at most 65,536
   * @param codes - out: int8 [rows, width]
   * @param scales - out: f32 [rows]
   * @param errors - out: f32 [rows], how far a product with a vector of norm 1 can be from the exact kernel's: what
   *   rounding to int8 left, and the exact kernel's own rounding. A row that is not finite has the scale 0 and the error
   *   infinity
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
  ): void;

  /**
   * Rounds a vector to int16 in units of max |x| / most, most = min(32767, floor(4 * (2^31 - 1) / (127 * width))).
   *
   * @param vector - f32 [width] of f16 values, as {@link Kernels.f16Gemv} takes it
   * @param values - out: int16 [width]
   * @param bounds - out: f64 [3], the unit (NaN if a value is not finite), at least the vector's norm, at least
   *   127 * sqrt(width) times the norm of what rounding left
   */
  quantizeForScreen(vector: Pointer, width: number, values: Pointer, bounds: Pointer): void;

  /**
   * Bounds of the products that {@link Kernels.f16Gemv} gives.
   *
   * @param codes - int8 [rows, width] ({@link ScreenKernels.packScreen}), with `scales` and `errors` f32 [rows]. Rows are
   *   done in fours: all arrays have room for a multiple of 4
   * @param rowBegin - a multiple of 4
   * @param values - int16 [width], and `bounds` f64 [3] ({@link ScreenKernels.quantizeForScreen})
   * @param lower - out: f32 [rows]; `upper` the same. NaN or infinite where nothing is known
   * @param scratch - 128 bytes
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
   * The rows that can be among the k with the largest products, or equal to the last of them.
   *
   * @param lower - f32 [rows, rounded up to a multiple of 4]; `upper` the same
   * @param k - 1 to rows
   * @param capacity - most candidates, k to rows
   * @param heap - f32 [k], written
   * @param candidates - out: int32 [1 + capacity], their number and the rows from the lowest up; or -1 if they are more
   *   than capacity
   */
  selectCandidates(
    lower: Pointer,
    upper: Pointer,
    rows: number,
    k: number,
    capacity: number,
    heap: Pointer,
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
