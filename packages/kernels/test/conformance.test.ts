import { afterAll, describe, expect, test } from 'vitest';
import { conformanceCases, ConformanceError } from '../src/conformance.ts';
import { KERNEL_VARIANTS, loadKernels } from '../src/load.ts';

const TEAMS = KERNEL_VARIANTS.flatMap((variant) => [1, 2, 3].map((threads) => ({ variant, threads })));

for (const { variant, threads } of TEAMS) {
  describe(`${variant} kernels, ${threads} thread(s)`, async () => {
    const kernels = await loadKernels({ variant, threads });
    afterAll(() => kernels.dispose());
    test.each(conformanceCases())('$name', (testCase) => {
      expect(testCase.run(kernels)).toBeGreaterThan(0);
    });
  });
}

describe('the suite itself', async () => {
  const kernels = await loadKernels();

  test('finds one wrong bit', () => {
    const wrong = {
      ...kernels,
      add(a: number, b: number, count: number, out: number) {
        kernels.add(a, b, count, out);
        kernels.memory.bytes(out + 4 * (count - 1), 1)[0]! ^= 1;
      },
    };
    const testCase = conformanceCases().find(({ name }) => name.startsWith('add'));
    expect(() => testCase!.run(wrong)).toThrow(ConformanceError);
  });

  test('finds a write outside of an array', () => {
    const wrong = {
      ...kernels,
      add(a: number, b: number, count: number, out: number) {
        kernels.add(a, b, count, out);
        kernels.memory.bytes(out - 16, 1)[0] = 0;
      },
    };
    const testCase = conformanceCases().find(({ name }) => name.startsWith('add'));
    expect(() => testCase!.run(wrong)).toThrow('wrote outside');
  });
});
