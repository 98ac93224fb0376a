import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { End, HeadKind, Numerics, Piece } from '@bittern/engine';
import { modelUrl } from '@bittern/storyteller';
import { type Command, Option } from 'commander';
import { type ChatSelection, startChat } from '../chat.ts';
import { readEnvironment } from '../environment.ts';
import { UsageError } from '../errors.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { kernelReport } from '../kernel-report.ts';
import { type LoadOptions, openModelFile, sha256OfFile } from '../model-file.ts';
import {
  headOption,
  jsonOption,
  layoutOption,
  numericsOption,
  preOption,
  progressOption,
  systemOption,
  templateOption,
  tokenizerOption,
  wholeNumber,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
} from '../options.ts';
import { writeJson } from '../output.ts';
import {
  addSamplingOptions,
  refuseUnlessScreenable,
  samplingOf,
  type SamplingOptions,
  sessionOf,
  stopsOf,
} from '../sampling-options.ts';
import { LiveSpeed, timing, timingText } from '../speed.ts';
import { identityOf, loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';

interface RunOptions extends LoadOptions, TokenizerSelection, ChatSelection, SamplingOptions {
  readonly model?: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly logprobs?: number;
  readonly numerics: Numerics;
  readonly head: HeadKind;
  readonly progress?: true;
  readonly json?: true;
}

export function addRunCommand(program: Command, io: Io): void {
  const command = program
    .command('run')
    .description('Print the prompt and how the model continues it.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .requiredOption('-p, --prompt <text>', 'the text to continue')
    .addOption(new Option('-n, --tokens <count>', 'most tokens to generate').default(64).argParser(wholeNumber));
  addSamplingOptions(command)
    .addOption(templateOption('raw, the text as it is'))
    .addOption(systemOption())
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(headOption())
    .addOption(
      new Option(
        '--logprobs <count>',
        'with --json: log-probabilities of each token and of this many others',
      ).argParser(wholeNumber),
    )
    .addOption(progressOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The text is printed as it comes, the seed and timings on stderr. With a chat template
only the answer is printed; it ends before the template's stop tokens and strings.
Tokens are chosen in this order: --repeat-penalty, --top-k, --top-p, --min-p,
--temperature, then a random number. BITNET_SEED is the seed where --seed is not given,
BITNET_DETERMINISTIC=1 makes it 0; RAYON_NUM_THREADS or OMP_NUM_THREADS is --threads.
--head screened wants --greedy or a --top-k, no --repeat-penalty and no --logprobs.
--json tells what each kernel did, too.

Examples:
  bittern run -p "Once upon a time" -n 64
  bittern run -m model.gguf -p "Once upon a time" --seed 7 --top-p 0.95 --stop "The end"
  bittern run -m model.gguf -p "Once upon a time" --greedy --head screened
  bittern run -m model.gguf --template auto --system "Be brief." -p "Why is the sky blue?"

${EXIT_CODES_HELP}`,
    )
    .action((options: RunOptions) => run(options, io));
}

async function run(options: RunOptions, io: Io): Promise<void> {
  const { model: path = fileURLToPath(modelUrl), prompt, tokens: maxTokens, numerics, logprobs, json } = options;
  const { signal } = io;
  if (logprobs !== undefined && !json) throw new UsageError('--logprobs is for --json.');
  const { variables } = readEnvironment(io);
  const sampling = samplingOf(options, io);
  refuseUnlessScreenable(options.head, sampling);
  if (options.head === 'screened' && logprobs !== undefined) {
    throw new UsageError('--head screened computes only the largest logits, and --logprobs takes the sum over all.');
  }

  await using file = await openModelFile(path, io);
  const loaded = await loadTokenizer(file, options, io);
  const { template, reason, messages } = startChat(loaded, prompt, options);
  const { ids, text: rendered } = template.encode(messages);
  if (options.template !== undefined) io.stderr.write(`template ${template.id}: ${reason}\n`);
  using model = await file.load(numerics, options, loaded.tokenizer);
  warnIfForeign(loaded, model.config.vocabSize, io);
  using session = sessionOf(model, options.head, sampling);
  model.resetCounters();
  model.timeKernels(json === true);

  const pieces: Piece[] = [];
  const prefillStart = performance.now();
  let decodeStart = prefillStart;
  using speed = new LiveSpeed(io, { asLines: options.progress === true, printsText: !json });
  const generated = session.generate(ids, {
    ...sampling,
    ...stopsOf(options, template),
    maxTokens,
    ...(logprobs !== undefined && { logprobs }),
    signal,
    onPrompt() {
      decodeStart = performance.now();
      speed.start();
      if (!options.greedy) io.stderr.write(`seed ${sampling.seed}\n`);
    },
  });
  let isFirst = true;
  const print = async (text: string): Promise<void> => {
    if (json) return;
    const before = isFirst && template.id === 'raw' ? rendered : '';
    isFirst = false;
    if (before !== '') await io.stdout.write(before);
    if (text !== '') await io.stdout.write(text);
  };
  for await (const piece of generated) {
    pieces.push(piece);
    await print(piece.text);
    speed.count();
  }
  await print('\n');
  speed[Symbol.dispose]();
  const decodeEnd = performance.now();
  const kernels = kernelReport(model);

  const prefill = timing(ids.length, decodeStart - prefillStart);
  // The first token comes out of the prompt's evaluation, each later one takes one of its own.
  const decode = timing(session.position - ids.length, decodeEnd - decodeStart);
  io.stderr.write(`prefill ${timingText(prefill)}, decode ${timingText(decode)}\n`);
  const { end: stop = 'count' satisfies End, stop: stopString } = pieces.at(-1) ?? {};
  if (stop === 'context') io.stderr.write(`stopped: the context of ${session.contextLength} tokens is full\n`);
  if (json) {
    await writeJson(io, {
      model: { file: path, sha256: await sha256OfFile(path, signal) },
      numerics,
      sampling: options.greedy && sampling.repetitionPenalty === 1 ? 'greedy' : sampling,
      environment: variables,
      threads: model.threads,
      tokenizer: identityOf(loaded),
      template: { id: template.id, reason, text: rendered },
      prompt,
      ids,
      generated: pieces.map(({ id }) => id),
      text: pieces.map(({ text }) => text).join(''),
      ...(logprobs !== undefined && { logprobs: pieces.map(({ logprob, top }) => ({ logprob, top })) }),
      stop,
      ...(stopString !== undefined && { stopString }),
      head: options.head,
      timings: { prefill, decode },
      kernels,
    });
  }
}
