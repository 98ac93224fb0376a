import type { Kernels, Pointer } from './contract.ts';
import { type KernelCounter, Counters } from './counters.ts';
import { KernelError } from './errors.ts';
import { KernelMemory } from './memory.ts';
import { type ChosenI2s, chooseI2s, type KernelChoice } from './i2s-choice.ts';
import { turnOnRevectorizer } from './revectorize.ts';
import { type KernelExports, type TeamExports, ThreadTeam } from './team.ts';

/**
 * - `relaxed`: uses relaxed SIMD; wants an engine that has it and a machine that fuses its multiply-add
 * - `simd128`: plain SIMD128 and an exact emulation of the fused multiply-add; runs everywhere, slower
 *
 * Both give the same bits.
 */
export type KernelVariant = 'relaxed' | 'simd128';

export const KERNEL_VARIANTS: readonly KernelVariant[] = ['relaxed', 'simd128'];

const BINARIES: Readonly<Record<KernelVariant | `${KernelVariant}-threads`, URL>> = {
  relaxed: new URL('../wasm/relaxed.wasm', import.meta.url),
  simd128: new URL('../wasm/simd128.wasm', import.meta.url),
  'relaxed-threads': new URL('../wasm/relaxed-threads.wasm', import.meta.url),
  'simd128-threads': new URL('../wasm/simd128-threads.wasm', import.meta.url),
};

/** The file of a variant's kernels, with threads or for one: for digests of what ran. */
export function kernelBinary(variant: KernelVariant, threads: number): URL {
  return BINARIES[threads > 1 ? (`${variant}-threads` as const) : variant];
}

export interface LoadKernelsOptions {
  /**
   * Default `auto`: `relaxed` where the engine compiles it and the probe finds its multiply-add fused, else `simd128`.
   * The result names its variant.
   */
  readonly variant?: KernelVariant | 'auto';
  /**
   * Default false. True turns on V8's revectorizer for the whole process (Node 24 and newer on x64): it joins pairs of
   * 128-bit instructions to 256-bit ones, and is experimental. {@link WasmKernels.revectorized} tells whether products
   * made for it run: if a self-test, before and after the optimizing compiler has run, finds every bit right, and a
   * short timing finds them the faster ones.
   */
  readonly revectorize?: boolean;
  /** Default 1. More want a SharedArrayBuffer: in a browser, a page that is cross-origin isolated. */
  readonly threads?: number;
}

/**
 * Kernels in WebAssembly, and the memory that their pointers point into. With several threads a call is recorded, and
 * {@link WasmKernels.flush} runs all that were; with one it runs at once.
 */
export interface WasmKernels extends Kernels {
  readonly variant: KernelVariant;
  /** Which of the kernels for ternary products run. */
  readonly choice: KernelChoice;
  /** Whether any of the ternary products is that for V8's revectorizer. A matter of speed, not of results. */
  readonly revectorized: boolean;
  readonly threads: number;
  readonly memory: KernelMemory;
  /** The first thread's scratch, of the largest size reserved. Where a call is recorded, each thread takes its own. */
  readonly scratch: Pointer;
  /** Makes {@link WasmKernels.scratch} of every thread at least this large. Larger ones stay. */
  reserveScratch(sizeBytes: number): void;
  /** What each kernel did since it was loaded or {@link WasmKernels.resetCounters}. Runs what was recorded first. */
  counters(): KernelCounter[];
  resetCounters(): void;
  /**
   * Whether calls are timed from now on ({@link KernelCounter.nanoseconds}); at first they are not. The clock is read at
   * each barrier, or with one thread before and after each call: nothing beside a large model's work, but not beside a
   * small one's.
   */
  timeCalls(on: boolean): void;
  /** Runs what was recorded. Results may be read afterwards, not before. */
  flush(): void;
  /** Ends the threads. Idempotent; nothing may run afterwards. */
  dispose(): void;
}

/**
 * Compiles and instantiates the kernels over a memory of their own, and starts their threads.
 *
 * @throws {KernelError} KERNELS_UNSUPPORTED when the engine lacks SIMD128 or shared memory, or the variant asked for
 *   cannot be exact here; KERNELS_WORKER_FAILED when a thread does not start
 */
export async function loadKernels(options: LoadKernelsOptions = {}): Promise<WasmKernels> {
  const { variant = 'auto', threads = 1, revectorize: wanted = false, ...unknown } = options;
  const misspelt = Object.keys(unknown);
  if (misspelt.length > 0)
    throw new TypeError(`Unknown option "${misspelt.join('", "')}". Known: variant, threads, revectorize.`);
  if (variant !== 'auto' && !KERNEL_VARIANTS.includes(variant)) {
    throw new RangeError(`variant ${JSON.stringify(variant)} is not one of auto, ${KERNEL_VARIANTS.join(', ')}.`);
  }
  if (!(Number.isInteger(threads) && threads >= 1))
    throw new RangeError(`threads ${threads} is not a whole number from 1`);
  const revectorize = wanted && turnOnRevectorizer();
  if (variant !== 'auto') return instantiate(variant, threads, revectorize);
  try {
    return await instantiate('relaxed', threads, revectorize);
  } catch (error) {
    if (!(error instanceof KernelError && error.code === 'KERNELS_UNSUPPORTED')) throw error;
    return instantiate('simd128', threads, revectorize);
  }
}

