import { randomInt } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { argmax, createSampler, generate, type Numerics, prefill } from '@bittern/engine';
import { modelUrl } from '@bittern/storyteller';
import { type Command, Option } from 'commander';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, openModelFile, sha256OfFile } from '../model-file.ts';
import {
  jsonOption,
  layoutOption,
  nonNegative,
  numericsOption,
  seedNumber,
  wholeNumber,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
} from '../options.ts';
import { writeJson } from '../output.ts';

interface RunOptions extends LoadOptions {
  readonly model?: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly greedy?: true;
  readonly seed?: number;
  readonly temperature: number;
  readonly topK: number;
  readonly numerics: Numerics;
  readonly json?: true;
}

export function addRunCommand(program: Command, io: Io): void {
  program
    .command('run')
    .description('Print the prompt and how the model continues it.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .requiredOption('-p, --prompt <text>', 'the text to continue')
    .addOption(new Option('-n, --tokens <count>', 'most tokens to generate').default(64).argParser(wholeNumber))
    .addOption(new Option('--greedy', 'always take the most likely token').conflicts(['seed', 'temperature', 'topK']))
    .addOption(new Option('--seed <number>', 'repeats a run exactly (default: random)').argParser(seedNumber))
    .addOption(
      new Option('--temperature <number>', 'divides the logits; 0 is greedy').default(0.8).argParser(nonNegative),
    )
    .addOption(
      new Option('--top-k <count>', 'choose among this many tokens; 0 is all').default(40).argParser(wholeNumber),
    )
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The text is printed as it comes, the seed and timings on stderr.

Examples:
  bittern run -p "Once upon a time" -n 64
  bittern run -m model.gguf -p "Once upon a time" --seed 7

${EXIT_CODES_HELP}`,
    )
    .action((options: RunOptions) => run(options, io));
}

async function run(options: RunOptions, io: Io): Promise<void> {
  const { model: path = fileURLToPath(modelUrl), prompt, tokens: maxTokens, numerics, json } = options;
  const { signal } = io;
  const sampling = options.greedy
    ? undefined
    : { seed: options.seed ?? randomInt(2 ** 32), temperature: options.temperature, topK: options.topK };
  const sampler = sampling ? createSampler(sampling) : argmax;

  await using file = await openModelFile(path, io);
  const tokenizer = file.tokenizer();
  using model = await file.load(numerics, options);
  using session = model.createSession();
  const ids = tokenizer.encode(prompt);

  const prefillStart = performance.now();
  const logits = await prefill(session, ids, 'batch-last', { signal });
  const decodeStart = performance.now();
  if (sampling) io.stderr.write(`seed ${sampling.seed}\n`);

  const text = tokenizer.decodeStream({ skipSpecial: true });
  const generated: number[] = [];
  let continuation = '';
  const emit = async (piece: string): Promise<void> => {
    continuation += piece;
    if (!json && piece !== '') await io.stdout.write(piece);
  };
  if (!json) await io.stdout.write(prompt);
  for await (const id of generate(session, logits, { maxTokens, sampler, stopIds: tokenizer.eogIds, signal })) {
    generated.push(id);
    await emit(text.push(id));
  }
  await emit(text.flush());
  if (!json) await io.stdout.write('\n');
  const end = performance.now();

  // The first token comes out of the prompt's evaluation, each later one takes one of its own.
  const evaluated = session.position - ids.length;
  io.stderr.write(
    `prefill ${rate(ids.length, decodeStart - prefillStart)}, decode ${rate(evaluated, end - decodeStart)}\n`,
  );
  const last = generated.at(-1);
  const stop =
    last !== undefined && tokenizer.eogIds.has(last)
      ? 'end-of-text'
      : generated.length < maxTokens
        ? 'context'
        : 'count';
  if (stop === 'context') io.stderr.write(`stopped: the context of ${session.contextLength} tokens is full\n`);
  if (json) {
    await writeJson(io, {
      model: { file: path, sha256: await sha256OfFile(path, signal) },
      numerics,
      sampling: sampling ?? 'greedy',
      prompt,
      ids,
      generated,
      text: continuation,
      stop,
    });
  }
}

function rate(tokens: number, durationMs: number): string {
  const perSecond = tokens === 0 ? '' : `, ${((1000 * tokens) / durationMs).toFixed(1)} tokens/s`;
  return `${tokens} tokens in ${(durationMs / 1000).toFixed(2)} s${perSecond}`;
}
