import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { MeasureError } from './errors.ts';

/** What is measured. Their place in the list is their number in worker/limits-worker.js. */
const KERNELS = ['read', 'dot12', 'dot24', 'dotPairs6', 'readCached', 'readPages'] as const;
type LimitKernel = (typeof KERNELS)[number];

/** The forms of the int8 dot product, of which the fastest counts: accumulators, and lanes of one instruction. */
const DOTS: Readonly<
  Record<
    Exclude<LimitKernel, 'read' | 'readCached' | 'readPages'>,
    { readonly accumulators: number; readonly name: string }
  >
> = {
  dot12: { accumulators: 12, name: 'i32 dot, 12 accumulators' },
  dot24: { accumulators: 24, name: 'i32 dot, 24 accumulators' },
  dotPairs6: { accumulators: 6, name: 'i16 dot, 6 accumulators' },
};

// Words that all threads see
const TURN = 0; // counts what was asked for
const DONE = 1; // threads that have done it
const KERNEL = 2; // which kernel; -1 ends the threads
const ROUNDS = 3; // of a kernel that repeats
const WORDS = 4;

const PAGE_BYTES = 65_536;
const OPERANDS_BYTES = 512; // of one thread
/** Read over and over by one thread: less than any processor's nearest cache. As in worker/limits-worker.js. */
const CACHED_BYTES = 16_384;
const OPERATIONS_PER_DOT = 32; // 16 products and as many sums
const PATIENCE_MS = 30_000;

export interface LimitsOptions {
  readonly threads: number;
  /** Read for the bandwidth, shared between the threads; much larger than the caches. */
  readonly bufferBytes: number;
  /** Of one thread in one dot sample. Default 1e9. */
  readonly operations?: number;
  /** That one thread reads from its cache in one sample. Default 2^28. */
  readonly cachedBytes?: number;
  /** Milliseconds that threads may take for one measurement; they are waited for twice. Default 30,000. */
  readonly patienceMs?: number;
}

/** One sample of everything that limits the machine. */
export interface LimitsSample {
  /** Milliseconds for `bufferBytes`, in one linear stream of each thread. */
  readonly readMs: number;
  /** The same, line by line of 8 pages at once: as a rule faster. */
  readonly readPagesMs: number;
  /** Milliseconds for `cachedBytes`, out of the nearest cache. */
  readonly cachedMs: number;
  /** Milliseconds for `dotOperations`, by the form's name. */
  readonly dotMs: Readonly<Record<string, number>>;
}

/**
 * Measures what this machine's memory and arithmetic can give to WebAssembly at a number of threads: worker threads
 * that do nothing else, each over its share of one shared memory. The calling thread waits.
 */
export class Limits {
  readonly threads: number;
  readonly bufferBytes: number;
  readonly #operations: number;
  readonly #cachedRounds: number;
  readonly #patienceMs: number;
  readonly #control: Int32Array;
  readonly #workers: readonly Worker[];

