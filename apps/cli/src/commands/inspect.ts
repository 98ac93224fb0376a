import type { GgufDialectName, GgufFile } from '@bittern/gguf-parser';
import { type I2sLayout, matchesGlob } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { UsageError } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { countText, listMetadata, type MetadataListing, metadataText, valueText } from '../metadata-listing.ts';
import { type OpenedFile, openPathOrUrl } from '../model-file.ts';
import { type ModelSummary, summarize, type TokenizerSummary } from '../model-summary.ts';
import { measure } from '../norms/measure.ts';
import { type NormReport, normReportText, openGate, reportNorms } from '../norms/report.ts';
import { dialectOption, jsonOption, layoutOption, tl1TilingOption } from '../options.ts';
import { printable, ProgressLine, sizeText, table, writeJson } from '../output.ts';
import { readTl1Tiling } from '../tl1-tiling-file.ts';

interface InspectOptions {
  /** A pattern, or true for all. */
  readonly kv?: string | true;
  readonly tensors?: string | true;
  readonly lnStats?: true;
  readonly gate?: string;
  readonly dialect?: GgufDialectName;
  readonly layout?: I2sLayout;
  /** Path of a file. */
  readonly tl1Tiling?: string;
  readonly json?: true;
}

/** What `--json` prints. Without `--kv`, arrays and long strings of the metadata are abbreviated. */
interface Inspection extends ModelSummary {
  readonly tensors: TensorListing;
  readonly metadata: MetadataListing;
}

interface TensorListing {
  /** In the file. */
  readonly count: number;
  readonly bytes: number;
  /** In `entries`: with `--tensors` only. */
  readonly shown: number;
  readonly entries: readonly TensorEntry[];
}

