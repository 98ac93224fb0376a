import { KernelError } from '../src/errors.ts';
import { KERNEL_VARIANTS, type KernelVariant, loadKernels } from '../src/load.ts';

/** The kernels that can be exact on this machine: `simd128` always, `relaxed` where multiply-add is fused. */
export const VARIANTS: readonly KernelVariant[] = await available();

async function available(): Promise<KernelVariant[]> {
  const found: KernelVariant[] = [];
  for (const variant of KERNEL_VARIANTS) {
    try {
      (await loadKernels({ variant })).dispose();
      found.push(variant);
    } catch (error) {
      const unsupported = error instanceof KernelError && error.code === 'KERNELS_UNSUPPORTED';
      if (!(unsupported && variant === 'relaxed')) throw error;
    }
  }
  return found;
}
