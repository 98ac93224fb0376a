import { summarize } from '@bittern/measure';
import type { Command } from 'commander';
import { runInChild } from '../child.ts';
import type { Opened, OpenTask } from '../children/open-gguf.ts';
import { BenchError, EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { print, takeTurns } from '../measure.ts';
import { modelFile } from '../model-file.ts';
import { addOptions, type CommonOptions, commonOptions, shapeOptions } from '../options.ts';
import type { ResultRow } from '../report.ts';

interface GgufOptions extends CommonOptions {
  readonly shape: string;
  readonly cacheDir?: string;
}

type Engine = OpenTask['engine'];
const ENGINES: readonly Engine[] = ['@bittern/gguf-parser', '@huggingface/gguf'];

export function addGgufCommand(program: Command, io: Io): void {
  const command = program
    .command('gguf')
    .description('Measure how long opening a GGUF file takes and how much memory, beside @huggingface/gguf.')
    .addHelpText(
      'after',
      `
Both open the same file in turn, each time in a process of its own that has loaded its code. @huggingface/gguf reads all
values at once; ours makes text of them when it is asked for, so that there is a second row in which all are asked for.
Added memory is what the peak grew by.

Examples:
  bittern-bench gguf
  bittern-bench gguf --shape model.gguf --repeats 20

${EXIT_CODES_HELP}`,
    )
    .action((options: GgufOptions) => gguf(options, io));
  addOptions(command, [...shapeOptions(), ...commonOptions({ repeats: 10, warmup: 1 })]);
}

async function gguf(options: GgufOptions, io: Io): Promise<void> {
  const { shape, repeats, warmup } = options;
  const { path, fingerprint } = await modelFile(options, io);
  const recordings = [false, true].flatMap((values) =>
    ENGINES.map((engine) => ({ engine, values, opened: [] as Opened[] })),
  );
  const turns = recordings.map(({ opened, ...task }) => ({
    async take(isWarmup: boolean) {
      const result = await runInChild<Opened>('open-gguf', { ...task, path } satisfies OpenTask, io.signal);
      if (!isWarmup) opened.push(result);
    },
  }));
  await takeTurns(turns, options, io);

  const counts = new Set(recordings.flatMap(({ opened }) => opened.map(({ tensors }) => tensors)));
  if (counts.size > 1) throw new BenchError(`They do not find the same number of tensors: ${[...counts].join(', ')}.`);
  const results = recordings.map(({ engine, values, opened }): ResultRow => ({
    name: engine,
    detail: values ? 'open, all values' : 'open',
    durationMs: summarize(opened.map(({ durationMs }) => durationMs)),
    peakMemoryBytes: summarize(opened.map(({ peakMemoryBytes }) => peakMemoryBytes)),
    addedMemoryBytes: summarize(opened.map(({ addedMemoryBytes }) => addedMemoryBytes)),
  }));
  const settings = { shape, file: path, model: fingerprint, tensors: [...counts][0], repeats, warmup };
  await print({ command: 'gguf', settings, limits: [], results }, options, io);
}
