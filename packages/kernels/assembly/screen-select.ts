// Rows of the screened head by their bounds: those with large ones, and those that can be among the largest (see screen.ts); and
// the exact products of these.
import { f16Gemv } from './f16-matmul';

/** Puts `value` in the place of a heap's root, its least, and lets it sink. */
function replaceRoot(heap: usize, size: i32, value: f32): void {
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && load<f32>(heap + (<usize>(child + 1) << 2)) < load<f32>(heap + (<usize>child << 2))) child++;
    const least = load<f32>(heap + (<usize>child << 2));
    if (value <= least) break;
    store<f32>(heap + (<usize>at << 2), least);
    at = child;
  }
  store<f32>(heap + (<usize>at << 2), value);
}

// @ts-ignore: decorator
@inline
function anyGreater16(p: usize, than: v128): bool {
  return v128.any_true(v128.or(
    v128.or(f32x4.gt(v128.load(p), than), f32x4.gt(v128.load(p, 16), than)),
    v128.or(f32x4.gt(v128.load(p, 32), than), f32x4.gt(v128.load(p, 48), than)),
  ));
}

// @ts-ignore: decorator
@inline
export function allLess16(p: usize, than: v128): bool {
  return i32x4.all_true(v128.and(
    v128.and(f32x4.lt(v128.load(p), than), f32x4.lt(v128.load(p, 16), than)),
    v128.and(f32x4.lt(v128.load(p, 32), than), f32x4.lt(v128.load(p, 48), than)),
  ));
}

export function selectLargest(lower: usize, rows: i32, k: i32, heap: usize, candidates: usize): void {
  for (let i: usize = 0; i < <usize>k; i++) store<f32>(heap + (i << 2), -Infinity);
  for (let row = 0; row < rows; row += 16) {
    const end = min(row + 16, rows);
    // NaN is not greater than anything.
    if (end == row + 16 && !anyGreater16(lower + (<usize>row << 2), v128.load32_splat(heap))) continue;
    for (let r = row; r < end; r++) {
      const bound = load<f32>(lower + (<usize>r << 2));
      if (bound > load<f32>(heap)) replaceRoot(heap, k, bound);
    }
  }
  const least = load<f32>(heap);
  let count = 0;
  for (let row = 0; row < rows && count < k; row += 16) {
    const end = min(row + 16, rows);
    if (end == row + 16 && allLess16(lower + (<usize>row << 2), f32x4.splat(least))) continue;
    for (let r = row; r < end && count < k; r++) {
      if (load<f32>(lower + (<usize>r << 2)) < least) continue; // not NaN
      count++;
      store<i32>(candidates + (<usize>count << 2), r);
    }
  }
  store<i32>(candidates, count);
}

/** The least of `k` products. */
export function leastOf(products: usize, k: i32): f32 {
  let least: f32 = Infinity;
  for (let i: usize = 0; i < <usize>k; i++) least = min(least, load<f32>(products + (i << 2))); // NaN stays NaN
  return least;
}

export function selectCandidates(
  upper: usize, rows: i32, products: usize, k: i32, capacity: i32, candidates: usize,
): void {
  const least = leastOf(products, k);
  let count = 0;
  for (let row = 0; row < rows; row += 16) {
    const end = min(row + 16, rows);
    if (end == row + 16 && allLess16(upper + (<usize>row << 2), f32x4.splat(least))) continue;
    for (let r = row; r < end; r++) {
      if (load<f32>(upper + (<usize>r << 2)) < least) continue; // not NaN
      if (count == capacity) {
        store<i32>(candidates, -1);
        return;
      }
      count++;
      store<i32>(candidates + (<usize>count << 2), r);
    }
  }
  store<i32>(candidates, count);
}

/** Where a share of `total` begins. */
// @ts-ignore: decorator
@inline
export function shareOf(total: i32, share: i32, shares: i32): i32 {
  return <i32>(<i64>total * share / shares);
}

export function rescoreCandidates(
  matrix: usize, width: i32, rowStride: i32, vector: usize, candidates: usize, out: usize, lanes: i32,
  share: i32, shares: i32, scratch: usize,
): i32 {
  const count = max(0, load<i32>(candidates));
  const begin = shareOf(count, share, shares), end = shareOf(count, share + 1, shares);
  for (let i = begin; i < end; ) {
    // Neighbours at once: the kernel prepares the vector for each call.
    const first = load<i32>(candidates + (<usize>(i + 1) << 2));
    let next = i + 1;
    while (next < end && load<i32>(candidates + (<usize>(next + 1) << 2)) == first + next - i) next++;
    f16Gemv(matrix, first, first + next - i, width, rowStride, vector, out + (<usize>(i - first) << 2), lanes, scratch);
    i = next;
  }
  return end - begin;
}

export function f16GemvUnscreened(
  matrix: usize, rows: i32, width: i32, rowStride: i32, vector: usize, candidates: usize, out: usize, lanes: i32,
  share: i32, shares: i32, scratch: usize,
): i32 {
  if (load<i32>(candidates) >= 0) return -1;
  const begin = shareOf(rows, share, shares), end = shareOf(rows, share + 1, shares);
  f16Gemv(matrix, begin, end, width, rowStride, vector, out, lanes, scratch);
  return end - begin;
}
