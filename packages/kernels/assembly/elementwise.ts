// Element by element: see `add`, `addToRows`, `multiplyBy`, `reluSquaredGate` and `siluGate` in src/contract.ts. Counts are multiples of 4.
import { exp4 } from './exp';
import { fma4 } from './lanes';

export function add(a: usize, b: usize, count: i32, out: usize): void {
  for (const end = a + (<usize>count << 2); a < end; a += 16, b += 16, out += 16) {
    v128.store(out, f32x4.add(v128.load(a), v128.load(b)));
  }
}

export function addToRows(x: usize, rowBegin: i32, rowEnd: i32, width: i32, vector: usize): void {
  const rowBytes = <usize>width << 2;
  for (let row = rowBegin; row < rowEnd; row++) add(x + <usize>row * rowBytes, vector, width, x + <usize>row * rowBytes);
}

export function multiplyBy(x: usize, count: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (const end = x + (<usize>count << 2); x < end; x += 16) v128.store(x, f32x4.mul(v128.load(x), f));
}

export function reluSquaredGate(gate: usize, up: usize, count: i32, out: usize, relu: usize, squared: usize): void {
  const zero = f32x4.splat(0);
  for (let i: usize = 0, bytes = <usize>count << 2; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    const r = v128.and(g, f32x4.gt(g, zero)); // -0 and NaN give +0, as in the reference
    const s = f32x4.mul(r, r);
    if (relu) v128.store(relu + i, r);
    if (squared) v128.store(squared + i, s);
    v128.store(out + i, f32x4.mul(s, v128.load(up + i)));
  }
}

export function siluGate(gate: usize, up: usize, count: i32, lanes: i32, out: usize, silu: usize): void {
  const one = f32x4.splat(1);
  for (let i: usize = 0, bytes = <usize>count << 2; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    const s = f32x4.div(g, f32x4.add(one, exp4(f32x4.neg(g), lanes)));
    if (silu) v128.store(silu + i, s);
    v128.store(out + i, f32x4.mul(s, v128.load(up + i)));
  }
}

export function multiplyAdd(a: usize, b: usize, c: usize, count: i32, out: usize): void {
  for (const end = a + (<usize>count << 2); a < end; a += 16, b += 16, c += 16, out += 16) {
    v128.store(out, fma4(v128.load(a), v128.load(b), v128.load(c)));
  }
}

export function exponential(x: usize, count: i32, lanes: i32, out: usize): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, out += 16) v128.store(out, exp4(v128.load(x), lanes));
}
