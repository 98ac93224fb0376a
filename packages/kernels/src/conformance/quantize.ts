import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

export function quantizeCases(seed: number): ConformanceCase[] {
  const random = new Random(seed);
  const quantizeCase = (name: string, rows: number, width: number, x: Float32Array): ConformanceCase[] =>
    (['quantizeRows', 'quantizeRowsTl1'] as const).map((operation) =>
      conformanceCase(`${operation} ${name} ${rows} x ${width}`, (arena) => {
        const input = arena.input('x', 'f32', x);
        const values = arena.output('values', 'i8', rows * width);
        const scales = arena.output('scales', 'f32', rows);
        const sums = arena.output('sums', 'i32', rows);
        return (kernels) => {
          // Two ranges, the second first: rows are independent.
          kernels[operation](input, rows >> 1, rows, width, values, scales, sums);
          kernels[operation](input, 0, rows >> 1, width, values, scales, sums);
        };
      }),
    );
  const ties = Float32Array.from({ length: 256 }, (_, i) => (i === 0 ? 127 : (i - 128) / 2)); // scale 1: every half
  const spike = new Float32Array(256).fill(0.001);
  spike[77] = -3.4e38;
  const special = (value: number): Float32Array => random.normal(128, 4).map((x, i) => (i === 19 ? value : x));
  return [
    ...[16, 128, 2560, 6912].map((width) => quantizeCase('random', 3, width, random.normal(3 * width, 4))),
    quantizeCase('of every magnitude', 2, 512, random.wide(1024, -149, 120)),
    quantizeCase('zeros', 1, 128, new Float32Array(128)),
    quantizeCase('below the floor of 1e-5', 1, 128, random.normal(128, 1e-7)),
    quantizeCase('ties', 1, 256, ties),
    quantizeCase('one spike', 1, 256, spike),
    quantizeCase('all equal to the largest', 1, 256, new Float32Array(256).fill(0.1)),
    quantizeCase('beside the floor of 1e-5', 4, 16, random.normal(64, 4e-6)),
    ...[Number.NaN, Infinity, -Infinity, -0].map((value) =>
      quantizeCase(`with ${Object.is(value, -0) ? '-0' : value}`, 1, 128, special(value)),
    ),
    quantizeCase('of an infinite scale', 2, 128, random.wide(256, -149, -122)),
  ].flat();
}
