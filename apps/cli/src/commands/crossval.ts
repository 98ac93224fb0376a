import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configuredPlace } from '@bittern/cpp-bridge';
import {
  type LadderFailure,
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
import { type Command, Option } from 'commander';
import { type EngineSide, engineSide } from '../engine-side.ts';
import { inFile, isUnusable, messageOf, NotComparedError, UsageError } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { openLiveBitnet } from '../live/compare-bitnet.ts';
import { compareWithLlama, findLlama, LLAMA_NUMERICS, type LlamaComparison } from '../live/compare-llama.ts';
import { OPERATION_TOLERANCE, type OperationError } from '../live/forced-operations.ts';
import { promptsFor } from '../live/live-cases.ts';
import { addLiveOptions, DEFAULT_GREEDY, type LiveOptions } from '../live/live-options.ts';
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
import { bridgeTilings, readTl1Tiling } from '../tl1-tiling-file.ts';
import { loadTokenizer, type TokenizerSelection } from '../tokenizer-file.ts';
import { addCrossvalRecordCommand } from './crossval-record.ts';

/** `installed`: the recording, and llama.cpp if it is installed. */
const BACKENDS = ['recording', 'llama', 'bitnet', 'installed'] as const;

interface CrossvalOptions extends LoadOptions, TokenizerSelection, LiveOptions {
  readonly cppBackend: (typeof BACKENDS)[number];
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
  /** One for each reference. */
  readonly ladders: readonly LadderReport[];
  /** Against a running llama.cpp: each operation by itself. Null where there was none, or it read the file as it is. */
  readonly operations: readonly OperationError[] | null;
  /** What was not compared because it is not installed. */
  readonly notInstalled: readonly string[];
}

/** What was compared. */
type Comparison = Pick<CrossvalDocument, 'ladders' | 'operations' | 'notInstalled'>;

/** Failures that say nothing about our engine: there was nothing, or not the same thing, to compare. */
const NOT_COMPARED: ReadonlySet<LadderFailureCode> = new Set<LadderFailureCode>([
  'IDENTITY_MISSING',
  'MODEL_DIFFERS',
  'NO_CASES',
  'BAD_CASE',
  'NOTHING_COMPARED',
  'NOT_COMPARABLE',
]);

/** A running reference that died, hung or lied has not been compared with, either. */
function saysNothingOfOurs({ code, details }: LadderFailure): boolean {
  const referenceFailed = code === 'SIDE_FAILED' && String(details['code']).startsWith('BRIDGE_');
  return NOT_COMPARED.has(code) || referenceFailed;
}

const EXIT_CODE_OF: Record<Verdict, ExitCode> = {
  pass: EXIT_CODES.success,
  fail: EXIT_CODES.failed,
  'not-compared': EXIT_CODES.notCompared,
};

/** @param setExitCode - called with the verdict's; a report that says `fail` was printed as it should be */
export function addCrossvalCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  const command = program
    .command('crossval')
    // So that `record` has options of its own.
    .enablePositionalOptions()
    .description('Compare our engine with what bitnet.cpp computed, or with a reference that runs, rung by rung.')
    .option('-m, --model <file>', 'GGUF file (default: the storyteller model that comes with bittern)')
    .option('--reference <folder>', "recording of bitnet.cpp on that model (default: the storyteller's)")
    .option('--exact', 'every bit must be equal (default: within the tolerances of the parity playbook)')
    .addOption(
      new Option(
        '--cpp-backend <name>',
        'a recording, a running llama.cpp or bitnet.cpp; installed: recording, and llama.cpp if it is installed',
      )
        .choices([...BACKENDS])
        .default('recording'),
    );
  addLiveOptions(command)
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
A running bitnet.cpp is the build that BITNET_CPP_DIR names, llama.cpp the one that LLAMA_CPP_DIR names, else the npm
package. Of a file in I2_S or TL1 llama.cpp gets an equivalent one (with -m of 2B parameters some 5 GB in the folder for
temporary files) and hooks that make its graph bitnet.cpp's; prompts go through it token by token, where both sum in the
same order, and one as a batch, operation by operation. A file in types of llama.cpp's own it reads as it is, token by
token.

Examples:
  bittern crossval --exact
  bittern crossval --exact --cpp-backend llama
  bittern crossval -m model.gguf --exact --cpp-backend bitnet --prompt 'Once upon a time' 'Hello'
  bittern crossval -m model.gguf --reference recordings/model --numerics avx2
  bittern crossval record --cpp-backend bitnet -m model.gguf -o recordings/model

${EXIT_CODES_HELP}`,
    )
    .action(async (options: CrossvalOptions) => setExitCode(EXIT_CODE_OF[await crossval(options, io)]));
  addCrossvalRecordCommand(command, io);
}

async function crossval(options: CrossvalOptions, io: Io): Promise<Verdict> {
  let document: CrossvalDocument;
  try {
    document = summarize(await compareAll(options, io));
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
        operations: null,
        notInstalled: [],
      } satisfies CrossvalDocument);
    throw new NotComparedError(message, { cause: error });
  }
  await (options.json ? writeJson(io, document) : io.stdout.write(textOf(document)));
  return document.verdict;
}

async function compareAll(options: CrossvalOptions, io: Io): Promise<Comparison> {
  switch (options.cppBackend) {
    case 'recording':
      if (options.prompt !== undefined || options.greedy !== undefined) {
        throw new UsageError('--prompt and --greedy are for a reference that runs; a recording has its own.');
      }
      return { ladders: await climbRecorded(options, io), operations: null, notInstalled: [] };
    case 'bitnet':
      return { ladders: [await climbBitnet(options, io)], operations: null, notInstalled: [] };
    case 'llama': {
      const { ladder, operations } = await compareLlama(options, io);
      return { ladders: [ladder], operations, notInstalled: [] };
    }
    case 'installed': {
      const ladders = await climbRecorded(options, io);
      // What is set and cannot be used is an error of the comparison, not absent.
      const place = await configuredPlace('llama', io.env);
      if (place === undefined) return { ladders, operations: null, notInstalled: ['llama.cpp'] };
      const { ladder, operations } = await compareLlama(options, io);
      return { ladders: [...ladders, ladder], operations, notInstalled: [] };
    }
  }
}

/** A ladder for each reference build in the recording, each against our engine with the same numerics. */
async function climbRecorded(options: CrossvalOptions, io: Io): Promise<LadderReport[]> {
  const recording = await readRecording(options.reference ?? fileURLToPath(recordingUrl));
  const references = choose(recording.references, options.numerics);
  await using ours = await openOurs(options, recording, io);
  const reports: LadderReport[] = [];
  for (const reference of references) {
    using side = await ours.load(reference.numerics as Numerics);
    using progress = new ProgressLine(io);
    const report = await runLadder({
      ours: side,
      reference: recording.side(reference.id),
      cases: recording.cases(reference.id),
      exact: options.exact === true,
      signal: io.signal,
      onProgress: ({ rung, case: id, done, total }) =>
        progress.show(`${reference.id}: ${rung}, case ${done + 1} of ${total} (${id})`),
    });
    reports.push(report);
  }
  return reports;
}

async function climbBitnet(options: CrossvalOptions, io: Io): Promise<LadderReport> {
  const recording = await recordingOf(options);
  await using ours = await openOurs(options, recording, io);
  await using live = await openLiveBitnet(
    ours.path,
    promptsFor(options.prompt, recording),
    options.greedy ?? DEFAULT_GREEDY,
    io,
  );
  refuseOtherNumerics(options.numerics, live.numerics);
  using side = await ours.load(live.numerics);
  using progress = new ProgressLine(io);
  return await runLadder({
    ours: side,
    reference: live.side,
    cases: live.cases,
    exact: options.exact === true,
    signal: io.signal,
    onProgress: ({ rung, case: id, done, total }) =>
      progress.show(`bitnet.cpp: ${rung}, case ${done + 1} of ${total} (${id})`),
  });
}

async function compareLlama(options: CrossvalOptions, io: Io): Promise<LlamaComparison> {
  refuseOtherNumerics(options.cppBackend === 'installed' ? undefined : options.numerics, LLAMA_NUMERICS);
  const library = await findLlama(io);
  const recording = await recordingOf(options);
  await using ours = await openOurs(options, recording, io);
  using side = await ours.load(LLAMA_NUMERICS);
  const tilings = await readTl1Tiling(options.tl1Tiling);
  return await compareWithLlama(
    library,
    {
      model: ours.path,
      identity: side.identity.model,
      ours: side,
      prompts: promptsFor(options.prompt, recording),
      greedy: options.greedy ?? DEFAULT_GREEDY,
      exact: options.exact === true,
      translate: { i2sPacking: options.layout, ...(tilings && { tl1Tilings: bridgeTilings(tilings) }) },
    },
    io,
  );
}

function refuseOtherNumerics(wanted: Numerics | undefined, given: Numerics): void {
  if (wanted === undefined || wanted === given) return;
  throw new NotComparedError(`the running reference has numerics ${given}, not ${wanted}. Leave out --numerics.`);
}

/** The recording that belongs to the options' model, for its prompts; undefined for a model without one. */
async function recordingOf({ model, reference }: CrossvalOptions): Promise<Recording | undefined> {
  if (reference !== undefined) return await readRecording(reference);
  return model === undefined ? await readRecording(fileURLToPath(recordingUrl)) : undefined;
}

/** Our model, of which each comparison loads the numerics that it needs. */
interface Ours extends AsyncDisposable {
  readonly path: string;
  load(numerics: Numerics): Promise<EngineSide>;
}

/** @throws NotComparedError if the recording is of another model */
async function openOurs(options: CrossvalOptions, recording: Recording | undefined, io: Io): Promise<Ours> {
  if (options.reference !== undefined && options.model === undefined) {
    const { file, sha256 } = recording!.model;
    throw new UsageError(`--reference needs -m with the recording's model: ${file}, SHA-256 ${sha256}.`);
  }
  const file = await openModelFile(options.model ?? fileURLToPath(modelUrl), io);
  try {
    const sha256 = await sha256OfFile(file.path, io.signal);
    // The ladder checks it too; this is before a large model is loaded for nothing.
    if (recording !== undefined && sha256 !== recording.model.sha256) {
      throw new NotComparedError(
        `the recording is of ${recording.model.file} (SHA-256 ${recording.model.sha256}), but ${file.path} has ${sha256}. ` +
          'Give that model with -m, or a recording of yours with --reference.',
      );
    }
    const { tokenizer } = await loadTokenizer(file, options, io);
    return {
      path: file.path,
      load: (numerics) => loadSide(file, tokenizer, sha256, numerics, options),
      [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
    };
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}

async function loadSide(
  file: ModelFile,
  tokenizer: Tokenizer,
  sha256: string,
  numerics: Numerics,
  options: LoadOptions,
): Promise<EngineSide> {
  const model = await file.load(numerics, options);
  const side = engineSide(model, tokenizer, sha256);
  return {
    ...side,
    [Symbol.dispose]() {
      side[Symbol.dispose]();
      model[Symbol.dispose]();
    },
  };
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

function isNumerics(value: string): value is Numerics {
  return (NUMERICS as readonly string[]).includes(value);
}

function summarize({ ladders, operations, notInstalled }: Comparison): CrossvalDocument {
  const failures = ladders.flatMap((ladder) => ladder.failures);
  const ladderPassed = ladders.length > 0 && ladders.every(({ verdict }) => verdict === 'pass');
  const operationsPassed = operations === null || (operations.length > 0 && operations.every(({ passed }) => passed));
  const diverged = failures.some((failure) => !saysNothingOfOurs(failure)) || operations?.some(({ passed }) => !passed);
  const differences = ladders.flatMap(({ maxAbs }) => maxAbs ?? []);
  return {
    verdict: ladderPassed && operationsPassed ? 'pass' : diverged ? 'fail' : 'not-compared',
    positions: {
      byValue: ladders.reduce((sum, { counts }) => sum + counts.rowsByValue, 0),
      byDigest: ladders.reduce((sum, { counts }) => sum + counts.rowsByDigest, 0),
    },
    maxAbs: differences.length === 0 ? null : Math.max(...differences),
    ladders,
    operations,
    notInstalled,
  };
}

function textOf(document: CrossvalDocument): string {
  const { verdict, positions, maxAbs, ladders, operations, notInstalled } = document;
  const { byValue, byDigest } = positions;
  const words = { pass: 'Passed', fail: 'FAILED', 'not-compared': 'COULD NOT COMPARE' }[verdict];
  const compared = `${byValue + byDigest} positions compared (${byValue} by value, ${byDigest} by digest)`;
  const largest = maxAbs === null ? 'no difference known' : `largest difference ${maxAbs}`;
  const parts = [
    ...ladders.map(renderReport),
    ...(operations === null ? [] : [operationTable(operations)]),
    ...notInstalled.map((name) => `${name} is not installed: not compared with it.\n`),
  ];
  return `${parts.join('\n')}\n${words}: ${compared}, ${largest}\n`;
}

function operationTable(operations: readonly OperationError[]): string {
  const lines = operations.map(({ operation, nodes, values, differing, worst, worstNode, passed }) => {
    const error = worst === null ? 'not finite' : worst === 0 ? '0' : worst.toExponential(1);
    return [
      operation.padEnd(20),
      String(nodes).padStart(6),
      String(values).padStart(10),
      String(differing).padStart(10),
      error.padStart(11),
      ` ${passed ? worstNode : `${worstNode} FAILED`}`,
    ].join(' ');
  });
  const head = ['operation'.padEnd(20), ' nodes', '    values', ' differing', '      worst', ' at'].join(' ');
  return [
    `Each operation by itself, in llama.cpp from our engine's inputs, as one batch; ${OPERATION_TOLERANCE} of the largest value is allowed:`,
    head,
    ...lines,
    '',
  ].join('\n');
}
