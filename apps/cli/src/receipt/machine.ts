import { v8FlagsSet } from '@bittern/kernels';
import { describeMachine, type Limits, type LimitsSample } from '@bittern/measure';
import type { ReceiptHost, ReceiptLimits } from '@bittern/receipts';

/** To be asked after the runs: loading kernels sets flags of V8's. */
export function receiptHost(): ReceiptHost {
  const { cpu, cores, memoryBytes, simd, osRelease, arch, node, v8, flags } = describeMachine();
  return {
    cpu,
    cores,
    memoryBytes,
    simd,
    os: `${process.platform} ${osRelease}`,
    arch,
    runtime: { name: 'node', version: node, engine: `v8 ${v8}`, flags: [...new Set([...flags, ...v8FlagsSet()])] },
  };
}

/** The samples of a run as a receipt has them: of both ways to read a large buffer the faster one, as nothing may be faster. */
export function receiptLimits(limits: Limits, samples: readonly LimitsSample[]): ReceiptLimits {
  const { threads, bufferBytes, cachedBufferBytes, cachedBytes, dotOperations } = limits;
  const forms = Object.keys(samples[0]?.dotMs ?? {});
  return {
    threads,
    reads: [
      { bufferBytes: cachedBufferBytes, bytes: cachedBytes, ms: samples.map(({ cachedMs }) => cachedMs) },
      { bufferBytes, bytes: bufferBytes, ms: samples.map(({ readMs, readPagesMs }) => Math.min(readMs, readPagesMs)) },
    ],
    dots: forms.map((form) => ({ form, operations: dotOperations, ms: samples.map(({ dotMs }) => dotMs[form]!) })),
  };
}
