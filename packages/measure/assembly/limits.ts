// Kernels that do nothing but reach a limit of the machine. What they compute is of no use, but stored or returned, so that
// no compiler leaves it out.

/** Reads [begin, end), a multiple of 128 bytes, in one stream. */
export function read(begin: usize, end: usize): bool {
  let a = i64x2.splat(0), b = i64x2.splat(0), c = i64x2.splat(0), d = i64x2.splat(0);
  for (let p = begin; p < end; p += 128) {
    a = v128.xor(a, v128.load(p));
    b = v128.xor(b, v128.load(p, 16));
    c = v128.xor(c, v128.load(p, 32));
    d = v128.xor(d, v128.load(p, 48));
    a = v128.xor(a, v128.load(p, 64));
    b = v128.xor(b, v128.load(p, 80));
    c = v128.xor(c, v128.load(p, 96));
    d = v128.xor(d, v128.load(p, 112));
  }
  return v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)));
}

/**
 * Reads a word of every cache line in [begin, end), a line of each of 8 pages after the other: a processor that reads ahead does
 * so within each page, and so has more lines on their way than in one stream.
 */
export function readPages(begin: usize, end: usize): i32 {
  let all = 0;
  for (; begin + 8 * 4096 <= end; begin += 8 * 4096) {
    for (let line = begin, lineEnd = begin + 4096; line < lineEnd; line += 64) {
      all |= load<i32>(line) | load<i32>(line, 4096) | load<i32>(line, 2 * 4096) | load<i32>(line, 3 * 4096);
      all |= load<i32>(line, 4 * 4096) | load<i32>(line, 5 * 4096) | load<i32>(line, 6 * 4096) | load<i32>(line, 7 * 4096);
    }
  }
  for (; begin < end; begin += 64) all |= load<i32>(begin);
  return all;
}

// The int8 dot product in three forms, of which the fastest is the machine's limit. Accumulators are independent and
// start from memory: equal ones would be merged into one. `at` is 512 bytes of a thread's own.

/** 12 accumulators: as many as fit V8's 15 registers, and more than a latency of 4 cycles at 2 a cycle wants. */
export function dot12(at: usize, rounds: i32): void {
  const values = v128.load(at, 480), codes = v128.load(at, 496);
  let a0 = v128.load(at, 0);
  let a1 = v128.load(at, 16);
  let a2 = v128.load(at, 32);
  let a3 = v128.load(at, 48);
  let a4 = v128.load(at, 64);
  let a5 = v128.load(at, 80);
  let a6 = v128.load(at, 96);
  let a7 = v128.load(at, 112);
  let a8 = v128.load(at, 128);
  let a9 = v128.load(at, 144);
  let a10 = v128.load(at, 160);
  let a11 = v128.load(at, 176);
  for (let i = 0; i < rounds; i++) {
    a0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a0);
    a1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a1);
    a2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a2);
    a3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a3);
    a4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a4);
    a5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a5);
    a6 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a6);
    a7 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a7);
    a8 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a8);
    a9 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a9);
    a10 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a10);
    a11 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a11);
  }
  v128.store(at, a0, 0);
  v128.store(at, a1, 16);
  v128.store(at, a2, 32);
  v128.store(at, a3, 48);
  v128.store(at, a4, 64);
  v128.store(at, a5, 80);
  v128.store(at, a6, 96);
  v128.store(at, a7, 112);
  v128.store(at, a8, 128);
  v128.store(at, a9, 144);
  v128.store(at, a10, 160);
  v128.store(at, a11, 176);
}

/** 24 accumulators: too many for 128-bit registers, but the revectorizer of V8 makes 12 of 256 bits of them. */
export function dot24(at: usize, rounds: i32): void {
  const values = v128.load(at, 480), codes = v128.load(at, 496);
  let a0 = v128.load(at, 0);
  let a1 = v128.load(at, 16);
  let a2 = v128.load(at, 32);
  let a3 = v128.load(at, 48);
  let a4 = v128.load(at, 64);
  let a5 = v128.load(at, 80);
  let a6 = v128.load(at, 96);
  let a7 = v128.load(at, 112);
  let a8 = v128.load(at, 128);
  let a9 = v128.load(at, 144);
  let a10 = v128.load(at, 160);
  let a11 = v128.load(at, 176);
  let a12 = v128.load(at, 192);
  let a13 = v128.load(at, 208);
  let a14 = v128.load(at, 224);
  let a15 = v128.load(at, 240);
  let a16 = v128.load(at, 256);
  let a17 = v128.load(at, 272);
  let a18 = v128.load(at, 288);
  let a19 = v128.load(at, 304);
  let a20 = v128.load(at, 320);
  let a21 = v128.load(at, 336);
  let a22 = v128.load(at, 352);
  let a23 = v128.load(at, 368);
  for (let i = 0; i < rounds; i++) {
    a0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a0);
    a1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a1);
    a2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a2);
    a3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a3);
    a4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a4);
    a5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a5);
    a6 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a6);
    a7 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a7);
    a8 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a8);
    a9 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a9);
    a10 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a10);
    a11 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a11);
    a12 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a12);
    a13 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a13);
    a14 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a14);
    a15 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a15);
    a16 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a16);
    a17 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a17);
    a18 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a18);
    a19 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a19);
    a20 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a20);
    a21 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a21);
    a22 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a22);
    a23 = i32x4.relaxed_dot_i8x16_i7x16_add_s(values, codes, a23);
  }
  v128.store(at, a0, 0);
  v128.store(at, a1, 16);
  v128.store(at, a2, 32);
  v128.store(at, a3, 48);
  v128.store(at, a4, 64);
  v128.store(at, a5, 80);
  v128.store(at, a6, 96);
  v128.store(at, a7, 112);
  v128.store(at, a8, 128);
  v128.store(at, a9, 144);
  v128.store(at, a10, 160);
  v128.store(at, a11, 176);
  v128.store(at, a12, 192);
  v128.store(at, a13, 208);
  v128.store(at, a14, 224);
  v128.store(at, a15, 240);
  v128.store(at, a16, 256);
  v128.store(at, a17, 272);
  v128.store(at, a18, 288);
  v128.store(at, a19, 304);
  v128.store(at, a20, 320);
  v128.store(at, a21, 336);
  v128.store(at, a22, 352);
  v128.store(at, a23, 368);
}

/** Pairs summed in i16: for machines and engines without an instruction for the dot product of four. */
export function dotPairs6(at: usize, rounds: i32): void {
  const codes = v128.load(at, 496);
  let a0 = v128.load(at, 0);
  let a1 = v128.load(at, 16);
  let a2 = v128.load(at, 32);
  let a3 = v128.load(at, 48);
  let a4 = v128.load(at, 64);
  let a5 = v128.load(at, 80);
  for (let i = 0; i < rounds; i++) {
    a0 = i16x8.add(a0, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 256), codes));
    a1 = i16x8.add(a1, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 272), codes));
    a2 = i16x8.add(a2, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 288), codes));
    a3 = i16x8.add(a3, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 304), codes));
    a4 = i16x8.add(a4, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 320), codes));
    a5 = i16x8.add(a5, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 336), codes));
  }
  v128.store(at, a0, 0);
  v128.store(at, a1, 16);
  v128.store(at, a2, 32);
  v128.store(at, a3, 48);
  v128.store(at, a4, 64);
  v128.store(at, a5, 80);
}
