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
 * Reads the first words of every page in [begin, end), where a block begins that is touched after the one that is computed
 * now: a processor that sees neighbouring lines of a page read goes on reading by itself, meanwhile.
 *
 * @returns as {@link touch}
 */
export function touchPages(begin: usize, end: usize): i32 {
  let all = 0;
  for (let p = (begin + 4095) & ~4095; p + 192 <= end; p += 4096) {
    all |= load<i32>(p) | load<i32>(p, 64) | load<i32>(p, 128);
  }
  return all;
}
