import type { ReceiptLimits } from './statement.ts';

/**
 * How much faster than a limit something may seem: both are measurements on a machine that does other things, too. The
 * limit is that of the fastest sample, so this is for what slowed all of them.
 */
export const MARGIN = 1.5;

/** What a machine gives, by the fastest sample of each. */
export interface MachineLimits {
  /** In the order of their buffers, the smallest first. */
  readonly reads: readonly { readonly bufferBytes: number; readonly bytesPerNs: number }[];
  /** Of the fastest form. */
  readonly operationsPerNs: number;
}

export function machineLimits({ reads, dots }: ReceiptLimits): MachineLimits {
  const rate = (work: number, ms: readonly number[]): number => work / (1e6 * Math.min(...ms)); // at most 16,000 samples
  return {
    reads: reads.map(({ bufferBytes, bytes, ms }) => ({ bufferBytes, bytesPerNs: rate(bytes, ms) })),
    operationsPerNs: Math.max(...dots.map(({ operations, ms }) => rate(operations, ms))),
  };
}
