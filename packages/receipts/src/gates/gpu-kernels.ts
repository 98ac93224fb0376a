import { fail, type Gate, notApplicable, onlyOfBenchmarks, pass } from '../gate.ts';
import { knownKernel } from '../registry.ts';

/** Only counters of kernels that are registered for a GPU are evidence of one. */
export const gpuKernels: Gate = {
  name: 'gpu-kernels',
  check({ predicate: { counters }, wanted }) {
    if (!wanted.requireGpuKernels) return notApplicable('GPU kernels are not required');
    for (const [phase, list] of Object.entries(counters)) {
      const products = list.filter(({ id }) => knownKernel(id)?.products);
      const others = products.filter(({ id }) => knownKernel(id)?.device !== 'gpu');
      if (products.length === 0 || others.length > 0) {
        const named = others.map(({ id }) => id).join(', ') || 'none';
        return fail(`the products were computed by kernels that are not registered for a GPU: ${named} (${phase})`);
      }
    }
    return pass('all products were computed by GPU kernels');
  },
  checkParity: ({ wanted }) => onlyOfBenchmarks(wanted.requireGpuKernels),
};
