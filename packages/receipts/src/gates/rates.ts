import { streamedBytes } from '../expected.ts';
import { fail, type Gate, pass } from '../gate.ts';
import { type MachineLimits, machineLimits, MARGIN } from '../machine-limits.ts';
import { knownKernel } from '../registry.ts';
import type { ReceiptCounter, ReceiptPredicate } from '../statement.ts';
import { packedBytesOf } from '../weight-types.ts';

/** Nothing was faster than the machine. */
export const rates: Gate = {
  name: 'rates',
  check({ predicate }) {
    const machine = machineLimits(predicate.limits);
    for (const phase of ['prefill', 'decode'] as const) {
      for (const counter of predicate.counters[phase]) {
        const fault = kernelFault(counter, machine);
        if (fault !== undefined) return fail(`${counter.id} ${fault} (${phase})`);
      }
    }
    const fault = evaluationFault(predicate, machine) ?? loadFault(predicate, machine);
    return fault === undefined
      ? pass("no kernel, no evaluation, and no loading, was faster than the machine's limits")
      : fail(fault);
  },
};

/** Operands of a kernel may come from the nearest cache, but not faster than that gives them. */
function kernelFault(counter: ReceiptCounter, { reads, operationsPerNs }: MachineLimits): string | undefined {
  const bytes = counter.bytes / counter.nanoseconds;
  if (!(bytes <= MARGIN * reads[0]!.bytesPerNs)) return `moved ${bytes} bytes a nanosecond`;
  if (!knownKernel(counter.id)?.products) return undefined;
  const operations = (2 * counter.elements) / counter.nanoseconds;
  return operations <= MARGIN * operationsPerNs ? undefined : `computed ${operations} operations a nanosecond`;
}

/** An evaluation reads all weights. Those that do not fit into a cache come from where a buffer of that size does. */
function evaluationFault(predicate: ReceiptPredicate, machine: MachineLimits): string | undefined {
  const bytes = streamedBytes(predicate);
  const { bufferBytes, bytesPerNs } = machine.reads.findLast((read) => read.bufferBytes <= bytes) ?? machine.reads[0]!;
  const leastMs = bytes / (MARGIN * bytesPerNs) / 1e6;
  for (const [index, { prefillMs, decodeMs }] of predicate.runs.entries()) {
    const fastest = Math.min(prefillMs, ...fastestOf(decodeMs));
    if (!(fastest >= leastMs)) {
      return `run ${index + 1} has an evaluation of ${fastest} ms; reading the ${bytes} bytes of the weights from a buffer of ${bufferBytes / 2 ** 20} MiB takes ${leastMs} ms`;
    }
  }
  return undefined;
}

/** Loading goes through all weights. How a system gives a file is not measured, so only the fastest limit is one. */
function loadFault({ model, loadMs }: ReceiptPredicate, { reads }: MachineLimits): string | undefined {
  const bytes = packedBytesOf(model);
  const leastMs = bytes / (MARGIN * reads[0]!.bytesPerNs) / 1e6;
  if (loadMs >= leastMs) return undefined;
  return `the model was loaded in ${loadMs} ms; reading the ${bytes} bytes of the weights takes ${leastMs} ms`;
}

/** Not by spreading, which a long list overflows. */
function fastestOf(samples: readonly number[]): number[] {
  return samples.length === 0 ? [] : [samples.reduce((least, sample) => (sample < least ? sample : least))];
}
