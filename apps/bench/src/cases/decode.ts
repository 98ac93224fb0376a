import { performance } from 'node:perf_hooks';
import { argmax, type Model, prefill, type Session } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { measure, print, type Sample, type Subject } from '../measure.ts';
import { modelFile } from '../model-file.ts';
import { promptIds, requireContext, streamedBytes, withModels } from '../model.ts';
import {
  addOptions,
  commonOptions,
  kernelsOption,
  machineOptions,
  type ModelOptions,
  numericsOption,
  positive,
  shapeOptions,
} from '../options.ts';

interface DecodeOptions extends ModelOptions {
  readonly prompt: number;
  readonly steps: number;
}

export function addDecodeCommand(program: Command, io: Io): void {
  const command = program
    .command('decode')
    .description('Measure greedy decoding, token by token.')
    .addHelpText(
      'after',
      `
A call is one token: its evaluation and the choice of the next. Its bytes are all weights, the head and the keys and
values of the tokens before, each of which has to be read once.

Examples:
  bittern-bench decode
  bittern-bench decode --shape model.gguf --threads 1,2 --json

${EXIT_CODES_HELP}`,
    )
    .action((options: DecodeOptions) => decode(options, io));
  addOptions(command, [
    ...shapeOptions(),
    ...machineOptions(),
    new Option('--prompt <tokens>', 'tokens before the first that is measured').default(128).argParser(positive),
    new Option('--steps <tokens>', 'tokens in each round').default(8).argParser(positive),
    numericsOption(),
    kernelsOption(),
    ...commonOptions({ repeats: 10, warmup: 2 }),
  ]);
}

async function decode(options: DecodeOptions, io: Io): Promise<void> {
  const { threads, buffer, numerics, prompt, steps, repeats, warmup } = options;
  const file = await modelFile(options, io);
  await withModels(file.path, options, io, async (models) => {
    const contextLength = prompt + steps * (warmup + repeats);
    const subjects: Subject[] = [];
    for (const model of models) {
      requireContext(model, contextLength);
      const session = model.createSession({ contextLength });
      const logits = await prefill(session, promptIds(prompt, model), 'batch-last', { signal: io.signal });
      subjects.push(decodeSubject(model, session, argmax(logits), options));
    }
    const measured = await measure(subjects, options, io);
    const kernels = models[0]!.kernelVariant;
    const settings = { file: file.path, threads, buffer, numerics, kernels, prompt, steps, repeats, warmup };
    await print({ command: 'decode', settings, ...measured }, options, io);
  });
}

function decodeSubject(
  model: Model,
  session: Session,
  first: number,
  { prompt, steps, warmup }: DecodeOptions,
): Subject {
  let id = first;
  return {
    name: 'decode',
    detail: `after ${prompt} tokens`,
    threads: model.threads,
    limit: 'read',
    tokensPerCall: 1,
    /** At the position in the middle of those measured. */
    bytesPerCall: () => streamedBytes(model, (prompt + warmup * steps + session.position) / 2),
    async sample(): Promise<Sample> {
      const durationsMs: number[] = [];
      for (let step = 0; step < steps; step++) {
        const start = performance.now();
        id = argmax(await session.evaluate([id]));
        durationsMs.push(performance.now() - start);
      }
      return { durationsMs };
    },
  };
}
