import { constants } from 'node:fs';
import { access, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { HeadKind, Numerics } from '@bittern/engine';
import { Limits, type LimitsSample, type Summary, summarize, quantile } from '@bittern/measure';
import { sealReceipt } from '@bittern/receipts';
import { signReceipt } from '@bittern/receipts/node';
import { modelUrl } from '@bittern/storyteller';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../errors.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, openModelFile } from '../model-file.ts';
import {
  headOption,
  jsonOption,
  kernelsOption,
  layoutOption,
  numericsOption,
  positiveNumber,
  preOption,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
  tokenizerOption,
  wholeNumber,
} from '../options.ts';
import { ProgressLine, table, writeJson } from '../output.ts';
import { receiptContent } from '../receipt/content.ts';
import { decodeEvidence, sessionFor, type TimedRun, timedRun } from '../receipt/decode.ts';
import { receiptLimits } from '../receipt/machine.ts';
import { modelIdentity } from '../receipt/model-identity.ts';
import { parityWith, readRecording } from '../receipt/parity.ts';
import { loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';

interface BenchmarkOptions extends LoadOptions, TokenizerSelection {
  readonly model?: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly repeats: number;
  readonly warmup: number;
  readonly numerics: Numerics;
  readonly head: HeadKind;
  readonly buffer: number;
  readonly receipt?: string;
  readonly key?: string;
  readonly reference?: string;
  readonly json?: true;
}

const PROMPT =
  'Once upon a time, in a small house at the edge of a wide forest, there lived a girl who wanted to know how everything works.';

export function addBenchmarkCommand(program: Command, io: Io): void {
  program
    .command('benchmark')
    .description('Measure how fast a model is, and leave a receipt that can be verified.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .addOption(new Option('-n, --tokens <count>', 'tokens to generate').default(128).argParser(decodedTokens))
    .addOption(new Option('-p, --prompt <text>', 'text that is evaluated before').default(PROMPT, 'a sentence'))
    .addOption(new Option('--repeats <count>', 'runs that count').default(5).argParser(positiveNumber))
    .addOption(new Option('--warmup <count>', 'runs before, which do not').default(1).argParser(wholeNumber))
    .option('--receipt <file>', 'write a receipt there: what ran, and how fast')
    .option('--key <file>', 'sign it with this ed25519 key (PEM)')
    .option('--reference <folder>', 'compare with this recording of bitnet.cpp, too, and put that in the receipt')
    .addOption(
      new Option(
        '--buffer <MiB>',
        "memory that is streamed through for the machine's limit; much larger than the caches",
      )
        .default(512)
        .argParser(positiveNumber),
    )
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(headOption())
    .addOption(kernelsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Decoding is greedy and does not stop at the end of the text. Each run begins anew; the first token comes out of the
prompt's evaluation. For a receipt kernels count their time, and the machine's limits are measured in turn with the runs.

Examples:
  bittern benchmark -m model.gguf --tokens 128
  bittern benchmark -m model.gguf --receipt receipt.json && bittern verify-receipt receipt.json --model model.gguf --replay 16
  openssl genpkey -algorithm ed25519 -out key.pem && bittern benchmark --receipt receipt.json --key key.pem

${EXIT_CODES_HELP}`,
    )
    .action((options: BenchmarkOptions) => benchmark(options, io));
}

async function benchmark(options: BenchmarkOptions, io: Io): Promise<void> {
  const { model: path = fileURLToPath(modelUrl), tokens, numerics, receipt } = options;
  if (receipt === undefined && (options.key ?? options.reference) !== undefined) {
    throw new UsageError('--key and --reference are for a receipt: give --receipt FILE, too.');
  }
  // Before all that takes long
  if (receipt !== undefined) await access(dirname(receipt), constants.W_OK);
  const key = options.key === undefined ? undefined : await readFile(options.key);
  const recording = options.reference === undefined ? undefined : await readRecording(options.reference);

  await using file = await openModelFile(path, io);
  const loaded = await loadTokenizer(file, options, io);
  const identity = receipt === undefined ? undefined : await modelIdentity(file, io);
  const promptIds = loaded.tokenizer.encode(options.prompt);
  const loadStart = performance.now();
  using model = await file.load(numerics, options);
  const loadMs = performance.now() - loadStart;
  warnIfForeign(loaded, model.config.vocabSize, io);
  const task = { promptIds, tokens, signal: io.signal };
  const room = model.config.contextLength - promptIds.length;
  if (promptIds.length === 0) throw new UsageError('the prompt has no tokens. Give another --prompt.');
  if (tokens > room + 1) {
    throw new UsageError(
      `${tokens} tokens after ${promptIds.length} of the prompt do not fit: the context holds ${model.config.contextLength}.`,
    );
  }

  using session = sessionFor(model, task);
  using progress = new ProgressLine(io);
  progress.show('Warming up');
  const evidence = await decodeEvidence(session, task);
  for (let run = 1; run < options.warmup; run++) await timedRun(model, session, task);

  const runs: TimedRun[] = [];
  const samples: LimitsSample[] = [];
  const bufferBytes = options.buffer * 2 ** 20;
  using limits = receipt === undefined ? undefined : await Limits.start({ threads: model.threads, bufferBytes });
  model.timeKernels(receipt !== undefined);
  limits?.sample(); // its code is compiled now
  for (let run = 0; run < options.repeats; run++) {
    progress.show(`Run ${run + 1} of ${options.repeats}`);
    if (limits) samples.push(limits.sample());
    runs.push(await timedRun(model, session, task));
  }
  model.timeKernels(false);
  if (runs.some(({ times }) => times.ids.join() !== evidence.ids.join())) {
    throw new Error('Two runs decoded other ids. That must never be.');
  }

  if (receipt !== undefined) {
    progress.show('Writing the receipt');
    const parity = recording && (await parityWith(recording, model, loaded.tokenizer, identity!.files[0]!.sha256, io));
    const content = await receiptContent(model, loaded, {
      identity: identity!,
      layout: options.layout,
      request: { tokens, repeats: options.repeats, warmup: options.warmup },
      prompt: { text: options.prompt, ids: promptIds },
      evidence,
      loadMs,
      runs,
      limits: receiptLimits(limits!, samples),
      parity: parity ?? null,
    });
    const sealed = await sealReceipt(content);
    await writeFile(receipt, key ? signReceipt(sealed, key) : sealed);
  }
  progress.clear();
  const document = documentOf(path, promptIds.length, options, model.threads, runs, loadMs);
  await (options.json ? writeJson(io, document) : io.stdout.write(textOf(document)));
}

interface Timing extends Summary {
  readonly p95: number;
}

/** What `--json` prints. Times are milliseconds. */
interface BenchmarkDocument {
  readonly model: string;
  readonly threads: number;
  readonly promptTokens: number;
  readonly tokens: number;
  readonly repeats: number;
  readonly loadMs: number;
  readonly prefill: Timing;
  readonly firstToken: Timing;
  readonly decode: Timing;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly ids: readonly number[];
  readonly receipt: string | null;
}

function documentOf(
  model: string,
  promptTokens: number,
  { tokens, repeats, receipt = undefined }: BenchmarkOptions,
  threads: number,
  runs: readonly TimedRun[],
  loadMs: number,
): BenchmarkDocument {
  const timing = (milliseconds: readonly number[]): Timing => ({
    ...summarize(milliseconds),
    p95: quantile(milliseconds, 0.95),
  });
  const prefill = timing(runs.map(({ times }) => times.prefillMs));
  const decode = timing(runs.flatMap(({ times }) => times.decodeMs));
  return {
    model,
    threads,
    promptTokens,
    tokens,
    repeats,
    loadMs,
    prefill,
    firstToken: timing(runs.map(({ times }) => times.firstTokenMs)),
    decode,
    prefillTokensPerSecond: (1000 * promptTokens) / prefill.median,
    decodeTokensPerSecond: 1000 / decode.median,
    ids: runs[0]!.times.ids,
    receipt: receipt ?? null,
  };
}

function textOf(document: BenchmarkDocument): string {
  const { model, threads, promptTokens, tokens, repeats, prefill, firstToken, decode, receipt } = document;
  const row = (name: string, { median, p95, p10, p90 }: Timing, rate = ''): string[] => [
    name,
    median.toFixed(2),
    p95.toFixed(2),
    `${p10.toFixed(2)} to ${p90.toFixed(2)}`,
    rate,
  ];
  return [
    `${model}: ${promptTokens} tokens of a prompt, ${tokens} generated, ${repeats} runs, ${threads} thread${threads === 1 ? '' : 's'}\n\n`,
    table([
      ['ms', 'median', 'p95', 'p10 to p90', 'tokens/s'],
      row('prefill', prefill, document.prefillTokensPerSecond.toFixed(1)),
      row('first token', firstToken),
      row('decode step', decode, document.decodeTokensPerSecond.toFixed(1)),
    ]),
    receipt === null ? '' : `\nreceipt: ${receipt}\n`,
  ].join('');
}

function decodedTokens(text: string): number {
  const value = wholeNumber(text);
  if (value < 2)
    throw new InvalidArgumentError("It must be from 2 up: the first comes out of the prompt's evaluation.");
  return value;
}
