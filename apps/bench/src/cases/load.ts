import type { Command } from 'commander';
import type { Loaded, LoadTask } from '../children/load-model.ts';
import { runInChild } from '../child.ts';
import { EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { measure, print, type Subject } from '../measure.ts';
import { modelFile } from '../model-file.ts';
import {
  addOptions,
  commonOptions,
  kernelsOption,
  machineOptions,
  type ModelOptions,
  numericsOption,
  shapeOptions,
} from '../options.ts';

export function addLoadCommand(program: Command, io: Io): void {
  const command = program
    .command('load')
    .description('Measure how long loading a model takes, and how much memory at most.')
    .addHelpText(
      'after',
      `
Each load takes place in a process of its own. From the second on, and so without the warm-up's, the file comes from
the system's page cache. Peak memory is the whole process's, Node included.

Examples:
  bittern-bench load
  bittern-bench load --shape model.gguf --repeats 3 --json

${EXIT_CODES_HELP}`,
    )
    .action((options: ModelOptions) => load(options, io));
  addOptions(command, [
    ...shapeOptions(),
    ...machineOptions(),
    numericsOption(),
    kernelsOption(),
    ...commonOptions({ repeats: 5, warmup: 1 }),
  ]);
}

async function load(options: ModelOptions, io: Io): Promise<void> {
  const { threads: counts, buffer, numerics, kernels, repeats, warmup } = options;
  const { path, sizeBytes, fingerprint } = await modelFile(options, io);
  const flags = new Set<string>();
  const subjects = counts.map((threads): Subject => ({
    name: 'load',
    detail: `${(sizeBytes / 1e6).toFixed(1)} MB`,
    threads,
    limit: 'read',
    bytesPerCall: sizeBytes,
    async sample() {
      const task: LoadTask = { path, options: { threads, numerics, kernels } };
      const { durationMs, peakMemoryBytes, v8Flags } = await runInChild<Loaded>('load-model', task, io.signal);
      for (const flag of v8Flags) flags.add(flag);
      return { durationsMs: [durationMs], peakMemoryBytes };
    },
  }));
  const measured = await measure(subjects, options, io);
  const model = { shape: options.shape, file: path, model: fingerprint, fileBytes: sizeBytes };
  const settings = { ...model, threads: counts, buffer, numerics, kernels, repeats, warmup };
  await print({ command: 'load', settings, ...measured }, options, io, [...flags]);
}
