import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

export function normCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 2);
  const normCase = (
    name: string,
    rows: number,
    width: number,
    x: Float32Array,
    withNormalized: boolean,
  ): ConformanceCase =>
    conformanceCase(`rmsNorm ${name} ${rows} x ${width}${withNormalized ? ', normalized too' : ''}`, (arena) => {
      const input = arena.input('x', 'f32', x);
      const weight = arena.input('weight', 'f32', random.normal(width));
      const out = arena.output('out', 'f32', rows * width);
      const normalized = withNormalized ? arena.output('normalized', 'f32', rows * width) : 0;
      return (kernels) => kernels.rmsNorm(input, weight, 0, rows, width, Math.fround(1e-5), out, normalized);
    });
  const withNaN = random.normal(9 * 64);
  withNaN[70] = Number.NaN;
  return [
    normCase('random', 3, 256, random.normal(768), true),
    normCase('random', 2, 6912, random.normal(2 * 6912, 30), false),
    normCase('of every magnitude', 2, 512, random.wide(1024, -149, 60), true),
    normCase('random', 4, 64, random.normal(256), true),
    normCase('random', 5, 64, random.normal(320), false),
    normCase('with NaN in one row', 9, 64, withNaN, true),
    normCase('zeros', 1, 128, new Float32Array(128), true),
    normCase('subnormal', 1, 128, random.wide(128, -149, -127), true),
  ];
}
