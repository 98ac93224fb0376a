import type { Kernels, Pointer } from './contract.ts';
import type { Counters } from './counters.ts';
import { KernelError } from './errors.ts';
import type { KernelMemory } from './memory.ts';
import { type Operation, OPERATIONS, type SharedOperation } from './operations.ts';

/** What every binary exports: the kernels, and those of which there are two. */
export interface KernelExports extends Kernels {
  readonly i2sGemvWide: Kernels['i2sGemv'];
  readonly i2sGemmWide: Kernels['i2sGemm'];
  readonly i2sGemvI16: Kernels['i2sGemv'];
  readonly i2sGemmI16: Kernels['i2sGemm'];
  /** Where this instance counts (assembly/counters.ts). */
  useCounters(table: Pointer, first: boolean): void;
  timeCalls(on: boolean): void;
  pauseClock(): void;
}

/** What the binaries with threads export besides (assembly/team.ts). */
export interface TeamExports extends KernelExports {
  runProgram(team: Pointer, threads: number, maySleep: boolean): number;
  fail(team: Pointer): void;
  stop(team: Pointer): void;
}

const PROGRAM_WORDS = 1 << 16;
const TEAM_BYTES = 320; // shared words of assembly/team.ts
const MESSAGE_BYTES = 1024; // and behind them the reason of a thread that failed

// Byte offsets from the team's address, as in assembly/team.ts
const EPOCH = 0;
const PROGRAM = 8;
const PROGRAM_END = 12;
const SCRATCH = 16;
const SCRATCH_BYTES = 20;

/** The part of a worker that Node's and browsers' have in common. */
interface TeamWorker {
  postMessage(message: unknown): void;
  terminate(): unknown;
  unref?(): void;
}

/**
 * Threads over one shared memory that run the same program of kernel calls, each on some of the rows, with a
 * barrier inside WebAssembly after every call. Calls are recorded, and run by {@link ThreadTeam.flush}: JavaScript is
 * entered once for all of them. Every output is computed by one thread, so results do not depend on their number.
 */
export class ThreadTeam {
  readonly threads: number;
  /** The shared operations: each records its call. */
  readonly operations: Pick<KernelExports, SharedOperation>;
  readonly #exports: TeamExports;
  readonly #memory: KernelMemory;
  readonly #team: Pointer;
  readonly #program: Pointer;
  readonly #words: Int32Array;
  readonly #reals: Float32Array;
  readonly #maySleep: boolean;
  #workers: TeamWorker[] = [];
  #length = 0;
  #scratchBytes = 0;
  #scratch: Pointer = 0;
  #lost: string | undefined;

