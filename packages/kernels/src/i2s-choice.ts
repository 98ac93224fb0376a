import { i2sScratchBytes, type Kernels } from './contract.ts';
import { KernelError } from './errors.ts';
import type { KernelMemory } from './memory.ts';
import type { OperationName } from './operations.ts';
import { referenceKernels } from './reference/kernels.ts';
import { type Binary, kernelId } from './registry.ts';
import type { KernelExports } from './team.ts';

/** Which of several kernels for ternary products run here, and why. A matter of speed, not of results. */
export interface KernelChoice {
  /** Ids of {@link KERNEL_REGISTRY}: for one row, and for several. */
  readonly gemv: string;
  readonly gemm: string;
  /** All that were tried, the first being what runs where none is faster. */
  readonly tried: readonly TriedKernel[];
}

export interface TriedKernel {
  readonly id: string;
  /** Whether the self-test found every bit right. */
  readonly exact: boolean;
  /** Of one call in the short timing, the fastest; undefined if it is not exact, or the only one. */
  readonly microseconds: number | undefined;
}

/** One way to do the products. */
interface Form {
  readonly gemv: OperationName & ('i2sGemv' | 'i2sGemvI16' | 'i2sGemvWide');
  readonly gemm: OperationName & ('i2sGemm' | 'i2sGemmI16' | 'i2sGemmWide');
}

const PLAIN: Form = { gemv: 'i2sGemv', gemm: 'i2sGemm' };
const I16: Form = { gemv: 'i2sGemvI16', gemm: 'i2sGemmI16' };
const WIDE: Form = { gemv: 'i2sGemvWide', gemm: 'i2sGemmWide' };

export interface ChosenI2s {
  readonly choice: KernelChoice;
  readonly gemv: Form['gemv'];
  readonly gemm: Form['gemm'];
}

/** By binary. One process chooses once, so that all its models run, and count, the same kernels. */
const chosen = new Map<string, ChosenI2s>();

/**
 * Chooses among the exact ones by a short timing.
 *
 * @param threaded - whether it is the binary with threads: code of its own
 * @param revectorized - whether those made for V8's revectorizer are tried, too: without it they are slower
 */
export function chooseI2s(
  kernels: KernelExports,
  memory: KernelMemory,
  binary: Binary,
  { threaded, revectorized }: { readonly threaded: boolean; readonly revectorized: boolean },
): ChosenI2s {
  const key = `${binary} ${threaded} ${revectorized}`;
  const choice = chosen.get(key) ?? choose(kernels, memory, binary, revectorized);
  chosen.set(key, choice);
  return choice;
}

function choose(kernels: KernelExports, memory: KernelMemory, binary: Binary, revectorized: boolean): ChosenI2s {
  const forms = revectorized && binary === 'relaxed' ? [PLAIN, I16, WIDE] : [PLAIN, I16];
  const exact = forms.filter((form) => isExact(kernels, memory, form));
  if (!exact.includes(PLAIN)) {
    const message = `This JavaScript engine computes wrong ternary products with the ${binary} kernels. Use another version of it, or "simd128".`;
    throw new KernelError('KERNELS_UNSUPPORTED', message);
  }
  const times = { gemv: timeGemv(kernels, memory, exact), gemm: timeGemm(kernels, memory, exact) };
  const tried = (['gemv', 'gemm'] as const).flatMap((product) =>
    forms.map((form): TriedKernel => ({
      id: kernelId(form[product], binary),
      exact: exact.includes(form),
      microseconds: times[product][exact.indexOf(form)],
    })),
  );
  const { gemv } = exact[fastest(times.gemv)]!;
  const { gemm } = exact[fastest(times.gemm)]!;
  return { choice: { gemv: kernelId(gemv, binary), gemm: kernelId(gemm, binary), tried }, gemv, gemm };
}

/** Less is noise, and the first then stays. */
const FASTER = 0.95;

function fastest(times: readonly number[]): number {
  return times.reduce((best, time, index) => (time < FASTER * times[best]! ? index : best), 0);
}

const ROWS = 16; // tiles of four and of six
const WIDTH = 1280; // twice 512 and a rest
const COUNT = 3;

/** Calls after which V8 has surely asked its optimizing compiler, which runs on another thread. */
const WARM_UP_CALLS = 1000;

/**
 * Compares products with the plain reference, before and after the optimizing compiler has run, on the largest sums of
 * either sign and on mixed input.
 */
