import { performance } from 'node:perf_hooks';
import type { Model } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { countedSample } from '../counted.ts';
import { EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { measure, print, type Subject } from '../measure.ts';
import { modelFile } from '../model-file.ts';
import { promptIds, requireContext, ternaryOperations, withModels } from '../model.ts';
import {
  addOptions,
  commonOptions,
  kernelsOption,
  machineOptions,
  type ModelOptions,
  numericsOption,
  positives,
  shapeOptions,
} from '../options.ts';
import { withTernaryLayers } from '../ternary-layer.ts';

interface PrefillOptions extends ModelOptions {
  readonly tokens: readonly number[];
}

export function addPrefillCommand(program: Command, io: Io): void {
  const command = program
    .command('prefill')
    .description('Measure the evaluation of a prompt.')
    .addHelpText(
      'after',
      `
A call is a whole prompt. Its operations are those of the ternary matrices, at 2 for each weight and token; the rows
"ternary GEMM" are those products alone, for the matrices of one layer.

Examples:
  bittern-bench prefill --tokens 128,512
  bittern-bench prefill --shape tiny --threads 1,2

${EXIT_CODES_HELP}`,
    )
    .action((options: PrefillOptions) => prefill(options, io));
  addOptions(command, [
    ...shapeOptions(),
    ...machineOptions(),
    new Option('--tokens <counts>', 'length of the prompt, or several lengths').default([128]).argParser(positives),
    numericsOption(),
    kernelsOption(),
    ...commonOptions({ repeats: 7, warmup: 1 }),
  ]);
}

async function prefill(options: PrefillOptions, io: Io): Promise<void> {
  const { threads, buffer, tokens, numerics, repeats, warmup } = options;
  const file = await modelFile(options, io);
  await withModels(file.path, options, io, async (models) => {
    await withTernaryLayers(models[0]!.config, options, async (products) => {
      const subjects = models.flatMap((model) => tokens.map((count) => prefillSubject(model, count)));
      const measured = await measure([...subjects, ...products], options, io);
      const { kernelVariant: kernels, kernelChoice } = models[0]!;
      const ternary = [kernelChoice.gemv, kernelChoice.gemm];
      const model = { shape: options.shape, file: file.path, model: file.fingerprint };
      const settings = { ...model, threads, buffer, tokens, numerics, kernels, ternary, repeats, warmup };
      await print({ command: 'prefill', settings, ...measured }, options, io);
    });
  });
}

function prefillSubject(model: Model, tokens: number): Subject {
  requireContext(model, tokens);
  const session = model.createSession({ contextLength: tokens });
  const ids = promptIds(tokens, model);
  return {
    name: 'prefill',
    detail: `${tokens} tokens`,
    threads: model.threads,
    limit: 'int8',
    tokensPerCall: tokens,
    operationsPerCall: ternaryOperations(model, tokens),
    sample: () =>
      countedSample(model, async () => {
        session.reset();
        const start = performance.now();
        await session.evaluate(ids);
        return { durationsMs: [performance.now() - start] };
      }),
  };
}