interface TensorEntry {
  readonly name: string;
  readonly type: string;
  /** Outermost first. */
  readonly shape: readonly number[];
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** @param setExitCode - called with 1 if a gate fails; the report was then printed as it should be */
export function addInspectCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('inspect')
    .description('Print what a GGUF file holds: shape, types, dialect, tokenizer, memory; metadata, tensors, norms.')
    .usage('<file> [options]')
    // Not required here, because `--kv model.gguf` takes the file for a pattern, and the message should say so.
    .argument('[file]', 'GGUF file, or http(s) URL of one; of a split model any of its files')
    .option('--kv [pattern]', 'metadata whose keys match (default: all)')
    .option('--tensors [pattern]', 'tensors whose names match (default: all)')
    .addOption(
      new Option('--ln-stats', 'measure every norm, and the scales of the projections').conflicts(['kv', 'tensors']),
    )
    .option('--gate <which>', 'with --ln-stats: none, auto, or a policy file (JSON); exit code 1 if it fails')
    .addOption(dialectOption())
    .addOption(layoutOption().default(undefined, '128x32'))
    .addOption(tl1TilingOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
In patterns * is any characters and ? any one. With --json and --kv arrays are whole; else they are abbreviated.

Examples:
  bittern inspect model.gguf
  bittern inspect model.gguf --kv '*rope*'
  bittern inspect model.gguf --tensors 'blk.0.*'
  bittern inspect model.gguf --ln-stats --gate auto
  bittern inspect https://example.org/model.gguf --json

${EXIT_CODES_HELP}`,
    )
    .action(async (path: string | undefined, options: InspectOptions) => {
      if (path === undefined) throw new UsageError(missingFile(options));
      const verdict = await (options.lnStats ? inspectNorms(path, options, io) : inspect(path, options, io));
      if (verdict === 'fail') setExitCode(EXIT_CODES.failed);
    });
}

function missingFile({ kv, tensors }: InspectOptions): string {
  const taken = [kv, tensors].find((value) => typeof value === 'string');
  const hint = taken === undefined ? '' : `; ${JSON.stringify(taken)} was taken for a pattern, so put the file first`;
  return `missing required argument 'file'${hint}. Usage: bittern inspect <file> [options]`;
}

async function inspect(path: string, options: InspectOptions, io: Io): Promise<void> {
  const { kv, tensors, gate, layout, json } = options;
  if (gate !== undefined) throw new UsageError('--gate needs --ln-stats.');
  const tl1Tiling = await readTl1Tiling(options.tl1Tiling);
  await using file = await open(path, options, io);
  const summary = (): ModelSummary => summarize(path, file.gguf, { isLayoutGiven: layout !== undefined, tl1Tiling });
  const metadata = listMetadata(file.gguf.metadata, { glob: globOf(kv), whole: json === true && kv !== undefined });
  const listing = listTensors(file.gguf, tensors);
  if (json) {
    await writeJson(io, { ...summary(), tensors: listing, metadata } satisfies Inspection);
    return;
  }
  const sections = [
    ...(kv === undefined ? [] : [metadataText(metadata, globOf(kv))]),
    ...(tensors === undefined ? [] : [tensorsText(listing, globOf(tensors))]),
  ];
  const text = sections.length > 0 ? sections : [summaryText(summary(), metadata, listing)];
  await io.stdout.write(text.join('\n'));
}

async function inspectNorms(path: string, options: InspectOptions, io: Io): Promise<NormReport['verdict']> {
  await using file = await open(path, options, io);
  const gate = await openGate(options.gate ?? 'auto', file.gguf);
  using progress = new ProgressLine(io);
  const measurements = await measure(file.gguf, {
    signal: io.signal,
    onProgress: (done, total) => progress.show(`Measuring: ${done} of ${total} tensors`),
  });
  progress.clear();
  const report = reportNorms(path, file.gguf, gate, measurements);
  await (options.json ? writeJson(io, report) : io.stdout.write(normReportText(report)));
  return report.verdict;
}

function open(path: string, { dialect, layout }: InspectOptions, io: Io): Promise<OpenedFile> {
  return openPathOrUrl(path, io, { dialect, i2sLayout: layout });
}

function globOf(option: string | true | undefined): string | undefined {
  return typeof option === 'string' ? option : undefined;
}

function listTensors({ tensors }: GgufFile, wanted: string | true | undefined): TensorListing {
  const glob = globOf(wanted) ?? '*';
  const all = [...tensors.values()];
  const entries = wanted === undefined ? [] : all.filter(({ name }) => matchesGlob(glob, name));
  return {
    count: all.length,
    bytes: all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    shown: entries.length,
    entries: entries.map(({ name, type, shape, offsetBytes, sizeBytes }) => ({
      name,
      type,
      shape,
      offsetBytes,
      sizeBytes,
    })),
  };
}

function tensorsText({ count, shown, entries }: TensorListing, glob: string | undefined): string {
  const rows = entries.map(({ name, type, shape, offsetBytes, sizeBytes }) => [
    `  ${printable(name)}`,
    type,
    `[${shape.join(', ')}]`,
    String(sizeBytes),
    String(offsetBytes),
  ]);
  const head = ['  tensor', 'type', 'shape (outermost first)', 'bytes', 'at byte'];
  return `${countText('Tensors', 'tensors', shown, count, glob)}\n${table([head, ...rows])}`;
}

function summaryText(summary: ModelSummary, metadata: MetadataListing, tensors: TensorListing): string {
  const { dialect, i2sLayout, tl1Tiling, architecture, name, parameters, files, tokenizer } = summary;
  const head = table([
    ['file', printable(summary.file)],
    ['size', `${sizeText(summary.sizeBytes)}${files === 1 ? '' : ` in ${files} files`}`],
    ['GGUF', `version ${summary.version}, ${summary.byteOrder}-endian, alignment ${summary.alignment}`],
    ['dialect', `${dialect.name}: ${printable(dialect.reason)}`],
    ...(i2sLayout === null ? [] : [['I2_S layout', `${i2sLayout.name}: ${i2sLayout.reason}`]]),
    ...(tl1Tiling === null ? [] : [['TL1 tiling', printable(tl1Tiling.reason)]]),
    ['architecture', architecture === null ? 'not named' : valueText(architecture)],
    ['name', name === null ? 'not named' : valueText(name)],
    ['parameters', String(parameters)],
    ['memory to run', memoryText(summary)],
  ]);
  const hyperparameters = Object.entries(summary.hyperparameters).map(([key, value]) => [
    `  ${printable(key)}`,
    valueText(value),
  ]);
  const types = summary.types.map(({ type, count, elements, bytes }) => [
    `  ${type}`,
    String(count),
    String(elements),
    ((8 * bytes) / elements).toFixed(2),
    sizeText(bytes),
  ]);
  return [
    head,
    `Hyperparameters\n${table(hyperparameters)}`,
    `Tensors: ${tensors.count} (--tensors lists them)\n${table([['  type', 'tensors', 'elements', 'bits each', 'size'], ...types])}`,
    `Tokenizer\n${tokenizerText(tokenizer)}`,
    `Metadata: ${metadata.count} keys (--kv lists them)\n`,
  ].join('\n');
}

function memoryText({ memory }: ModelSummary): string {
  if (memory === null) return 'not known: the model cannot run here; `bittern compat-check` says why';
  const { total, weights, cache, contextLength, activations } = memory;
  const parts = `weights ${megabytes(weights)}, KV cache of ${contextLength} tokens ${megabytes(cache)}`;
  return `${megabytes(total)} (estimate): ${parts}, activations ${megabytes(activations)}`;
}

function tokenizerText({ model, pre, tokens, merges, bos, eos, ...tokenizer }: TokenizerSummary): string {
  const special = (token: TokenizerSummary['bos']): string =>
    token === null ? 'none' : `${token.id} ${valueText(token.text)}`;
  const rows = [
    ['  model', model === null ? 'none in the file' : valueText(model)],
    ['  pre-tokenizer', pre === null ? 'not named in the file' : valueText(pre)],
    ['  vocabulary', `${tokens} tokens, ${merges} merges`],
  ];
  if (tokenizer.problem === null) {
    const { id, inFile, reason } = tokenizer.chatTemplate!;
    rows.push(
      ['  BOS', `${special(bos)}${tokenizer.addBos ? ', put before every text' : ', not added'}`],
      ['  EOS', special(eos)],
      ['  chat template', `${id}, ${inFile ? 'one is in the file' : 'none in the file'}: ${printable(reason)}`],
    );
  } else if (model !== null) {
    rows.push(['  not usable here', printable(tokenizer.problem.message)]);
  }
  rows.push(...tokenizer.warnings.map((warning) => ['  warning', printable(warning)]));
  return table(rows);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
