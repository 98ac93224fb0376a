import { loadKernels, type WasmKernels } from '@bittern/kernels';
import { type Command, Option } from 'commander';
import { countedSample } from '../counted.ts';
import { EXIT_CODES_HELP, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { kernelCalls } from '../kernel-calls.ts';
import { measure, print } from '../measure.ts';
import {
  addOptions,
  commonOptions,
  kernelsOption,
  machineOptions,
  type ModelOptions,
  numericsOption,
  positive,
} from '../options.ts';
import { RepeatedCall } from '../repeated-call.ts';
import { SHAPES, type ShapeName } from '../synthetic-model.ts';

interface KernelsOptions extends Omit<ModelOptions, 'shape'> {
  readonly shape: ShapeName;
  readonly tokens: number;
  readonly only?: string;
}

export function addKernelsCommand(program: Command, io: Io): void {
  const command = program
    .command('kernels')
    .description('Measure each kernel at the shapes of a model.')
    .addHelpText(
      'after',
      `
"stream" walks through a buffer much larger than the caches, as decoding does; "hot" repeats one call on the same data.
GB/s counts what a call reads and writes once, GOPS products and sums.

Examples:
  bittern-bench kernels --only i2s
  bittern-bench kernels --kernels simd128 --threads 1 --json

${EXIT_CODES_HELP}`,
    )
    .action((options: KernelsOptions) => kernels(options, io));
  addOptions(command, [
    new Option('--shape <shape>', 'whose matrices and vectors').choices(Object.keys(SHAPES)).default('2b4t'),
    ...machineOptions(),
    new Option('--tokens <count>', 'rows of the products of a prompt').default(128).argParser(positive),
    new Option('--only <text>', 'only kernels whose name contains this'),
    numericsOption(),
    kernelsOption(),
    ...commonOptions({ repeats: 10, warmup: 3 }),
  ]);
}

async function kernels(options: KernelsOptions, io: Io): Promise<void> {
  const { shape, threads: counts, buffer, tokens, only, numerics, repeats, warmup } = options;
  const all: WasmKernels[] = [];
  try {
    for (const threads of counts) all.push(await loadKernels({ variant: options.kernels, threads, revectorize: true }));
    const subjects = all.flatMap((loaded) => {
      const streamBytes = buffer * 2 ** 20;
      const calls = kernelCalls(loaded, SHAPES[shape], { tokens, streamBytes, lanes: numerics === 'avx512' ? 16 : 8 });
      return calls
        .filter(({ name }) => name.includes(only ?? ''))
        .map(({ call, ...described }) => {
          const repeated = new RepeatedCall(loaded, call);
          return {
            ...described,
            threads: loaded.threads,
            sample: () => countedSample(loaded, () => repeated.sample()),
          };
        });
    });
    if (subjects.length === 0) throw new UsageError(`No kernel's name contains "${only}".`);
    const measured = await measure(subjects, options, io);
    const { variant, choice } = all[0]!;
    const ternary = [choice.gemv, choice.gemm];
    const described = { shape, threads: counts, buffer, tokens, only, numerics, kernels: variant, ternary };
    const settings = { ...described, repeats, warmup };
    await print({ command: 'kernels', settings, ...measured }, options, io);
  } finally {
    for (const loaded of all) loaded.dispose();
  }
}
