import { I2S_GEMV_SCRATCH_BYTES, i2sGemmScratchBytes, type Kernels } from './contract.ts';
import type { KernelMemory } from './memory.ts';
import { referenceKernels } from './reference/kernels.ts';
import type { KernelExports } from './team.ts';

/**
 * Turns on V8's revectorizer where it works: Node 24 and newer on x64. Code compiled before stays as it is.
 *
 * @returns whether it is on
 */
export function turnOnRevectorizer(): boolean {
  const major = Number(globalThis.process?.versions?.node?.split('.')[0]);
  if (!(major >= 24) || globalThis.process.arch !== 'x64') return false;
  globalThis.process.getBuiltinModule('node:v8').setFlagsFromString('--experimental-wasm-revectorize');
  return true;
}

const ROWS = 16;
const WIDTH = 512;
const COUNT = 3;

/** Calls after which V8 has surely asked its optimizing compiler, which runs on another thread. */
const WARM_UP_CALLS = 2000;

/**
 * Compares the products for the revectorizer with the plain reference, before and after the optimizing compiler has
 * run, on the largest sums of either sign and on mixed input.
 */
export function wideKernelsAreExact(kernels: KernelExports, memory: KernelMemory): boolean {
  const reference = referenceKernels(memory);
  const weights = memory.allocate((ROWS * WIDTH) / 4);
  const values = memory.allocate(COUNT * WIDTH);
  const scales = memory.allocate(4 * COUNT);
  const sums = memory.allocate(4 * COUNT);
  const out = memory.allocate(4 * COUNT * ROWS);
  const scratch = memory.allocate(Math.max(I2S_GEMV_SCRATCH_BYTES, i2sGemmScratchBytes(WIDTH)));
  memory.f32(scales, COUNT).fill(1);

  const results = (gemv: Kernels['i2sGemv'], gemm: Kernels['i2sGemm']): string => {
    gemm(weights, 0, ROWS, WIDTH, 1, values, scales, sums, COUNT, out, ROWS, scratch);
    const several = memory.f32(out, COUNT * ROWS).join();
    gemv(weights, 0, ROWS, WIDTH, 1, values, scales, sums, out, scratch);
    return `${several};${memory.f32(out, ROWS).join()}`;
  };
  const exact = (): boolean =>
    [0, 1, 2, 3, 4, 5, 6].every((input) => {
      memory
        .bytes(weights, (ROWS * WIDTH) / 4)
        .set(Array.from({ length: (ROWS * WIDTH) / 4 }, (_, i) => codesOf(input, i)));
      memory.i8(values, COUNT * WIDTH).set(Array.from({ length: COUNT * WIDTH }, (_, i) => valueOf(input, i)));
      return results(kernels.i2sGemvWide, kernels.i2sGemmWide) === results(reference.i2sGemv, reference.i2sGemm);
    });

  const warmUp = (): true => {
    for (let call = 0; call < WARM_UP_CALLS; call++) results(kernels.i2sGemvWide, kernels.i2sGemmWide);
    return true;
  };
  const ok = exact() && warmUp() && exact();
  for (const pointer of [weights, values, scales, sums, out, scratch]) memory.free(pointer);
  return ok;
}

/** Inputs 0 to 5: every code with every extreme value; 6: mixed. Four codes of 0 to 2. */
function codesOf(input: number, index: number): number {
  if (input < 6) return (input % 3) * 0b01010101;
  return [0, 2, 4, 6].reduce((codes, shift) => codes | ((((index * 7919) >> shift) % 3) << shift), 0);
}

function valueOf(input: number, index: number): number {
  if (input < 6) return input < 3 ? -128 : 127;
  return ((index * 7919) % 256) - 128;
}

const TIMED_ROWS = 32;
const TIMED_WIDTH = 2560;

/** Whether the products for the revectorizer are the faster ones here: without 256-bit integer SIMD they are slower. */
export function wideKernelsAreFaster(kernels: KernelExports, memory: KernelMemory): boolean {
  const weights = memory.allocate((TIMED_ROWS * TIMED_WIDTH) / 4);
  const values = memory.allocate(TIMED_WIDTH);
  const scales = memory.allocate(4);
  const sums = memory.allocate(4);
  const out = memory.allocate(4 * TIMED_ROWS);
  const scratch = memory.allocate(I2S_GEMV_SCRATCH_BYTES);
  const time = (gemv: Kernels['i2sGemv']): number => {
    const start = performance.now();
    for (let call = 0; call < 20; call++) {
      gemv(weights, 0, TIMED_ROWS, TIMED_WIDTH, 1, values, scales, sums, out, scratch);
    }
    return performance.now() - start;
  };
  // In turn, so that both see the same noise; the first rounds compile.
  const rounds = Array.from({ length: 40 }, () => [time(kernels.i2sGemvWide), time(kernels.i2sGemv)] as const);
  const [wide, plain] = [0, 1].map((side) => Math.min(...rounds.slice(20).map((round) => round[side]!)));
  for (const pointer of [weights, values, scales, sums, out, scratch]) memory.free(pointer);
  return wide! < plain!;
}