function isExact(kernels: KernelExports, memory: KernelMemory, form: Form): boolean {
  const reference = referenceKernels(memory);
  const weights = memory.allocate((ROWS * WIDTH) / 4);
  const values = memory.allocate(COUNT * WIDTH);
  const scales = memory.allocate(4 * COUNT);
  const sums = memory.allocate(4 * COUNT);
  const out = memory.allocate(4 * COUNT * ROWS);
  const scratch = memory.allocate(i2sScratchBytes(WIDTH));
  memory.f32(scales, COUNT).fill(1);

  const results = (gemv: Kernels['i2sGemv'], gemm: Kernels['i2sGemm']): string => {
    gemm(weights, 0, ROWS, WIDTH, 1, values, scales, sums, COUNT, out, ROWS, scratch);
    const several = memory.f32(out, COUNT * ROWS).join();
    gemv(weights, 0, ROWS, WIDTH, 1, values, scales, sums, out, scratch);
    return `${several};${memory.f32(out, ROWS).join()}`;
  };
  const inputs = [0, 1, 2, 3, 4, 5, 6];
  const fill = (input: number): void => {
    memory
      .bytes(weights, (ROWS * WIDTH) / 4)
      .set(Array.from({ length: (ROWS * WIDTH) / 4 }, (_, i) => codesOf(input, i)));
    memory.i8(values, COUNT * WIDTH).set(Array.from({ length: COUNT * WIDTH }, (_, i) => valueOf(input, i)));
  };
  const expected = inputs.map((input) => {
    fill(input);
    return results(reference.i2sGemv, reference.i2sGemm);
  });
  const exact = (): boolean =>
    inputs.every((input) => {
      fill(input);
      return results(kernels[form.gemv], kernels[form.gemm]) === expected[input];
    });
  const warmUp = (): true => {
    for (let call = 0; call < WARM_UP_CALLS; call++) {
      kernels[form.gemm](weights, 0, ROWS, WIDTH, 1, values, scales, sums, COUNT, out, ROWS, scratch);
      kernels[form.gemv](weights, 0, ROWS, WIDTH, 1, values, scales, sums, out, scratch);
    }
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
const TIMED_TOKENS = 8;
const ROUNDS = 24;

function timeGemv(kernels: KernelExports, memory: KernelMemory, forms: readonly Form[]): number[] {
  return timeInTurn(
    memory,
    20,
    forms.map((form) => ({ weights, values, scales, sums, out, scratch }) => {
      kernels[form.gemv](weights, 0, TIMED_ROWS, TIMED_WIDTH, 1, values, scales, sums, out, scratch);
    }),
  );
}

function timeGemm(kernels: KernelExports, memory: KernelMemory, forms: readonly Form[]): number[] {
  return timeInTurn(
    memory,
    3,
    forms.map((form) => ({ weights, values, scales, sums, out, scratch }) => {
      const args = [weights, 0, TIMED_ROWS, TIMED_WIDTH, 1, values, scales, sums] as const;
      kernels[form.gemm](...args, TIMED_TOKENS, out, TIMED_ROWS, scratch);
    }),
  );
}

type Arrays = Readonly<Record<'weights' | 'values' | 'scales' | 'sums' | 'out' | 'scratch', number>>;

/** Microseconds of one call of each, the fastest of many rounds. In turn, so that all see the same noise. */
function timeInTurn(memory: KernelMemory, calls: number, forms: readonly ((arrays: Arrays) => void)[]): number[] {
  if (forms.length === 1) return []; // nothing to choose
  const arrays: Arrays = {
    weights: memory.allocate((TIMED_ROWS * TIMED_WIDTH) / 4),
    values: memory.allocate(TIMED_TOKENS * TIMED_WIDTH),
    scales: memory.allocate(4 * TIMED_TOKENS),
    sums: memory.allocate(4 * TIMED_TOKENS),
    out: memory.allocate(4 * TIMED_TOKENS * TIMED_ROWS),
    scratch: memory.allocate(i2sScratchBytes(TIMED_WIDTH)),
  };
  const best = forms.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, form] of forms.entries()) {
      const start = performance.now();
      for (let call = 0; call < calls; call++) form(arrays);
      const microseconds = (1000 * (performance.now() - start)) / calls;
      if (round >= ROUNDS / 2) best[index] = Math.min(best[index]!, microseconds); // the first rounds compile
    }
  }
  for (const pointer of Object.values(arrays)) memory.free(pointer);
  return best;
}
