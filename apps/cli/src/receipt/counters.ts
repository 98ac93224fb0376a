import type { KernelCounter } from '@bittern/engine';

/** The sums of each kernel over several runs. */
export function sumOfCounters(runs: readonly (readonly KernelCounter[])[]): KernelCounter[] {
  return [...Map.groupBy(runs.flat(), ({ id }) => id)].map(([id, parts]) => {
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
