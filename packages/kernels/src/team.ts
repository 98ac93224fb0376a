import type { Kernels, Pointer } from './contract.ts';
import { KernelError } from './errors.ts';
import type { KernelMemory } from './memory.ts';

/** What every binary exports: the kernels, and those of which there are two. */
export interface KernelExports extends Kernels {
  readonly i2sGemvWide: Kernels['i2sGemv'];
  readonly i2sGemmWide: Kernels['i2sGemm'];
}

/** What the binaries with threads export besides (assembly/team.ts). */
export interface TeamExports extends KernelExports {
  runProgram(team: Pointer, threads: number, maySleep: boolean): number;
  fail(team: Pointer): void;
  stop(team: Pointer): void;
}

/** Operations of which each thread does a share. */
type SharedOperation =
  | 'quantizeRows'
  | 'i2sGemv'
  | 'i2sGemm'
  | 'rmsNorm'
  | 'ropeNeox'
  | 'storeKeysValues'
  | 'attention'
  | 'f16Gemv'
  | 'f16Gemm'
  | 'widenF16'
  | 'roundToF16'
  | 'add'
  | 'reluSquaredGate'
  | 'siluGate'
  | 'i2sGemvWide'
  | 'i2sGemmWide'
  | 'quantizeRowsTl1'
  | 'tl1Gemv';

/** And those for the architecture and the types of llama.cpp. */
type SharedLlamaOperation =
  | 'ropeNorm'
  | 'addToRows'
  | 'multiplyBy'
  | 'quantizeRowsQ8_0'
  | 'quantizeRowsQ8K'
  | 'roundToBf16'
  | 'f32Gemv'
  | 'f32Gemm'
  | 'bf16Gemm'
  | 'q8_0Gemm'
  | 'q4_0Gemm'
  | 'q6KGemm'
  | 'tq2_0Gemm';

/**
 * Their arguments: i for an i32 word, f for an f32 one, s for the scratch, which each thread has of its own. The place in
 * the list is the operation's code in assembly/team.ts.
 */
const OPERATIONS: Readonly<Record<SharedOperation, string>> = {
  quantizeRows: 'iiiiiii',
  i2sGemv: 'iiiifiiiis',
  i2sGemm: 'iiiifiiiiiis',
  rmsNorm: 'iiiiifii',
  ropeNeox: 'iiiiiiii',
  storeKeysValues: 'iiiiiiiii',
  attention: 'iiiiiiiiiiiifiiiis',
  f16Gemv: 'iiiiiiiis',
  f16Gemm: 'iiiiiiiiiiis',
  widenF16: 'iii',
  roundToF16: 'iii',
  add: 'iiii',
  reluSquaredGate: 'iiiiii',
  siluGate: 'iiiiii',
  i2sGemvWide: 'iiiifiiiis',
  i2sGemmWide: 'iiiifiiiiiis',
  quantizeRowsTl1: 'iiiiiii',
  tl1Gemv: 'iiiifiiis',
};

/** The same for these; the place in the list and 32 are the code. */
const LLAMA_OPERATIONS: Readonly<Record<SharedLlamaOperation, string>> = {
  ropeNorm: 'iiiiiiii',
  addToRows: 'iiiii',
  multiplyBy: 'iif',
  quantizeRowsQ8_0: 'iiiiii',
  quantizeRowsQ8K: 'iiiiiii',
  roundToBf16: 'iii',
  f32Gemv: 'iiiiiii',
  f32Gemm: 'iiiiiiiii',
  bf16Gemm: 'iiiiiiiii',
  q8_0Gemm: 'iiiiiiiii',
  q4_0Gemm: 'iiiiiiiii',
  q6KGemm: 'iiiiiiiii',
  tq2_0Gemm: 'iiiiiiiiii',
};

const FIRST_LLAMA_CODE = 32;

const PROGRAM_WORDS = 1 << 16;
const TEAM_BYTES = 256; // shared words of assembly/team.ts
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
 * Threads over one shared memory that run the same program of kernel calls, each on its share of the rows, with a
 * barrier inside WebAssembly after every call. Calls are recorded, and run by {@link ThreadTeam.flush}: JavaScript is
 * entered once for all of them. Every output is computed by one thread, so results do not depend on their number.
 */
export class ThreadTeam {
  readonly threads: number;
  /** The shared operations: each records its call. */
  readonly operations: Pick<KernelExports, SharedOperation | SharedLlamaOperation>;
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
    threads: number,
  ): Promise<ThreadTeam> {
    const team = new ThreadTeam(exports, memory, threads);
    try {
      await Promise.all(Array.from({ length: threads - 1 }, (_, index) => team.#startWorker(module, index + 1)));
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
    const record = (operations: Readonly<Record<string, string>>, firstCode: number) =>
      Object.entries(operations).map(([name, signature], index) => [
        name,
        (...args: number[]) => this.#record(firstCode + index, signature, args),
      ]);
    const entries = [...record(OPERATIONS, 0), ...record(LLAMA_OPERATIONS, FIRST_LLAMA_CODE)];
    this.operations = Object.fromEntries(entries) as Pick<KernelExports, SharedOperation | SharedLlamaOperation>;
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
      this.#lost = String(error);
      throw error;
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

  async #startWorker(module: WebAssembly.Module, thread: number): Promise<void> {
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
    worker.postMessage({ module, memory, team: this.#team, message, thread, threads: this.threads, epoch });
    await promise;
    worker.unref?.(); // waiting threads do not keep the process alive
  }
}

function workerFailed(reason: string): KernelError {
  return new KernelError(
    'KERNELS_WORKER_FAILED',
    `A thread of the kernels is lost (${reason}). Load the model again, or with one thread.`,
  );
}
