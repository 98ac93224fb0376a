import { afterAll, describe, expect, test } from 'vitest';
import { conformanceCases } from '../src/conformance.ts';
import { loadKernels } from '../src/load.ts';

// The revectorizer changes how every kernel is compiled, for the whole process: so all of them run under it here, often
// enough for the optimizing compiler. This file has a process of its own.

const supported = Number(process.versions.node.split('.')[0]) >= 24;

describe.each([1, 2])('revectorized kernels, %i thread(s)', async (threads) => {
  const kernels = await loadKernels({ variant: 'relaxed', threads, revectorize: true });
  afterAll(() => kernels.dispose());

  test('are chosen where Node has the revectorizer', () => {
    expect(kernels.revectorized).toBe(supported);
  });

  test.each(conformanceCases())('$name', (testCase) => {
    for (let repeat = 0; repeat < 5; repeat++) expect(testCase.run(kernels)).toBeGreaterThan(0);
  });
});

test('plain kernels, without being asked to', async () => {
  const kernels = await loadKernels({ variant: 'relaxed' });
  expect(kernels.revectorized).toBe(false);
});
