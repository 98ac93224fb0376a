import { createHash } from 'node:crypto';
import { topK } from '@bittern/crossval';
import { type EvaluationMode, generate, type Numerics, prefill } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { readEnvironment } from '../environment.ts';
import { UsageError } from '../errors.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { kernelReport, type KernelReport } from '../kernel-report.ts';
import { type LoadOptions, openModelFile, sha256OfFile } from '../model-file.ts';
import { NpyFile } from '../npy-file.ts';
import {
  jsonOption,
  layoutOption,
  modeOption,
  numericsOption,
  preOption,
  tokenIds,
  tokenizerOption,
  wholeNumber,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
} from '../options.ts';
import { table, writeJson } from '../output.ts';
import { type PromptSelection, readPromptIds } from '../prompt-ids.ts';
import { loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';

interface LogitsOptions extends LoadOptions, TokenizerSelection, PromptSelection {
  readonly model: string;
  readonly mode: EvaluationMode;
  readonly numerics: Numerics;
  readonly greedy: number;
  readonly npy?: string;
  readonly json?: true;
}

/** What `--json` prints. */
interface LogitsDocument {
  readonly model: { readonly file: string; readonly sha256: string };
  readonly numerics: Numerics;
  readonly mode: EvaluationMode;
  /** Variables of the environment that are set: see `readEnvironment`. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly ids: readonly number[];
  readonly positions: readonly Position[];
  readonly greedy: readonly number[];
  readonly kernels: KernelReport;
}

interface Position {
  readonly position: number;
  /** Of the row's f32 little-endian bytes. */
  readonly sha256: string;
  /** The five largest, lowest id first among equals. */
  readonly top: readonly (readonly [id: number, logit: number])[];
}

export function addLogitsCommand(program: Command, io: Io): void {
  program
    .command('logits')
    .description('Print the digest and the five largest logits of each position.')
    .requiredOption('-m, --model <file>', 'GGUF file')
    .addOption(
      new Option('--ids <list>', 'token ids, such as 1,2,3').argParser(tokenIds).conflicts(['idsFile', 'prompt']),
    )
    .addOption(
      new Option('--ids-file <file>', 'file with token ids, between commas or white space').conflicts('prompt'),
    )
    .option('-p, --prompt <text>', 'text to tokenize')
    .addOption(
      new Option('--special', 'special tokens written in the text become these tokens').conflicts(['ids', 'idsFile']),
    )
    .addOption(tokenizerOption().conflicts(['ids', 'idsFile']))
    .addOption(preOption().conflicts(['ids', 'idsFile']))
    .addOption(modeOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(new Option('--greedy <count>', 'also decode this many ids greedily').default(0).argParser(wholeNumber))
    .option('--npy <file>', 'write the logits there, f32 [positions, vocabulary], over a file of that name')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  bittern logits -m model.gguf -p "Once upon a time" --json
  bittern logits -m model.gguf --ids 1,2,3 --mode sequential --numerics avx2 --npy logits.npy

${EXIT_CODES_HELP}`,
    )
    .action((options: LogitsOptions) => logits(options, io));
}

async function logits(options: LogitsOptions, io: Io): Promise<void> {
  const { model: path, mode, numerics, json } = options;
  const { signal } = io;
  const { variables } = readEnvironment(io);
  await using file = await openModelFile(path, io);
  const tokenizer = options.prompt === undefined ? undefined : await loadTokenizer(file, options, io);
  const ids = await readPromptIds(options, tokenizer);
  using model = await file.load(numerics, options);
  if (tokenizer) warnIfForeign(tokenizer, model.config.vocabSize, io);
  using session = model.createSession();
  requireRoom(ids.length, options.greedy, session.contextLength);

  model.resetCounters();
  model.timeKernels(json === true);
  const rows = mode === 'batch-last' ? 1 : ids.length;
  using npy = options.npy === undefined ? undefined : new NpyFile(options.npy, rows, model.config.vocabSize);
  const positions: Position[] = [];
  const last = await prefill(session, ids, mode, {
    signal,
    onLogits(row, position) {
      positions.push(describe(row, position));
      npy?.append(row);
    },
  });
  const greedy: number[] = [];
  for await (const id of generate(session, last, { maxTokens: options.greedy, signal })) greedy.push(id);

  const sha256 = await sha256OfFile(path, signal);
  npy?.commit();
  const environment = Object.keys(variables).length > 0 ? { environment: variables } : {};
  const kernels = kernelReport(model);
  const document: LogitsDocument = {
    model: { file: path, sha256 },
    numerics,
    mode,
    ...environment,
    ids,
    positions,
    greedy,
    kernels,
  };
  await (json ? writeJson(io, document) : io.stdout.write(textOf(document)));
}

/** The last id that is decoded is not evaluated. A prompt that does not fit by itself is the engine's to refuse. */
function requireRoom(promptLength: number, greedy: number, contextLength: number): void {
  const most = contextLength - promptLength + 1;
  if (promptLength > contextLength || greedy <= most) return;
  throw new UsageError(
    `--greedy ${greedy} does not fit: after ${promptLength} ids the context of ${contextLength} has room for ${most}.`,
  );
}

function describe(row: Float32Array, position: number): Position {
  const bytes = new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
  return {
    position,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    top: topK(row, 5).map((id) => [id, row[id]!] as const),
  };
}

function textOf({ model, numerics, mode, ids, positions, greedy }: LogitsDocument): string {
  const head = [
    ['model', `${model.file} (SHA-256 ${model.sha256})`],
    ['numerics', numerics],
    ['mode', mode],
    ['ids', ids.join(' ')],
  ];
  if (greedy.length > 0) head.push(['greedy', greedy.join(' ')]);
  const rows = positions.map(({ position, sha256, top }) => [
    String(position),
    sha256,
    top.map(([id, logit]) => `${id} ${logit.toPrecision(6)}`).join(', '),
  ]);
  return `${table(head)}\n${table([['position', 'SHA-256 of the row', 'largest logits (id logit)'], ...rows])}`;
}
