import type { Pointer } from './contract.ts';
import type { KernelMemory } from './memory.ts';
import { MOST_OPERATIONS, type Operation, OPERATIONS, type OperationName } from './operations.ts';
import { type Binary, kernelId } from './registry.ts';

/**
 * What one kernel did. Calls, rows, elements and bytes follow from the arguments alone: they are the same for any number
 * of threads (docs/kernel-counters.md says what each kernel counts). Exact up to 2^53.
 */
export interface KernelCounter {
  /** One of {@link KERNEL_REGISTRY}. */
  readonly id: string;
  readonly calls: number;
  /** Rows of the result. */
  readonly rows: number;
  /** Products of a matrix product, values of anything else. */
  readonly elements: number;
  /** Operands read and results written, each once. */
  readonly bytes: number;
  /**
   * Wall time from the first thread's point of view: with one thread, from the end of the call before, or if there was none
   * since {@link WasmKernels.flush}, from the beginning of this one; with several from one barrier to the next, that is until
   * the last thread has done its share. Only of calls while {@link WasmKernels.timeCalls} is on.
   */
  readonly nanoseconds: number;
}

/** The sums of each kernel over all of them, such as those of several runs. */
export function sumOfCounters(counters: readonly KernelCounter[]): KernelCounter[] {
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

const WORDS = 5; // of 8 bytes: calls, rows, elements, bytes as u64, nanoseconds as f64
const TABLE_BYTES = 8 * WORDS * MOST_OPERATIONS; // a multiple of 128: no two threads write to one cache line

const entries = Object.entries(OPERATIONS) as [OperationName, Operation][];

/** The tables in which the threads' instances count, one for each (assembly/counters.ts). */
export class Counters {
  readonly #memory: KernelMemory;
  readonly #tables: Pointer;
  readonly #threads: number;
  readonly #binary: Binary;

  constructor(memory: KernelMemory, binary: Binary, threads: number) {
    this.#memory = memory;
    this.#binary = binary;
    this.#threads = threads;
    this.#tables = memory.allocate(threads * TABLE_BYTES);
  }

  table(thread: number): Pointer {
    return this.#tables + thread * TABLE_BYTES;
  }

  /** The kernels that were called, in the order of {@link KERNEL_REGISTRY}. */
  read(): KernelCounter[] {
    const { buffer } = this.#memory.memory;
    const length = this.#threads * WORDS * MOST_OPERATIONS;
    const counts = new BigUint64Array(buffer, this.#tables, length);
    const times = new Float64Array(buffer, this.#tables, length);
    return entries.flatMap(([operation, { code }]) => {
      const sum = (word: number): number => {
        let total = 0n;
        for (let thread = 0; thread < this.#threads; thread++) {
          total += counts[(thread * MOST_OPERATIONS + code) * WORDS + word]!;
        }
        return Number(total);
      };
      const calls = sum(0);
      if (calls === 0) return [];
      const nanoseconds = Math.round(times[code * WORDS + 4]!); // the first thread's
      const id = kernelId(operation, this.#binary);
      return { id, calls, rows: sum(1), elements: sum(2), bytes: sum(3), nanoseconds };
    });
  }

  reset(): void {
    this.#memory.bytes(this.#tables, this.#threads * TABLE_BYTES).fill(0);
  }
}
