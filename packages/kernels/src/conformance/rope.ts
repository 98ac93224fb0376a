import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

export function ropeCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 3);
  const cases: ConformanceCase[] = [];
  for (const [base, headDim] of [
    [10_000, 64],
    [500_000, 128],
    [10_000, 96],
    [1_000_000, 16],
  ] as const) {
    cases.push(
      conformanceCase(`ropeRatio and ropeTable, base ${base}, head ${headDim}, positions 0..4095`, (arena) => {
        const ratio = arena.output('ratio', 'f32', 1);
        const cosines = arena.output('cosines', 'f32', (4096 * headDim) / 2);
        const sines = arena.output('sines', 'f32', (4096 * headDim) / 2);
        return (kernels) => {
          const value = kernels.ropeRatio(base, headDim);
          arena.set(ratio, value);
          kernels.ropeTable(0, 100, headDim, value, 0, cosines, sines);
          kernels.ropeTable(100, 4096, headDim, value, 0, cosines, sines);
        };
      }),
      conformanceCase(`ropeTable with factors, base ${base}, head ${headDim}`, (arena) => {
        const factors = random.normal(headDim / 2).map((value, i) => (i % 5 === 4 ? 1 : 1 + 8 * Math.abs(value)));
        const divisors = arena.input('factors', 'f32', factors);
        const cosines = arena.output('cosines', 'f32', (512 * headDim) / 2);
        const sines = arena.output('sines', 'f32', (512 * headDim) / 2);
        return (kernels) => {
          kernels.ropeTable(0, 512, headDim, kernels.ropeRatio(base, headDim), divisors, cosines, sines);
        };
      }),
      ...(['ropeNeox', 'ropeNorm'] as const).map((operation) =>
        conformanceCase(`${operation}, head ${headDim}`, (arena) => {
          const x = arena.input('x', 'f32', random.normal(3 * 5 * headDim));
          const cosines = arena.input('cosines', 'f32', random.normal((10 * headDim) / 2));
          const sines = arena.input('sines', 'f32', random.normal((10 * headDim) / 2));
          return (kernels) => kernels[operation](x, 1, 3, 5, headDim, 7, cosines, sines);
        }),
      ),
    );
  }
  return cases;
}
