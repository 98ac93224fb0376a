import type { I2sLayout } from '@bittern/engine';
import type { GgufDialectName } from '@bittern/gguf-parser';
import type { Command } from 'commander';
import { type Compatibility, checkCompatibility, type Incompatibility, incompatibilityOf } from '../compatibility.ts';
import { isPathError, isUnusable } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { listMetadata, type MetadataListing, metadataText } from '../metadata-listing.ts';
import { type OpenedFile, openGgufFile } from '../model-file.ts';
import { dialectOption, jsonOption, layoutOption, tl1TilingOption } from '../options.ts';
import { printable, ProgressLine, writeJson } from '../output.ts';
import { readTl1Tiling } from '../tl1-tiling-file.ts';

interface CompatCheckOptions {
  readonly showKv?: true;
  readonly strict?: true;
  readonly dialect?: GgufDialectName;
  readonly layout?: I2sLayout;
  /** Path of a file. */
  readonly tl1Tiling?: string;
  readonly json?: true;
}

/** What `--json` prints. */
interface CompatCheckDocument extends Compatibility {
  readonly file: string;
  /** With `--strict`, warnings fail too. */
  readonly verdict: 'pass' | 'fail';
  /** Whether there are no problems, whatever the warnings. */
  readonly compatible: boolean;
  readonly strict: boolean;
  /** With `--show-kv`, all keys; arrays and long strings abbreviated. */
  readonly metadata?: MetadataListing;
}

/** Problems of one kind that the text form spells out; `--json` has all. */
const SHOWN_OF_A_KIND = 5;

/** @param setExitCode - called with 1 for a file that cannot run; the report was then printed as it should be */
export function addCompatCheckCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('compat-check')
    .description('Say whether a GGUF file can run here, and if not, every reason with what to do.')
    .argument('<file>', 'GGUF file; of a split model any of its files')
    .option('--show-kv', 'print the metadata too')
    .option('--strict', 'warnings count as failures')
    .addOption(dialectOption())
    .addOption(layoutOption().default(undefined, '128x32, with a warning'))
    .addOption(tl1TilingOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Exit code 0 if it can run, 1 if it cannot. Reads the header, builds the tokenizer, and reads the weights once.

Examples:
  bittern compat-check model.gguf
  bittern compat-check model.gguf --strict --layout 128x32
  bittern compat-check model.gguf --show-kv | grep context

${EXIT_CODES_HELP}`,
    )
    .action(async (path: string, options: CompatCheckOptions) => {
      const document = await check(path, options, io);
      await (options.json ? writeJson(io, document) : io.stdout.write(textOf(document)));
      if (document.verdict === 'fail') setExitCode(EXIT_CODES.failed);
    });
}

async function check(path: string, options: CompatCheckOptions, io: Io): Promise<CompatCheckDocument> {
  const { dialect, layout, showKv } = options;
  const tl1Tiling = await readTl1Tiling(options.tl1Tiling);
  const opened = await openOrReason(path, io, { dialect, i2sLayout: layout });
  if ('reason' in opened) {
    return documentOf(path, options, { problems: [opened.reason], warnings: [], tensorsRead: 0 });
  }
  await using file = opened;
  using progress = new ProgressLine(io);
  const found = await checkCompatibility(file.gguf, {
    isLayoutGiven: layout !== undefined,
    tl1Tiling,
    signal: io.signal,
    onProgress: (done, total) => progress.show(`Checking weights: ${Math.floor((100 * done) / total)} %`),
  });
  const document = documentOf(path, options, found);
  return showKv ? { ...document, metadata: listMetadata(file.gguf.metadata) } : document;
}

/** A damaged file is an answer; a path that leads to none is bad usage. */
async function openOrReason(
  path: string,
  io: Io,
  options: Parameters<typeof openGgufFile>[2],
): Promise<OpenedFile | { readonly reason: Incompatibility }> {
  try {
    return await openGgufFile(path, io, options);
  } catch (error) {
    if (io.signal.aborted || !isUnusable(error) || isPathError(error)) throw error;
    return { reason: incompatibilityOf(error) };
  }
}

function documentOf(file: string, { strict }: CompatCheckOptions, found: Compatibility): CompatCheckDocument {
  const compatible = found.problems.length === 0;
  const passes = compatible && !(strict && found.warnings.length > 0);
  return { file, verdict: passes ? 'pass' : 'fail', compatible, strict: strict === true, ...found };
}

function textOf({ file, verdict, compatible, problems, warnings, tensorsRead, metadata }: CompatCheckDocument): string {
  const counts = `${counted(problems.length, 'problem')}, ${counted(warnings.length, 'warning')}`;
  const words = compatible
    ? verdict === 'pass'
      ? 'can run here'
      : 'can run here, but not --strict'
    : 'CANNOT run here';
  const kinds = Map.groupBy(problems, ({ code, fix }) => `${code} ${fix}`);
  const read = `The data of ${counted(tensorsRead, 'tensor')} was read.`;
  return [
    `${printable(file)}: ${words} (${counts}). ${read}\n`,
    ...[...kinds.values()].map(problemsText),
    ...warnings.map((warning) => `\nwarning: ${printable(warning)}\n`),
    ...(metadata === undefined ? [] : [`\n${metadataText(metadata)}`]),
  ].join('');
}

/** Problems with the same code and fix. */
function problemsText(problems: readonly Incompatibility[]): string {
  const { code, fix } = problems[0]!;
  const shown = problems.slice(0, SHOWN_OF_A_KIND).map(({ message }) => `  ${printable(message)}\n`);
  const more = problems.length - shown.length;
  return [
    `\n${code}${problems.length === 1 ? '' : ` (${problems.length} times)`}\n`,
    ...shown,
    more > 0 ? `  … and ${more} more, which --json lists\n` : '',
    fix === null ? '' : `  Fix: ${fix}\n`,
  ].join('');
}

function counted(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