async function instantiate(variant: KernelVariant, threads: number, revectorize: boolean): Promise<WasmKernels> {
  if (threads > 1 && typeof SharedArrayBuffer === 'undefined') {
    throw new KernelError(
      'KERNELS_UNSUPPORTED',
      `${threads} threads need a SharedArrayBuffer, which a page has only when it is cross-origin isolated (headers COOP and COEP). Use one thread, or set the headers.`,
    );
  }
  const memory = new KernelMemory({ shared: threads > 1 });
  const binary = await readBinary(kernelBinary(variant, threads));
  let module: WebAssembly.Module;
  try {
    module = await WebAssembly.compile(binary);
  } catch (cause) {
    if (!(cause instanceof WebAssembly.CompileError)) throw cause;
    const message = `This JavaScript engine cannot compile the ${variant} kernels: ${cause.message}. WebAssembly SIMD is needed (Node 22 or newer, current browsers).`;
    throw new KernelError('KERNELS_UNSUPPORTED', message, { cause });
  }
  const { exports } = await WebAssembly.instantiate(module, { env: { memory: memory.memory, now } });
  const kernels = exports as unknown as TeamExports;
  const counters = new Counters(memory, variant, threads);
  kernels.useCounters(counters.table(0), true);
  if (!multiplyAddIsFused(kernels, memory)) {
    throw new KernelError(
      'KERNELS_UNSUPPORTED',
      `The ${variant} kernels round twice in multiply-add on this machine; their results would not be exact. Use "simd128".`,
    );
  }
  const ternary = chooseI2s(kernels, memory, variant, { threaded: threads > 1, revectorized: revectorize });
  counters.reset(); // of the self-tests
  if (threads === 1) return oneThread(kernels, memory, counters, variant, ternary);
  const team = await ThreadTeam.start(module, kernels, memory, counters, threads);
  return {
    ...afterFlush(kernels, team),
    ...team.operations,
    i2sGemv: team.operations[ternary.gemv],
    i2sGemm: team.operations[ternary.gemm],
    variant,
    choice: ternary.choice,
    revectorized: isWide(ternary),
    threads,
    memory,
    get scratch() {
      return team.scratch;
    },
    reserveScratch: (sizeBytes) => team.reserveScratch(sizeBytes),
    counters() {
      team.flush();
      return counters.read();
    },
    resetCounters() {
      team.flush();
      counters.reset();
    },
    flush: () => team.flush(),
    dispose: () => team.dispose(),
  };
}

/** The operations that only the first thread does: at once, but after those that were recorded before. */
function afterFlush(kernels: KernelExports, team: ThreadTeam): KernelExports {
  const wrapped = Object.entries(kernels).map(([name, operation]) => {
    if (typeof operation !== 'function') return [name, operation];
    return [
      name,
      (...args: unknown[]): unknown => {
        team.flush();
        return operation(...args);
      },
    ];
  });
  return Object.fromEntries(wrapped) as KernelExports;
}

function isWide({ gemv, gemm }: ChosenI2s): boolean {
  return gemv === 'i2sGemvWide' || gemm === 'i2sGemmWide';
}

function oneThread(
  kernels: KernelExports,
  memory: KernelMemory,
  counters: Counters,
  variant: KernelVariant,
  ternary: ChosenI2s,
): WasmKernels {
  const scratch = { pointer: 0, sizeBytes: 0 };
  return {
    ...kernels,
    i2sGemv: kernels[ternary.gemv],
    i2sGemm: kernels[ternary.gemm],
    variant,
    choice: ternary.choice,
    revectorized: isWide(ternary),
    threads: 1,
    memory,
    get scratch() {
      return scratch.pointer;
    },
    reserveScratch(sizeBytes) {
      if (sizeBytes <= scratch.sizeBytes) return;
      const pointer = memory.allocate(sizeBytes); // before the old one is let go: it may throw
      if (scratch.sizeBytes > 0) memory.free(scratch.pointer);
      scratch.pointer = pointer;
      scratch.sizeBytes = sizeBytes;
    },
    counters: () => counters.read(),
    resetCounters: () => counters.reset(),
    flush() {},
    dispose() {},
  };
}

/** For the kernels' counters. */
function now(): number {
  return performance.now();
}

/** (1 + 2^-12)² - (1 + 2^-11) is 2^-24 when fused and 0 when the product is rounded first. */
function multiplyAddIsFused(kernels: Kernels, memory: KernelMemory): boolean {
  const pointer = memory.allocate(64);
  const [a, c, out] = [pointer, pointer + 16, pointer + 32];
  memory.f32(a, 4).fill(1 + 2 ** -12);
  memory.f32(c, 4).fill(-(1 + 2 ** -11));
  kernels.multiplyAdd(a, a, c, 4, out);
  const fused = memory.f32(out, 4).every((value) => value === 2 ** -24);
  memory.free(pointer);
  return fused;
}

async function readBinary(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  if (url.protocol !== 'file:') {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url.href}: HTTP ${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
  }
  // Node's fetch has no file: URLs. Asking the process keeps node: imports out of browser bundles.
  const { readFile } = globalThis.process.getBuiltinModule('node:fs/promises');
  return new Uint8Array(await readFile(url));
}