  /** Starts `threads` - 1 workers and waits until each is ready. */
  static async start(
    module: WebAssembly.Module,
    exports: TeamExports,
    memory: KernelMemory,
    counters: Counters,
    threads: number,
  ): Promise<ThreadTeam> {
    const team = new ThreadTeam(exports, memory, threads);
    const workers = Array.from({ length: threads - 1 }, (_, index) => index + 1);
    try {
      await Promise.all(workers.map((thread) => team.#startWorker(module, thread, counters.table(thread))));
    } catch (error) {
      team.dispose();
      throw error;
    }
    return team;
  }

  private constructor(exports: TeamExports, memory: KernelMemory, threads: number) {
    this.threads = threads;
    this.#exports = exports;
    this.#memory = memory;
    this.#team = memory.allocate(TEAM_BYTES + MESSAGE_BYTES);
    this.#program = memory.allocate(4 * PROGRAM_WORDS);
    this.#words = memory.i32(this.#program, PROGRAM_WORDS);
    this.#reals = memory.f32(this.#program, PROGRAM_WORDS);
    this.#maySleep = typeof (globalThis as { document?: unknown }).document === 'undefined'; // a page may not block
    const entries = Object.entries<Operation>(OPERATIONS).flatMap(([name, { code, signature }]) =>
      signature === undefined ? [] : [[name, (...args: number[]) => this.#record(code, signature, args)]],
    );
    this.operations = Object.fromEntries(entries) as Pick<KernelExports, SharedOperation>;
  }

  /** Scratch of thread 0. */
  get scratch(): Pointer {
    return this.#scratch;
  }

  /**
   * Makes room for the scratch of every thread.
   *
   * @param sizeBytes - what the operation that needs most asks for
   */
  reserveScratch(sizeBytes: number): void {
    if (sizeBytes <= this.#scratchBytes) return;
    this.flush();
    // A multiple of 128 bytes: no two threads write to one cache line, nor to neighbours that are fetched in pairs.
    const scratchBytes = Math.ceil(sizeBytes / 128) * 128;
    const scratch = this.#memory.allocate(scratchBytes * this.threads); // before the old one is let go: it may throw
    if (this.#scratchBytes > 0) this.#memory.free(this.#scratch);
    this.#scratchBytes = scratchBytes;
    this.#scratch = scratch;
    this.#setWord(SCRATCH, this.#scratch);
    this.#setWord(SCRATCH_BYTES, this.#scratchBytes);
  }

  /**
   * Runs what was recorded and returns when all threads are done.
   *
   * @throws {KernelError} KERNELS_WORKER_FAILED if a thread is lost; no later call succeeds
   */
  flush(): void {
    if (this.#lost !== undefined) throw workerFailed(this.#lost);
    if (this.#length === 0) return;
    this.#setWord(PROGRAM, this.#program);
    this.#setWord(PROGRAM_END, this.#program + 4 * this.#length);
    this.#length = 0;
    let finished = 0;
    try {
      finished = this.#exports.runProgram(this.#team, this.threads, this.#maySleep);
    } catch (error) {
      this.#exports.fail(this.#team);
      this.#lost = error instanceof Error ? error.message : String(error);
      throw workerFailed(this.#lost, error);
    }
    if (finished) return;
    const message = this.#memory.bytes(this.#team + TEAM_BYTES, MESSAGE_BYTES).slice();
    const end = message.indexOf(0);
    this.#exports.fail(this.#team);
    this.#lost =
      new TextDecoder().decode(message.subarray(0, end < 0 ? MESSAGE_BYTES : end)) || 'it did not answer for a minute';
    throw workerFailed(this.#lost);
  }

  /** Ends the threads. Idempotent. */
  dispose(): void {
    this.#lost ??= 'the team was disposed';
    this.#exports.stop(this.#team);
    this.#exports.fail(this.#team);
    for (const worker of this.#workers.splice(0)) void worker.terminate();
  }

  #record(code: number, signature: string, args: readonly number[]): void {
    if (this.#lost !== undefined) throw workerFailed(this.#lost);
    if (this.#length + signature.length + 1 > PROGRAM_WORDS) this.flush();
    this.#words[this.#length++] = code;
    for (let i = 0; i < signature.length; i++) {
      if (signature[i] === 'f') this.#reals[this.#length++] = args[i]!;
      else this.#words[this.#length++] = args[i]!;
    }
  }

  #setWord(offset: number, value: number): void {
    this.#memory.i32(this.#team + offset, 1)[0] = value;
  }

  async #startWorker(module: WebAssembly.Module, thread: number, counters: Pointer): Promise<void> {
    const url = new URL('../worker/team-worker.js', import.meta.url);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onMessage = (message: unknown): void => {
      if (message === 'ready') resolve();
      else reject(workerFailed(String(message)));
    };
    const onError = (error: unknown): void => {
      this.#lost ??= error instanceof Error ? error.message : String((error as { message?: unknown }).message ?? error);
      this.#exports.fail(this.#team);
      reject(workerFailed(this.#lost));
    };
    let worker: TeamWorker;
    if (typeof Worker === 'undefined') {
      // Node. Asking the process keeps node: imports out of browser bundles.
      const { Worker: NodeWorker } = globalThis.process.getBuiltinModule('node:worker_threads');
      worker = new NodeWorker(url)
        .on('message', onMessage)
        .on('error', onError)
        .on('exit', () => onError(new Error('it ended')));
    } else {
      const webWorker = new Worker(url, { type: 'module' });
      webWorker.addEventListener('message', ({ data }) => onMessage(data));
      webWorker.addEventListener('error', onError);
      worker = webWorker;
    }
    this.#workers.push(worker);
    const epoch = this.#memory.i32(this.#team + EPOCH, 1)[0]!;
    const { memory } = this.#memory;
    const message = this.#team + TEAM_BYTES;
    worker.postMessage({ module, memory, counters, team: this.#team, message, thread, threads: this.threads, epoch });
    await promise;
    worker.unref?.(); // waiting threads do not keep the process alive
  }
}

function workerFailed(reason: string, cause?: unknown): KernelError {
  return new KernelError(
    'KERNELS_WORKER_FAILED',
    `A thread of the kernels is lost (${reason}). Load the model again, or with one thread.`,
    cause === undefined ? undefined : { cause },
  );
}
