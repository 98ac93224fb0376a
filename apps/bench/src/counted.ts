import type { KernelCounter } from '@bittern/kernels';
import type { Sample } from './measure.ts';

/** Kernels, or a model that runs on them. */
interface Counting {
  counters(): KernelCounter[];
  resetCounters(): void;
}

/** A sample with what was counted during it. Others may have run on the same kernels before. */
export async function countedSample(kernels: Counting, sample: () => Sample | Promise<Sample>): Promise<Sample> {
  kernels.resetCounters();
  return { ...(await sample()), counters: kernels.counters() };
}
