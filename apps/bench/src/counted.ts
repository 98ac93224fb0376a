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

/** The sums of each kernel. */
export function sumOf(counters: readonly KernelCounter[]): KernelCounter[] {
  return [...Map.groupBy(counters, ({ id }) => id)].map(([id, parts]) => {
    const sum = (field: Exclude<keyof KernelCounter, 'id'>): number =>
      parts.reduce((total, part) => total + part[field], 0);
    return {
      id,
      calls: sum('calls'),
      rows: sum('rows'),
      elements: sum('elements'),
      bytes: sum('bytes'),
      nanoseconds: sum('nanoseconds'),
    };
  });
}
