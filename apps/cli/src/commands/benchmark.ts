import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { type HeadKind, KV_TYPES, type KvType, type Numerics } from '@bittern/engine';
import { Limits, type LimitsSample, type Summary, summarize, quantile } from '@bittern/measure';
import { type ModelEvidence, sealReceipt } from '@bittern/receipts';
import { modelUrl } from '@bittern/storyteller';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../errors.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, type ModelFile, openModelFile } from '../model-file.ts';
import {
  headOption,
  jsonOption,
  kernelsOption,
  layoutOption,
  numericsOption,
  preOption,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
  tokenizerOption,
  wholeNumber,
  wholeNumberFrom,
} from '../options.ts';
import { ProgressLine, table, writeJson } from '../output.ts';
import { receiptContent } from '../receipt/content.ts';
import { decodeEvidence, sessionFor, type TimedRun, timedRun } from '../receipt/decode.ts';
import { receiptLimits } from '../receipt/machine.ts';
import { modelIdentity } from '../receipt/model-identity.ts';
import { type ParityReference, parityReference, parityWith } from '../receipt/parity.ts';
import { type ReceiptWriter, receiptWriter } from '../receipt/write.ts';
import { loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';

interface BenchmarkOptions extends LoadOptions, TokenizerSelection {
  readonly model?: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly repeats: number;
  readonly warmup: number;
  readonly numerics: Numerics;
  readonly head: HeadKind;
  readonly kvType: KvType;
  readonly buffer: number;
  readonly receipt?: string;
  readonly key?: string;
  readonly reference?: string;
  readonly json?: true;
}

const PROMPT =
  'Once upon a time, in a small house at the edge of a wide forest, there lived a girl who wanted to know how everything works.';

/**
 * Samples of the machine's limits before each run. They are short, so that on a machine that does other things, too, some of
 * them are not disturbed: the fastest counts.
 */
const LIMIT_SAMPLES = 8;
const LIMIT_SIZES = { operations: 2.5e8, cachedBytes: 2 ** 26 } as const;

/** More does not fit in a receipt. */
const MOST_RUNS = 1000;

/** WebAssembly's memory ends at 4096 MiB, and threads have some of their own. */
const MOST_BUFFER_MIB = 4080;

export function addBenchmarkCommand(program: Command, io: Io): void {
  program
    .command('benchmark')
    .description('Measure how fast a model is, and leave a receipt that can be verified.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .addOption(new Option('-n, --tokens <count>', 'tokens to generate').default(128).argParser(decodedTokens))
    .addOption(new Option('-p, --prompt <text>', 'text that is evaluated before').default(PROMPT, 'a sentence'))
    .addOption(new Option('--repeats <count>', 'runs that count').default(7).argParser(wholeNumberFrom(1, MOST_RUNS)))
    .addOption(
      new Option('--warmup <count>', 'runs before, which do not').default(1).argParser(wholeNumberFrom(0, MOST_RUNS)),
    )
    .option('--receipt <file>', 'write a receipt there: what ran, and how fast')
    .option('--key <file>', 'sign it with this ed25519 key (PEM)')
    .option('--reference <folder>', 'compare with this recording of bitnet.cpp, too, and put that in the receipt')
    .addOption(
      new Option(
        '--buffer <MiB>',
        "memory that is streamed through for the machine's limit; much larger than the caches",
      )
        .default(512)
        .argParser(wholeNumberFrom(1, MOST_BUFFER_MIB)),
    )
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(headOption())
    .addOption(
      new Option('--kv-type <type>', 'how the cache keeps keys and values; f32 has other bits')
        .choices([...KV_TYPES])
        .default('f16'),
    )
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
  const { model: path = fileURLToPath(modelUrl), tokens, numerics, repeats, warmup } = options;
  await using file = await openModelFile(path, io);
  const loaded = await loadTokenizer(file, options, io);
  const plan = await receiptPlan(file, options, io);
  const promptIds = loaded.tokenizer.encode(options.prompt);
  if (promptIds.length === 0) throw new UsageError('the prompt has no tokens. Give another --prompt.');
  const loadStart = performance.now();
  using model = await file.load(numerics, options);
  const loadMs = performance.now() - loadStart;
  warnIfForeign(loaded, model.config.vocabSize, io);
  const { contextLength } = model.config;
  if (promptIds.length + tokens - 1 > contextLength) {
    throw new UsageError(
      `${tokens} tokens after ${promptIds.length} of the prompt do not fit: the context holds ${contextLength}.`,
    );
  }

  const task = { promptIds, tokens, kvType: options.kvType, signal: io.signal };
  using session = sessionFor(model, task);
  using progress = new ProgressLine(io);
  progress.show('Warming up');
  // The first warm-up, which takes place always: it shows which ids are right.
  const evidence = await decodeEvidence(session, task);
  for (let run = 1; run < warmup; run++) await timedRun(model, session, task);

  const bufferBytes = options.buffer * 2 ** 20;
  using limits = plan && (await Limits.start({ threads: model.threads, bufferBytes, ...LIMIT_SIZES }));
  limits?.sample(); // compiles it
  model.timeKernels(plan !== undefined);
  const runs: TimedRun[] = [];
  const samples: LimitsSample[] = [];
  for (let run = 0; run < repeats; run++) {
    progress.show(`Run ${run + 1} of ${repeats}`);
    if (limits) samples.push(...Array.from({ length: LIMIT_SAMPLES }, () => limits.sample()));
    runs.push(await timedRun(model, session, task));
  }
  model.timeKernels(false);
  if (runs.some(({ times }) => times.ids.join() !== evidence.ids.join())) {
    throw new Error('Two runs decoded other ids. That must never be.');
  }

  if (plan && limits) {
    progress.show('Writing the receipt');
    const { identity, reference } = plan;
    const content = await receiptContent(model, loaded, {
      identity,
      layout: options.layout,
      kvType: options.kvType,
      request: { tokens, repeats, warmup },
      prompt: { text: options.prompt, ids: promptIds },
      evidence,
      loadMs,
      runs,
      limits: receiptLimits(limits, samples),
      parity: reference ? await parityWith(reference, model, loaded.tokenizer, io) : null,
    });
    await plan.write(await sealReceipt(content));
  }
  progress.clear();
  const document = documentOf(path, promptIds.length, options, model.threads, runs, loadMs);
  await (options.json ? writeJson(io, document) : io.stdout.write(textOf(document)));
}

/** What a receipt needs, checked before anything takes long. */
interface ReceiptPlan {
  readonly write: ReceiptWriter;
  readonly identity: ModelEvidence['model'];
  readonly reference: ParityReference | undefined;
}

async function receiptPlan(
  file: ModelFile,
  { receipt: path, key, reference, numerics, kvType }: BenchmarkOptions,
  io: Io,
): Promise<ReceiptPlan | undefined> {
  if (path === undefined) {
    if ((key ?? reference) === undefined) return undefined;
    throw new UsageError('--key and --reference are for a receipt: give --receipt FILE, too.');
  }
  if (reference !== undefined && kvType !== 'f16') {
    throw new UsageError('bitnet.cpp was recorded with an f16 cache: leave out --kv-type or --reference.');
  }
  const write = await receiptWriter(path, key);
  const identity = await modelIdentity(file, io);
  const { sha256 } = identity.files[0]!;
  return {
    write,
    identity,
    reference: reference === undefined ? undefined : await parityReference(reference, sha256, numerics),
  };
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
