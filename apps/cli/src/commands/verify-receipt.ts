import { readFile, stat } from 'node:fs/promises';
import type { I2sLayout } from '@bittern/gguf-parser';
import type { KernelVariant } from '@bittern/kernels';
import {
  type ModelEvidence,
  MOST_RECEIPT_BYTES,
  PREDICATE_TYPE,
  type ReadReceipt,
  readReceipt,
  type ReceiptPredicate,
  type ReplayEvidence,
  type VerificationReport,
  verifyReceipt,
  type VerifyOptions,
} from '@bittern/receipts';
import { verifyingKey } from '@bittern/receipts/node';
import { type Command, Option } from 'commander';
import { codeOf, inFile, UnusableFileError, UsageError } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { type ModelFile, openModelFile } from '../model-file.ts';
import {
  jsonOption,
  kernelsOption,
  nonNegative,
  positiveNumber,
  preOption,
  threadsOption,
  tl1TilingOption,
  tokenizerOption,
} from '../options.ts';
import { printable, ProgressLine, table, writeJson } from '../output.ts';
import { receiptTokenizer } from '../receipt/content.ts';
import { decodeEvidence, sessionFor } from '../receipt/decode.ts';
import { modelIdentity } from '../receipt/model-identity.ts';
import { ownBinaries } from '../receipt/tool.ts';
import { loadTokenizer, type TokenizerSelection } from '../tokenizer-file.ts';

interface VerifyReceiptOptions extends TokenizerSelection {
  readonly requireGpuKernels?: true;
  readonly requireQuantizedKernels?: true;
  readonly requireSameBinaries?: true;
  readonly model?: string;
  readonly replay?: number;
  readonly minTps?: number;
  readonly key?: string;
  readonly tl1Tiling?: string;
  readonly threads: number | 'auto';
  readonly kernels: KernelVariant | 'auto';
  readonly format: 'text' | 'json';
  readonly json?: true;
}

