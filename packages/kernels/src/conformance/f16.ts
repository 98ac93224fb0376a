import type { Lanes } from '../contract.ts';
import { f16Value } from '../reference/float.ts';
import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

const LANES: readonly Lanes[] = [8, 16];

export function f16Cases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 4);
  const everyF16 = Array.from({ length: 0x10000 }, (_, bits) => bits);
  // Every finite f16, the mid-points between neighbours, and the f32 beside each: all decisions of the rounding.
  const boundaries = new Float32Array(6 * 0x7c00);
  for (let bits = 0; bits < 0x7c00; bits++) {
    const value = f16Value(bits);
    const next = bits === 0x7bff ? 65_536 : f16Value(bits + 1);
    const middle = (value + next) / 2;
    boundaries.set([value, -value, middle, -middle, middle * (1 + 2 ** -23), middle * (1 - 2 ** -23)], 6 * bits);
  }
  const specials = [
    0,
    -0,
    Infinity,
    -Infinity,
    Number.NaN,
    65_519.99,
    65_520,
    1e30,
    2 ** -149,
    -(2 ** -25),
    2 ** -25,
    2 ** -24,
  ];
  const cases = [
    conformanceCase('widenF16, every f16', (arena) => {
      const source = arena.input('source', 'f16', everyF16);
      const out = arena.output('out', 'f32', everyF16.length);
      return (kernels) => kernels.widenF16(source, everyF16.length, out);
    }),
    ...[[], [3], [0x7c00], [0, 0xffff], [9, 0x7e01]].map((bad, index) =>
      conformanceCase(`findNonFiniteF16 ${index}`, (arena) => {
        const values = random.f16(64);
        if (bad.length > 0) values[7 * index + 1] = bad.at(-1)!;
        const source = arena.input('source', 'f16', values);
        const result = arena.output('result', 'f32', 1);
        return (kernels) => arena.set(result, kernels.findNonFiniteF16(source, 64));
      }),
    ),
    conformanceCase('roundToF16, every boundary', (arena) => {
      const source = arena.input('source', 'f32', boundaries);
      const out = arena.output('out', 'f32', boundaries.length);
      return (kernels) => kernels.roundToF16(source, boundaries.length, out);
    }),
    conformanceCase('roundToF16, special values, in place', (arena) => {
      const source = arena.input('source', 'f32', specials);
      return (kernels) => kernels.roundToF16(source, specials.length, source);
    }),
  ];
  for (const lanes of LANES) {
    for (const width of [4, 32, 36, 64, 96, 100, 160, 2560]) {
      cases.push(
        conformanceCase(`f16Gemv ${width} columns, ${lanes} lanes`, (arena) => {
          const matrix = arena.input('matrix', 'f16', random.smallF16(5 * (width + 4)));
          const vector = arena.input('vector', 'f32', random.smallF16(width).map(f16Value));
          const out = arena.output('out', 'f32', 5);
          const scratch = arena.scratch(4 * width + 128);
          return (kernels) => kernels.f16Gemv(matrix, 1, 5, width, width + 4, vector, out, lanes, scratch);
        }),
      );
    }
    for (const width of [16, 64, 112, 2560]) {
      for (const count of [1, 2, 3, 4, 6]) {
        cases.push(
          conformanceCase(`f16Gemm ${width} columns, ${count} vector(s), ${lanes} lanes`, (arena) => {
            const matrix = arena.input('matrix', 'f16', random.smallF16(3 * (width + 8)));
            const vectors = arena.input('vectors', 'f32', random.normal(count * (width + 4), 3));
            const out = arena.output('out', 'f32', count * 5);
            const scratch = arena.scratch(4 * width);
            return (kernels) =>
              kernels.f16Gemm(matrix, 0, 3, width, width + 8, vectors, width + 4, count, out, 5, lanes, scratch);
          }),
        );
      }
    }
    cases.push(
      conformanceCase(`f16Gemm of every magnitude, ${lanes} lanes`, (arena) => {
        const matrix = arena.input('matrix', 'f16', random.f16(8 * 64));
        const vectors = arena.input('vectors', 'f32', random.wide(2 * 64, -149, 60));
        const out = arena.output('out', 'f32', 16);
        const scratch = arena.scratch(4 * 64);
        return (kernels) => kernels.f16Gemm(matrix, 0, 8, 64, 64, vectors, 64, 2, out, 8, lanes, scratch);
      }),
    );
  }
  return cases;
}
