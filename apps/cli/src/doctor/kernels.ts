import { availableParallelism } from 'node:os';
import { KERNEL_VARIANTS, KernelError, type KernelVariant, loadKernels, type WasmKernels } from '@bittern/kernels';
import { ConformanceError, conformanceCases } from '@bittern/kernels/conformance';
import { MOST_THREADS } from '../environment.ts';
import type { Io } from '../io.ts';
import type { ProgressLine } from '../output.ts';
import type { Check } from './check.ts';
import { processor } from './machine.ts';

const UPDATE = 'Use a newer version of Node.';

/**
 * Each variant of the kernels: it compiles, its multiply-add is fused, and its ternary products are right before and after
 * V8's optimizing compiler has run.
 *
 * @param full - also every operation against the plain reference: some 10 s each
 */
export async function checkVariants(full: boolean, progress: ProgressLine, { signal }: Io): Promise<Check[]> {
  const checks: Check[] = [];
  for (const variant of KERNEL_VARIANTS) {
    progress.show(`${variant} kernels`);
    const name = `kernels ${variant}`;
    // What must work everywhere is `simd128`; without `relaxed` results are the same.
    const status = variant === 'simd128' ? 'failed' : 'gap';
    checks.push(
      await attempt(name, status, async () => {
        const kernels = await loadKernels({ variant, revectorize: true });
        const found = ['self-test right', ...choiceLines(kernels)];
        if (full) found.push(await conform(kernels, variant, progress, signal));
        return { name, status: 'ok', found };
      }),
    );
  }
  return checks;
}

/** Threads that share a memory, each doing its part of one operation. */
export async function checkThreads(io: Io): Promise<Check> {
  const name = 'threads';
  const threads = Math.min(Math.max(2, availableParallelism()), MOST_THREADS);
  const check = await attempt(name, 'gap', async () => {
    const kernels = await loadKernels({ threads });
    try {
      if (!sharesWork(kernels)) {
        return { name, status: 'failed', found: [`${threads} threads compute wrong sums`], next: UPDATE };
      }
    } finally {
      kernels.dispose();
    }
    const started = `${threads} started over one SharedArrayBuffer, ${kernels.variant} kernels, sums right`;
    return { name, status: 'ok', found: [processor(), started] };
  });
  io.signal.throwIfAborted();
  if (check.status !== 'ok' || availableParallelism() > 1) return check;
  return { ...check, status: 'gap', next: 'More than one core would share the work of a large model.' };
}

async function attempt(name: string, status: 'gap' | 'failed', run: () => Promise<Check>): Promise<Check> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof KernelError) return { name, status, found: [error.message], next: UPDATE };
    if (error instanceof ConformanceError) return { name, status: 'failed', found: [error.message], next: UPDATE };
    throw error;
  }
}

/** Which ternary products run, of which that were tried. */
function choiceLines({ choice: { gemv, gemm, tried } }: WasmKernels): string[] {
  const wrong = tried.filter(({ exact }) => !exact).map(({ id }) => id);
  return [
    `ternary products: ${gemv} for one row, ${gemm} for several; of ${tried.length} tried`,
    ...(wrong.length === 0 ? [] : [`not used, because they are wrong here: ${wrong.join(', ')}`]),
  ];
}

async function conform(
  kernels: WasmKernels,
  variant: KernelVariant,
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<string> {
  const cases = conformanceCases();
  let values = 0;
  for (const [index, testCase] of cases.entries()) {
    progress.show(`${variant} kernels: ${index + 1} of ${cases.length}`);
    values += testCase.run(kernels);
    await new Promise(setImmediate); // so that Ctrl-C arrives
    signal.throwIfAborted();
  }
  return `conformance: ${cases.length} cases, ${values} values, no differing bit`;
}

const WIDTH = 4096;

/** Sums that are known, of which each thread computes a part. */
function sharesWork(kernels: WasmKernels): boolean {
  const [a, b] = [kernels.memory.allocate(4 * WIDTH), kernels.memory.allocate(4 * WIDTH)];
  kernels.memory.f32(a, WIDTH).set(Array.from({ length: WIDTH }, (_, index) => index));
  kernels.memory.f32(b, WIDTH).fill(0.5);
  kernels.add(a, b, WIDTH, a);
  kernels.flush();
  return kernels.memory.f32(a, WIDTH).every((value, index) => value === index + 0.5);
}
