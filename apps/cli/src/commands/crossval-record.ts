import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recordSide } from '@bittern/crossval';
import { EVALUATION_MODES } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { DEFAULT_LIVE_TOKENS } from '../crossval/options.ts';
import { positiveNumber } from '../options.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { openLiveBitnet } from '../live/compare-bitnet.ts';
import { promptsFor } from '../live/live-cases.ts';
import { ProgressLine } from '../output.ts';

interface RecordOptions {
  readonly cppBackend: 'bitnet';
  readonly model: string;
  readonly output: string;
  readonly prompt?: readonly string[];
  readonly special?: true;
  readonly maxTokens: number;
  readonly traceValues?: true;
}

/** @param crossval - the command that this is part of */
export function addCrossvalRecordCommand(crossval: Command, io: Io): void {
  crossval
    .command('record')
    .description('Record what a running reference computes, for comparisons without it.')
    .addOption(
      new Option('--cpp-backend <name>', 'the reference; a recording holds the bits of a bitnet.cpp')
        .choices(['bitnet'])
        .makeOptionMandatory(),
    )
    .requiredOption('-m, --model <file>', 'GGUF file that the reference reads')
    .requiredOption('-o, --output <folder>', 'new folder for recording.json and values.safetensors')
    .option('-p, --prompt <text...>', 'record these prompts (default: a few)')
    .option('--special', 'special tokens written in a prompt become these tokens')
    .addOption(
      new Option('-n, --max-tokens <count>', 'greedy ids after each')
        .argParser(positiveNumber)
        .default(DEFAULT_LIVE_TOKENS),
    )
    .option('--trace-values', 'keep the values of every traced operation, not only digests')
    .addHelpText(
      'after',
      `
Examples:
  bittern crossval record --cpp-backend bitnet -m model.gguf -o recordings/model
  bittern crossval record --cpp-backend bitnet -m model.gguf -o out -p "Once upon a time" -n 64

${EXIT_CODES_HELP}`,
    )
    .action((options: RecordOptions) => record(options, io));
}

async function record(options: RecordOptions, io: Io): Promise<void> {
  const { model, output, prompt, special, maxTokens, traceValues } = options;
  const given = prompt?.map((text) => ({ text, parseSpecial: special === true }));
  const request = { prompts: promptsFor(given, undefined), modes: EVALUATION_MODES, greedyCount: maxTokens };
  // Before the work, so that a folder that is there stops it.
  await mkdir(output);
  try {
    await using live = await openLiveBitnet(model, request, io);
    using progress = new ProgressLine(io);
    const { json, values } = await recordSide({
      side: live.side,
      id: live.numerics,
      cases: live.cases,
      context: live.context,
      traceValues: traceValues === true,
      signal: io.signal,
      onProgress: ({ case: id, done, total }) => progress.show(`bitnet.cpp: case ${done + 1} of ${total} (${id})`),
    });
    await writeFile(join(output, 'values.safetensors'), values);
    await writeFile(join(output, 'recording.json'), json);
    await io.stdout.write(`${live.cases.length} cases recorded in ${output}\n`);
  } catch (error) {
    // It is ours: mkdir made it.
    await rm(output, { recursive: true, force: true });
    throw error;
  }
}
