/** What is touched at a time: stays in a first-level cache beside the activations. */
export const TOUCHED_BYTES: i32 = 30 * 1024;

/**
 * Reads one word of every cache line in [begin, end), so that many lines are on their way from memory at once. A product
 * that waits for its own loads has only a few under way, because the instructions that depend on them fill the
 * processor's scheduler, and WebAssembly has no prefetch.
 *
 * @returns something that depends on all words: store it, or the compiler leaves the loads out
 */
export function touch(begin: usize, end: usize): i32 {
  let all = 0;
  let p = begin;
  for (; p + 512 <= end; p += 512) {
    all |= load<i32>(p) | load<i32>(p, 64) | load<i32>(p, 128) | load<i32>(p, 192);
    all |= load<i32>(p, 256) | load<i32>(p, 320) | load<i32>(p, 384) | load<i32>(p, 448);
  }
  for (; p + 4 <= end; p += 64) all |= load<i32>(p);
  return all;
}

/**
 * {@link touch} of a block, and a first look at the pages in [end, nextEnd), which are those of the block after it: while
 * this one is computed, the processor finds their addresses, and goes on reading where it has seen neighbouring lines read.
 */
export function touchBlock(begin: usize, end: usize, nextEnd: usize): i32 {
  let all = touch(begin, end);
  for (let p = (end + 4095) & ~4095; p + 192 <= nextEnd; p += 4096) {
    all |= load<i32>(p) | load<i32>(p, 64) | load<i32>(p, 128);
  }
  return all;
}
