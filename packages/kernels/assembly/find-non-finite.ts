// Damaged weights: see `findNonFiniteF32`, `findNonFiniteBf16` and `findNonFiniteScale` in src/contract-blocks.ts.

export function findNonFiniteF32(source: usize, count: i32): i32 {
  const exponent = i32x4.splat(0x7f800000);
  for (let i = 0; i < count; i += 4) {
    const special = i32x4.eq(v128.and(v128.load(source + (<usize>i << 2)), exponent), exponent);
    if (v128.any_true(special)) return i + <i32>ctz(i32x4.bitmask(special));
  }
  return -1;
}

export function findNonFiniteBf16(source: usize, count: i32): i32 {
  const exponent = i16x8.splat(0x7f80);
  for (let i = 0; i < count; i += 8) {
    const special = i16x8.eq(v128.and(v128.load(source + (<usize>i << 1)), exponent), exponent);
    if (v128.any_true(special)) return i + <i32>ctz(i16x8.bitmask(special));
  }
  return -1;
}

export function findNonFiniteScale(source: usize, count: i32, strideBytes: i32): i32 {
  for (let i = 0; i < count; i++, source += <usize>strideBytes) {
    if ((load<u16>(source) & 0x7c00) == 0x7c00) return i;
  }
  return -1;
}
