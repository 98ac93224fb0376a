import { expect, test } from 'vitest';
import { loadKernels } from '../src/load.ts';
import { v8FlagsSet } from '../src/revectorize.ts';

// The flag is the whole process's. All kernels under it: tools/test/node-versions.test.ts.

test('nothing is revectorized without being asked to, nor without relaxed SIMD', async () => {
  expect((await loadKernels()).revectorized).toBe(false);
  expect((await loadKernels({ variant: 'simd128', revectorize: true })).revectorized).toBe(false);
});

test('the flag that was set for the process is told', async () => {
  await loadKernels({ revectorize: true });
  const works = Number(process.versions.node.split('.')[0]) >= 24 && process.arch === 'x64';
  expect(v8FlagsSet()).toEqual(works ? ['--experimental-wasm-revectorize'] : []);
});
