import type { Lanes } from '../contract.ts';
import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

const LANES: readonly Lanes[] = [8, 16];

export function elementwiseCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 6);
  const sweep = Float32Array.from({ length: 40_000 }, (_, i) => (i - 20_000) / 100); // -200 .. 200: beyond both ends
  const specials = [0, -0, Infinity, -Infinity, Number.NaN, -87.3, -87.4, -103.9, -104, 88.7, 88.8, 2 ** -149];
  const exponents = Float32Array.from([
    ...sweep,
    ...specials,
    ...random.normal(20_000, 8),
    ...random.wide(4000, -60, 8),
  ]);
  const cases: ConformanceCase[] = [
    conformanceCase('add, in place', (arena) => {
      const a = arena.input('a', 'f32', random.wide(4096));
      const b = arena.input('b', 'f32', random.wide(4096));
      return (kernels) => kernels.add(a, b, 4096, a);
    }),
    conformanceCase('addToRows, a range of rows', (arena) => {
      const x = arena.input('x', 'f32', random.wide(7 * 36));
      const vector = arena.input('vector', 'f32', random.wide(36));
      return (kernels) => kernels.addToRows(x, 1, 6, 36, vector);
    }),
    ...[0.0371, -0, 3e38, Infinity, Number.NaN].map((factor) =>
      conformanceCase(`multiplyBy ${factor}`, (arena) => {
        const x = arena.input('x', 'f32', [...random.wide(1000), 0, -0, Infinity, Number.NaN]);
        return (kernels) => kernels.multiplyBy(x, 1004, factor);
      }),
    ),
    conformanceCase('multiplyAdd, sums half-way between two f32', (arena) => {
      // a * b has up to 48 bits; c is chosen so that the exact sum lies on, or one bit beside, a rounding boundary.
      const count = 20_000;
      const a = random.wide(count, -3, 3);
      const b = random.wide(count, -3, 3);
      const c = new Float32Array(count);
      for (let i = 0; i < count; i++) {
        const target = random.wide(1, -2, 4)[0]!;
        const halfUlp = 2 ** (Math.floor(Math.log2(Math.abs(target))) - 24);
        c[i] = target;
        if (i % 2 === 0) {
          a[i] = halfUlp * (1 + 2 ** -23 * random.below(3));
          b[i] = 1 - 2 ** -24 * random.below(3);
        }
      }
      const pointers = [arena.input('a', 'f32', a), arena.input('b', 'f32', b), arena.input('c', 'f32', c)] as const;
      const out = arena.output('out', 'f32', count);
      return (kernels) => kernels.multiplyAdd(...pointers, count, out);
    }),
    conformanceCase('multiplyAdd of every magnitude, subnormal results too', (arena) => {
      const count = 40_000;
      const a = arena.input('a', 'f32', random.wide(count, -149, 20));
      const b = arena.input('b', 'f32', random.wide(count, -149, 20));
      const c = arena.input('c', 'f32', random.wide(count, -149, -100));
      const out = arena.output('out', 'f32', count);
      return (kernels) => kernels.multiplyAdd(a, b, c, count, out);
    }),
    conformanceCase('multiplyAdd, infinities, NaN and zeros', (arena) => {
      const values = [0, -0, 1, -1, Infinity, -Infinity, Number.NaN, 3e38];
      const triples = values.flatMap((a) => values.flatMap((b) => values.map((c) => [a, b, c] as const)));
      const column = (index: 0 | 1 | 2): number[] => triples.map((triple) => triple[index]);
      const pointers = [
        arena.input('a', 'f32', column(0)),
        arena.input('b', 'f32', column(1)),
        arena.input('c', 'f32', column(2)),
      ] as const;
      const out = arena.output('out', 'f32', triples.length);
      return (kernels) => kernels.multiplyAdd(...pointers, triples.length, out);
    }),
    conformanceCase('reluSquaredGate', (arena) => {
      const gate = arena.input('gate', 'f32', [...random.wide(4088, -70, 60), 0, -0, Number.NaN, 1, 2, 3, 4, -5]);
      const up = arena.input('up', 'f32', random.normal(4096));
      const [out, relu, squared] = [
        arena.output('out', 'f32', 4096),
        arena.output('relu', 'f32', 4096),
        arena.output('squared', 'f32', 4096),
      ];
      return (kernels) => kernels.reluSquaredGate(gate, up, 4096, out, relu, squared);
    }),
    conformanceCase('reluSquaredGate, in place', (arena) => {
      const gate = arena.input('gate', 'f32', random.normal(256));
      const up = arena.input('up', 'f32', random.normal(256));
      return (kernels) => kernels.reluSquaredGate(gate, up, 256, gate, 0, 0);
    }),
  ];
  for (const lanes of LANES) {
    cases.push(
      conformanceCase(`exponential, ${lanes} lanes`, (arena) => {
        const x = arena.input('x', 'f32', exponents);
        const out = arena.output('out', 'f32', exponents.length);
        return (kernels) => kernels.exponential(x, exponents.length, lanes, out);
      }),
      conformanceCase(`siluGate, ${lanes} lanes`, (arena) => {
        const gate = arena.input('gate', 'f32', [...random.normal(4000, 20), ...specials]);
        const up = arena.input('up', 'f32', random.normal(4012));
        const [out, silu] = [arena.output('out', 'f32', 4012), arena.output('silu', 'f32', 4012)];
        return (kernels) => kernels.siluGate(gate, up, 4012, lanes, out, silu);
      }),
    );
  }
  return cases;
}
