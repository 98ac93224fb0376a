import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type LadderFailureCode,
  type LadderReport,
  openRecording,
  type Recording,
  type RecordedReference,
  renderReport,
  runLadder,
} from '@bittern/crossval';
import { type Numerics, NUMERICS } from '@bittern/engine';
import { modelUrl, recordingUrl } from '@bittern/storyteller';
import type { Tokenizer } from '@bittern/tokenizer';
import type { Command } from 'commander';
import { engineSide } from '../engine-side.ts';
import { inFile, isUnusable, messageOf, NotComparedError, UsageError } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, type ModelFile, openModelFile, sha256OfFile } from '../model-file.ts';
import {
  jsonOption,
  layoutOption,
  numericsOption,
  preOption,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
  tokenizerOption,
} from '../options.ts';
import { ProgressLine, writeJson } from '../output.ts';
import { loadTokenizer, type TokenizerSelection } from '../tokenizer-file.ts';

interface CrossvalOptions extends LoadOptions, TokenizerSelection {
  readonly model?: string;
  readonly reference?: string;
  readonly exact?: true;
  readonly numerics?: Numerics;
  readonly json?: true;
}

type Verdict = 'pass' | 'fail' | 'not-compared';

/** What `--json` prints. */
interface CrossvalDocument {
  readonly verdict: Verdict;
  /** Why nothing was compared. */
  readonly message?: string;
  /** Rows of prompt logits that were compared, over all ladders: with the reference's values, or its digests only. */
  readonly positions: { readonly byValue: number; readonly byDigest: number };
  /** Largest difference between two logits of these; null where none was compared by value. */
  readonly maxAbs: number | null;
  /** One for each reference build in the recording. */
  readonly ladders: readonly LadderReport[];
}

/** Failures that say nothing about our engine: there was nothing, or not the same thing, to compare. */
const NOT_COMPARED: ReadonlySet<LadderFailureCode> = new Set<LadderFailureCode>([
  'IDENTITY_MISSING',
  'MODEL_DIFFERS',
  'NO_CASES',
  'BAD_CASE',
  'NOTHING_COMPARED',
  'NOT_COMPARABLE',
]);

const EXIT_CODE_OF: Record<Verdict, ExitCode> = {
  pass: EXIT_CODES.success,
  fail: EXIT_CODES.failed,
  'not-compared': EXIT_CODES.notCompared,
};

/** @param setExitCode - called with the verdict's; a report that says `fail` was printed as it should be */
export function addCrossvalCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('crossval')
    .description('Compare our engine with what bitnet.cpp computed, rung by rung.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .option('--reference <folder>', "recording of bitnet.cpp on that model (default: the storyteller's)")
    .option('--exact', 'every bit must be equal (default: within the tolerances of the parity playbook)')
    .addOption(numericsOption().default(undefined, 'every build in the recording'))
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  bittern crossval --exact
  bittern crossval -m model.gguf --reference recordings/model --numerics avx2

${EXIT_CODES_HELP}`,
    )
    .action(async (options: CrossvalOptions) => setExitCode(EXIT_CODE_OF[await crossval(options, io)]));
}

async function crossval(options: CrossvalOptions, io: Io): Promise<Verdict> {
  let document: CrossvalDocument;
  try {
    document = summarize(await climbAll(options, io));
  } catch (error) {
    if (io.signal.aborted || !(error instanceof NotComparedError || isUnusable(error))) throw error;
    const message = `nothing was compared: ${messageOf(error)}`;
    if (options.json)
      await writeJson(io, {
        verdict: 'not-compared',
        message,
        positions: { byValue: 0, byDigest: 0 },
        maxAbs: null,
        ladders: [],
      } satisfies CrossvalDocument);
    throw new NotComparedError(message, { cause: error });
  }
  await (options.json ? writeJson(io, document) : io.stdout.write(textOf(document)));
  return document.verdict;
}

/** A ladder for each reference build, each against our engine with the same numerics. */
async function climbAll(options: CrossvalOptions, io: Io): Promise<LadderReport[]> {
  const recording = await readRecording(options.reference ?? fileURLToPath(recordingUrl));
  if (options.reference !== undefined && options.model === undefined) {
    const { file, sha256 } = recording.model;
    throw new UsageError(`--reference needs -m with the recording's model: ${file}, SHA-256 ${sha256}.`);
  }
  const references = choose(recording.references, options.numerics);
  await using file = await openModelFile(options.model ?? fileURLToPath(modelUrl), io);
  const sha256 = await sha256OfFile(file.path, io.signal);
  // The ladder checks it too; this is before a large model is loaded for nothing.
  if (sha256 !== recording.model.sha256) {
    throw new NotComparedError(
      `the recording is of ${recording.model.file} (SHA-256 ${recording.model.sha256}), but ${file.path} has ${sha256}. ` +
        'Give that model with -m, or a recording of yours with --reference.',
    );
  }
  const { tokenizer } = await loadTokenizer(file, options, io);
  const reports: LadderReport[] = [];
  for (const reference of references) {
    reports.push(await climb(recording, reference, file, tokenizer, sha256, options, io));
  }
  return reports;
}

