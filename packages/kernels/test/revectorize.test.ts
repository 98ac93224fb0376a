import { afterAll, describe, expect, test } from 'vitest';
import { conformanceCases, type KernelsUnderTest } from '../src/conformance.ts';
import { loadKernels } from '../src/load.ts';
import { v8FlagsSet } from '../src/revectorize.ts';
import type { KernelExports } from '../src/team.ts';
import { VARIANTS } from './variants.ts';

// The revectorizer changes how every kernel is compiled, for the whole process: so all of them run under it here, often
// enough for the optimizing compiler. This file has a process of its own.

describe.each([1, 2])('kernels under the revectorizer, %i thread(s)', async (threads) => {
  const kernels = await loadKernels({ variant: VARIANTS[0]!, threads, revectorize: true });
  afterAll(() => kernels.dispose());
  // The products made for it, whether or not they are the faster ones here.
  const { i2sGemvWide, i2sGemmWide } = kernels as unknown as KernelExports;
  const wide: KernelsUnderTest = Object.create(kernels, {
    i2sGemv: { value: i2sGemvWide },
    i2sGemm: { value: i2sGemmWide },
  });

  test.each(conformanceCases())('$name', { timeout: 60_000 }, (testCase) => {
    for (let repeat = 0; repeat < 4; repeat++) expect(testCase.run(wide)).toBeGreaterThan(0);
  });
});

test('nothing is revectorized without being asked to, nor without relaxed SIMD', async () => {
  expect((await loadKernels()).revectorized).toBe(false);
  expect((await loadKernels({ variant: 'simd128', revectorize: true })).revectorized).toBe(false);
});

test('the flag that was set for the process is told', async () => {
  await loadKernels({ revectorize: true });
  const works = Number(process.versions.node.split('.')[0]) >= 24 && process.arch === 'x64';
  expect(v8FlagsSet()).toEqual(works ? ['--experimental-wasm-revectorize'] : []);
});
