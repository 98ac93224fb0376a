// Products of a bf16 matrix: see `bf16Gemm`, `widenBf16` and `roundToBf16` in src/contract-blocks.ts.
import { halve8 } from './blocks';
import { addExactProduct, halve4 } from './lanes';

/** Four bf16 at `p`, widened to f32. */
// @ts-ignore: decorator
@inline
function loadBf16x4(p: usize): v128 {
  return i32x4.shl(v128.load16x4_u(p), 16);
}

// Both factors hold bf16 values, so every product is exact in f32. Eight accumulators of four lanes take 32 columns a
// step; how they are added up depends on the lanes.

function dotRow(row: usize, vector: usize, width: i32, lanes: i32): f32 {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
  for (const end = row + (<usize>width << 1); row < end; row += 64, vector += 128) {
    a0 = addExactProduct(loadBf16x4(row), v128.load(vector), a0);
    a1 = addExactProduct(loadBf16x4(row + 8), v128.load(vector, 16), a1);
    a2 = addExactProduct(loadBf16x4(row + 16), v128.load(vector, 32), a2);
    a3 = addExactProduct(loadBf16x4(row + 24), v128.load(vector, 48), a3);
    b0 = addExactProduct(loadBf16x4(row + 32), v128.load(vector, 64), b0);
    b1 = addExactProduct(loadBf16x4(row + 40), v128.load(vector, 80), b1);
    b2 = addExactProduct(loadBf16x4(row + 48), v128.load(vector, 96), b2);
    b3 = addExactProduct(loadBf16x4(row + 56), v128.load(vector, 112), b3);
  }
  if (lanes == 16) {
    return halve4(f32x4.add(f32x4.add(a0, a2), f32x4.add(a1, a3))) + halve4(f32x4.add(f32x4.add(b0, b2), f32x4.add(b1, b3)));
  }
  return halve8(
    f32x4.add(f32x4.add(a0, b0), f32x4.add(a2, b2)),
    f32x4.add(f32x4.add(a1, b1), f32x4.add(a3, b3)),
  );
}

export function bf16Gemm(
  matrix: usize, rowBegin: i32, rowEnd: i32, width: i32, vectors: usize, count: i32,
  out: usize, outStride: i32, lanes: i32,
): void {
  for (let row = rowBegin; row < rowEnd; row++) {
    const m = matrix + ((<usize>row * width) << 1);
    for (let index = 0; index < count; index++) {
      const dot = dotRow(m, vectors + ((<usize>index * width) << 2), width, lanes);
      store<f32>(out + ((<usize>index * outStride + row) << 2), dot);
    }
  }
}

export function widenBf16(source: usize, count: i32, out: usize): void {
  for (const end = source + (<usize>count << 1); source < end; source += 8, out += 16) v128.store(out, loadBf16x4(source));
}

export function roundToBf16(source: usize, count: i32, out: usize): void {
  for (const end = source + (<usize>count << 2); source < end; source += 16, out += 16) {
    const bits = v128.load(source);
    const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1));
    const rounded = i32x4.add(bits, i32x4.add(odd, i32x4.splat(0x7fff))); // ties to even
    const quiet = v128.or(bits, i32x4.splat(0x400000));
    const isNumber = f32x4.eq(bits, bits);
    v128.store(out, v128.and(v128.bitselect(rounded, quiet, isNumber), i32x4.splat(0xffff0000)));
  }
}
