import { describe, expect, test } from 'vitest';
import { conformance } from '../../src/conformance.ts';
import { KERNEL_VARIANTS, loadKernels } from '../../src/load.ts';

test('the page is cross-origin isolated: threads can be tested', () => {
  expect(crossOriginIsolated).toBe(true);
});

describe.each(KERNEL_VARIANTS)('%s kernels', (variant) => {
  test.each([1, 2, 3])('%i thread(s)', async (threads) => {
    const kernels = await loadKernels({ variant, threads });
    expect(conformance(kernels)).toBeGreaterThan(1e6);
    kernels.dispose();
  });
});
