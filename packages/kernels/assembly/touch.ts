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

/** {@link touch} of `rows` pieces of memory, `stride` apart: a line of each after the other, so that their pages are found at once. */
export function touchRows(begin: usize, rows: i32, bytes: usize, stride: usize): i32 {
  let all = 0;
  const span = <usize>rows * stride;
  for (const end = begin + bytes; begin < end; begin += 64) {
    for (let p = begin; p < begin + span; p += stride) all |= load<i32>(p);
  }
  return all;
}

/**
 * Reads the first `lines` lines of every page that begins in [begin, end), which is what will be touched next: some of them in
 * each of `parts` calls, between which the present block is computed. Where neighbouring lines of a page are read one by one, the
 * processor goes on reading by itself, so that memory is never idle. The longer a block takes, the more lines are of use.
 */
export function touchAhead(begin: usize, end: usize, part: i32, parts: i32, lines: i32): i32 {
  let all = 0;
  const first = (begin + 4095) & ~4095;
  for (let line = lines * part / parts, lineEnd = lines * (part + 1) / parts; line < lineEnd; line++) {
    for (let p = first + (<usize>line << 6); p < end; p += 4096) all |= load<i32>(p);
  }
  return all;
}
