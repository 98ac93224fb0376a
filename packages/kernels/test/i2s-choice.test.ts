import { afterAll, describe, expect, test } from 'vitest';
import { conformanceCases, type KernelsUnderTest } from '../src/conformance.ts';
import { loadKernels } from '../src/load.ts';
import { KERNEL_REGISTRY } from '../src/registry.ts';
import type { KernelExports } from '../src/team.ts';
import { VARIANTS } from './variants.ts';

const TEAMS = VARIANTS.flatMap((variant) => [1, 2, 3].map((threads) => ({ variant, threads })));

describe.each(TEAMS)(
  'every form of the ternary products, $variant, $threads thread(s)',
  async ({ variant, threads }) => {
    const kernels = await loadKernels({ variant, threads });
    afterAll(() => kernels.dispose());
    const all = kernels as unknown as KernelExports;
    const forms: Readonly<Record<string, KernelsUnderTest>> = {
      plain: Object.create(kernels, { i2sGemv: { value: all.i2sGemv }, i2sGemm: { value: all.i2sGemm } }),
      i16: Object.create(kernels, { i2sGemv: { value: all.i2sGemvI16 }, i2sGemm: { value: all.i2sGemmI16 } }),
      wide: Object.create(kernels, { i2sGemv: { value: all.i2sGemvWide }, i2sGemm: { value: all.i2sGemmWide } }),
    };
    const cases = conformanceCases().filter(({ name }) => name.startsWith('i2sGem'));

    test.each(Object.keys(forms))('%s', (form) => {
      expect(cases.length).toBeGreaterThan(30);
      for (let repeat = 0; repeat < (threads === 1 ? 2 : 1); repeat++) {
        for (const testCase of cases) expect(testCase.run(forms[form]!)).toBeGreaterThan(0);
      }
    });

    test('what was chosen is visible, and counted by that name', () => {
      const { choice } = kernels;
      const known = new Set(KERNEL_REGISTRY.map(({ id }) => id));
      expect(choice.tried.map(({ id }) => id)).toEqual([
        `i2s_gemv_${variant}`,
        `i2s_gemv_${variant}_i16`,
        `i2s_gemm_${variant}`,
        `i2s_gemm_${variant}_i16`,
      ]);
      for (const { id, exact, microseconds } of choice.tried) {
        expect(known).toContain(id);
        expect(exact).toBe(true);
        expect(microseconds).toBeGreaterThan(0);
      }
      kernels.resetCounters();
      for (const testCase of cases.slice(0, 2)) testCase.run(kernels);
      const counted = kernels.counters().map(({ id }) => id);
      expect(new Set(counted)).toEqual(new Set([choice.gemv, choice.gemm]));
    });
  },
);

test('the one that is much faster is chosen', async () => {
  for (const variant of VARIANTS) {
    const { choice } = await loadKernels({ variant });
    for (const product of ['gemv', 'gemm'] as const) {
      const tried = choice.tried.filter(({ id }) => id.startsWith(`i2s_${product}`));
      const best = Math.min(...tried.map(({ microseconds }) => microseconds!));
      const chosen = tried.find(({ id }) => id === choice[product])!;
      expect(chosen.microseconds! * 0.95).toBeLessThanOrEqual(best);
    }
  }
});