async function readRecording(folder: string): Promise<Recording> {
  try {
    return await openRecording((name) => readFile(join(folder, name)));
  } catch (error) {
    throw inFile(folder, error);
  }
}

function choose(references: readonly RecordedReference[], wanted: Numerics | undefined): readonly RecordedReference[] {
  const unknown = references.find(({ numerics }) => !isNumerics(numerics));
  if (unknown !== undefined) {
    throw new NotComparedError(
      `reference ${unknown.id} has numerics "${unknown.numerics}", which the engine does not reproduce. It has ${NUMERICS.join(' and ')}.`,
    );
  }
  const chosen = references.filter(({ numerics }) => wanted === undefined || numerics === wanted);
  if (chosen.length > 0) return chosen;
  throw new NotComparedError(
    `the recording has no reference with numerics ${wanted}, only ${references.map(({ numerics }) => numerics).join(', ')}.`,
  );
}

async function climb(
  recording: Recording,
  reference: RecordedReference,
  file: ModelFile,
  tokenizer: Tokenizer,
  sha256: string,
  options: CrossvalOptions,
  io: Io,
): Promise<LadderReport> {
  using model = await file.load(reference.numerics as Numerics, options);
  using ours = engineSide(model, tokenizer, sha256);
  using progress = new ProgressLine(io);
  return await runLadder({
    ours,
    reference: recording.side(reference.id),
    cases: recording.cases(reference.id),
    exact: options.exact === true,
    signal: io.signal,
    onProgress: ({ rung, case: id, done, total }) =>
      progress.show(`${reference.id}: ${rung}, case ${done + 1} of ${total} (${id})`),
  });
}

function isNumerics(value: string): value is Numerics {
  return (NUMERICS as readonly string[]).includes(value);
}

function summarize(ladders: readonly LadderReport[]): CrossvalDocument {
  const failures = ladders.flatMap((ladder) => ladder.failures);
  const passed = ladders.length > 0 && ladders.every(({ verdict }) => verdict === 'pass');
  const diverged = failures.some(({ code }) => !NOT_COMPARED.has(code));
  const differences = ladders.flatMap(({ maxAbs }) => maxAbs ?? []);
  return {
    verdict: passed ? 'pass' : diverged ? 'fail' : 'not-compared',
    positions: {
      byValue: ladders.reduce((sum, { counts }) => sum + counts.rowsByValue, 0),
      byDigest: ladders.reduce((sum, { counts }) => sum + counts.rowsByDigest, 0),
    },
    maxAbs: differences.length === 0 ? null : Math.max(...differences),
    ladders,
  };
}

function textOf({ verdict, positions: { byValue, byDigest }, maxAbs, ladders }: CrossvalDocument): string {
  const words = { pass: 'Passed', fail: 'FAILED', 'not-compared': 'COULD NOT COMPARE' }[verdict];
  const positions = `${byValue + byDigest} positions compared (${byValue} by value, ${byDigest} by digest)`;
  const largest = maxAbs === null ? 'no difference known' : `largest difference ${maxAbs}`;
  return `${ladders.map(renderReport).join('\n')}\n${words}: ${positions}, ${largest}\n`;
}