  static async start(options: LimitsOptions): Promise<Limits> {
    const { threads, bufferBytes } = options;
    const module = await WebAssembly.compile(await readFile(new URL('../wasm/limits.wasm', import.meta.url)));
    const ownBytes = OPERANDS_BYTES + CACHED_BYTES;
    const begin = Math.ceil((PAGE_BYTES + threads * ownBytes) / PAGE_BYTES) * PAGE_BYTES;
    const pages = Math.ceil((begin + bufferBytes) / PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: PAGE_BYTES, shared: true });
    const control = new Int32Array(new SharedArrayBuffer(4 * WORDS));
    const share = (thread: number): number => begin + Math.floor((bufferBytes * thread) / threads / 128) * 128;
    const workers = Array.from({ length: threads }, (_, thread) => {
      const operands = PAGE_BYTES + thread * ownBytes;
      const cached = operands + OPERANDS_BYTES;
      new Uint8Array(memory.buffer, operands, OPERANDS_BYTES).fill(3);
      const [first, end] = [share(thread), share(thread + 1)];
      const workerData = { module, memory, control, thread, begin: first, end, operands, cached };
      return new Worker(new URL('../worker/limits-worker.js', import.meta.url), { workerData });
    });
    const limits = new Limits(options, control, workers);
    try {
      await Promise.all(workers.map((worker) => once(worker, 'message')));
    } catch (error) {
      limits.dispose();
      throw error;
    }
    return limits;
  }

  private constructor(options: LimitsOptions, control: Int32Array, workers: readonly Worker[]) {
    this.threads = options.threads;
    this.bufferBytes = options.bufferBytes;
    this.#operations = options.operations ?? 1e9;
    this.#cachedRounds = Math.max(1, Math.ceil((options.cachedBytes ?? 2 ** 28) / CACHED_BYTES));
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#control = control;
    this.#workers = workers;
  }

  /** Operations of all threads in one dot sample, about. */
  get dotOperations(): number {
    return this.#operations * this.threads;
  }

  /** Where all threads together read {@link Limits.cachedBytes}: each has its part. */
  get cachedBufferBytes(): number {
    return CACHED_BYTES * this.threads;
  }

  /** That all threads read from their caches in one sample. */
  get cachedBytes(): number {
    return this.cachedBufferBytes * this.#cachedRounds;
  }

  /** @throws {MeasureError} MEASURE_NO_ANSWER */
  sample(): LimitsSample {
    const readMs = this.#run('read', 0);
    const readPagesMs = this.#run('readPages', 0);
    const cachedMs = this.#run('readCached', this.#cachedRounds);
    const dotMs: Record<string, number> = {};
    for (const [kernel, { accumulators, name }] of Object.entries(DOTS)) {
      const rounds = Math.max(1, Math.round(this.#operations / (accumulators * OPERATIONS_PER_DOT)));
      const exact = (rounds * accumulators * OPERATIONS_PER_DOT) / this.#operations;
      dotMs[name] = this.#run(kernel as LimitKernel, rounds) / exact;
    }
    return { readMs, readPagesMs, cachedMs, dotMs };
  }

  /** Ends the threads. Idempotent. */
  dispose(): void {
    this.#ask(-1, 0);
    for (const worker of this.#workers) void worker.terminate();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Milliseconds from the start of all threads to the end of the last. Waking them takes some hundredths of one. */
  #run(kernel: LimitKernel, rounds: number): number {
    const start = performance.now();
    this.#ask(KERNELS.indexOf(kernel), rounds);
    // On a machine that was suspended all time has passed at once, and threads that are alive have had none of it: so a
    // second wait, which does not begin if they have answered.
    let waits = 0;
    for (let done = 0; done < this.threads; done = Atomics.load(this.#control, DONE)) {
      if (Atomics.wait(this.#control, DONE, done, this.#patienceMs) !== 'timed-out') continue;
      if (Atomics.load(this.#control, DONE) === done && ++waits === 2) throw this.#noAnswer(kernel, done);
    }
    return performance.now() - start;
  }

  #noAnswer(kernel: LimitKernel, done: number): MeasureError {
    const what = `Of ${this.threads} thread(s) that measure the machine's limits (${kernel}), ${done} answered within twice ${this.#patienceMs / 1000} s.`;
    const advice = 'The machine may be too busy, or have fewer cores than threads: try fewer threads, or later.';
    return new MeasureError('MEASURE_NO_ANSWER', `${what} ${advice}`);
  }

  #ask(kernel: number, rounds: number): void {
    Atomics.store(this.#control, DONE, 0);
    Atomics.store(this.#control, KERNEL, kernel);
    Atomics.store(this.#control, ROUNDS, rounds);
    Atomics.add(this.#control, TURN, 1);
    Atomics.notify(this.#control, TURN);
  }
}