export function addVerifyReceiptCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('verify-receipt')
    .argument('<file>', 'receipt of `bittern benchmark --receipt`, or of `bittern crossval --receipt`')
    .description('Verify a receipt: compute again what follows from it, and believe none of it.')
    .option('--require-gpu-kernels', 'fail unless GPU kernels computed')
    .option('--require-quantized-kernels', 'fail unless quantized kernels computed all products of the layers')
    .option('--require-same-binaries', "fail unless this installation's own WebAssembly binary ran")
    .option('-m, --model <file>', 'GGUF file to compare with: digests, shape, tokenizer, ids of the prompt')
    .addOption(
      new Option('--replay <tokens>', 'run so many tokens again with --model: the same ids, the same logits').argParser(
        positiveNumber,
      ),
    )
    .addOption(new Option('--min-tps <rate>', 'fail below so many tokens/s in decode').argParser(nonNegative))
    .option('--key <file>', 'fail unless it is signed with this ed25519 public key (PEM)')
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(tl1TilingOption())
    .addOption(threadsOption())
    .addOption(kernelsOption())
    .addOption(new Option('--format <format>', 'of the report').choices(['text', 'json']).default('text'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Each gate passes, fails, or is not applicable, with its reason; one that fails makes exit code 1. Without --model a receipt
is compared with itself, and with what is possible: it can still be of a model that was never run. --replay shows that.
The receipt of a comparison has no times and no counters: what asks for these is not applicable, or fails where it was wanted.

Examples:
  bittern verify-receipt receipt.json
  bittern verify-receipt receipt.json --model model.gguf --replay 16 --require-quantized-kernels
  bittern verify-receipt receipt.json --key public.pem --min-tps 20 --format json

${EXIT_CODES_HELP}`,
    )
    .action(async (path: string, options: VerifyReceiptOptions) => {
      const report = await verify(path, options, io);
      const isJson = options.json === true || options.format === 'json';
      await (isJson ? writeJson(io, { receipt: path, ...report }) : io.stdout.write(textOf(path, report)));
      setExitCode(report.verdict === 'pass' ? EXIT_CODES.success : EXIT_CODES.failed);
    });
}

async function verify(path: string, options: VerifyReceiptOptions, io: Io): Promise<VerificationReport> {
  if (options.replay !== undefined && options.model === undefined) {
    throw new UsageError('--replay runs the model again: give --model FILE, too.');
  }
  const bytes = await readBounded(path);
  const wanted: VerifyOptions = {
    requireGpuKernels: options.requireGpuKernels === true,
    requireQuantizedKernels: options.requireQuantizedKernels === true,
    requireSameBinaries: options.requireSameBinaries === true,
    minTokensPerSecond: options.minTps,
    key: options.key === undefined ? undefined : await readKey(options.key),
    binaries: await ownBinaries(),
  };
  const statement = statementOf(bytes);
  if (statement === undefined || options.model === undefined) return verifyReceipt(bytes, wanted);
  await using file = await openModelFile(options.model, io);
  const model = await modelEvidence(file, statement, options, io);
  const report = await verifyReceipt(bytes, { ...wanted, model });
  if (options.replay === undefined) return report;
  if (report.verdict === 'fail' || statement.predicateType !== PREDICATE_TYPE) {
    return verifyReceipt(bytes, { ...wanted, model, replay: 'skipped' });
  }
  const replay = await replayEvidence(file, statement.predicate, options.replay, options, io);
  return verifyReceipt(bytes, { ...wanted, model, replay });
}

async function readBounded(path: string): Promise<Uint8Array> {
  const stats = await stat(path);
  if (!stats.isFile()) throw new UsageError(`${path} is not a regular file; give one that --receipt wrote.`);
  const { size } = stats;
  if (size <= MOST_RECEIPT_BYTES) return readFile(path);
  throw new UnusableFileError(path, new Error(`it has ${size} bytes, more than any receipt (${MOST_RECEIPT_BYTES}).`));
}

async function readKey(path: string): Promise<VerifyOptions['key']> {
  try {
    return verifyingKey(await readFile(path));
  } catch (error) {
    throw inFile(path, error);
  }
}

/** Undefined if it is no receipt, which is for the verifier to say. */
function statementOf(bytes: Uint8Array): ReadReceipt['statement'] | undefined {
  try {
    return readReceipt(bytes).statement;
  } catch (error) {
    if (!codeOf(error)?.startsWith('RECEIPTS_')) throw error;
    return undefined;
  }
}

async function modelEvidence(
  file: ModelFile,
  statement: ReadReceipt['statement'],
  options: VerifyReceiptOptions,
  io: Io,
): Promise<ModelEvidence> {
  const loaded = await loadTokenizer(file, options, io);
  const isBenchmark = statement.predicateType === PREDICATE_TYPE;
  const promptIds = isBenchmark ? loaded.tokenizer.encode(statement.predicate.prompt.text) : [];
  return { model: await modelIdentity(file, io), tokenizer: receiptTokenizer(loaded), promptIds };
}

/** The receipt's prompt again, in its numerics and with its head, on this machine's kernels. */
async function replayEvidence(
  file: ModelFile,
  { numerics, model: { layout, tl1Kernel }, head, kvType, prompt, generated }: ReceiptPredicate,
  tokens: number,
  { tl1Tiling, threads, kernels }: VerifyReceiptOptions,
  io: Io,
): Promise<ReplayEvidence> {
  using model = await file.load(numerics, {
    layout: (layout ?? '128x32') satisfies I2sLayout,
    ...(tl1Tiling === undefined ? {} : { tl1Tiling }),
    tl1Kernel: tl1Kernel ?? 'transcode',
    threads,
    head: head.kind,
    kernels,
  });
  const task = { promptIds: prompt.ids, tokens: Math.min(tokens, generated.ids.length), kvType, signal: io.signal };
  using session = sessionFor(model, task);
  using progress = new ProgressLine(io);
  progress.show(`Running ${task.tokens} tokens again`);
  return { tokens, ...(await decodeEvidence(session, task)) };
}

function textOf(path: string, { verdict, gates, figures }: VerificationReport): string {
  const rows = gates.map(({ gate, status, reason }) => [gate, status === 'fail' ? 'FAIL' : status, printable(reason)]);
  const failed = gates.filter(({ status }) => status === 'fail').map(({ gate }) => gate);
  const rate =
    figures &&
    `decode ${figures.decodeTokensPerSecond.toFixed(2)} tokens/s, p95 ${figures.decode.p95.toFixed(2)} ms a step`;
  return [
    table(rows),
    rate === null ? '' : `\n${rate}; prefill ${figures!.prefillTokensPerSecond.toFixed(2)} tokens/s\n`,
    verdict === 'pass' ? `\n${path}: passed\n` : `\n${path}: FAILED: ${failed.join(', ')}\n`,
  ].join('');
}
