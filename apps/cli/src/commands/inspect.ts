import type { GgufArray, GgufFile, GgufValue } from '@bittern/gguf-parser';
import type { Command } from 'commander';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { openModelFile } from '../model-file.ts';
import { jsonOption } from '../options.ts';
import { printable, table, writeJson } from '../output.ts';

/** What `--json` prints. */
interface Inspection {
  readonly file: string;
  readonly sizeBytes: number;
  readonly version: number;
  readonly alignment: number;
  readonly architecture: GgufValue | null;
  readonly name: GgufValue | null;
  /** The keys `<architecture>.*`, without that prefix, arrays left out. */
  readonly hyperparameters: Readonly<Record<string, GgufValue>>;
  readonly tokenizer: { readonly model: GgufValue | null; readonly pre: GgufValue | null; readonly tokens: number };
  readonly tensors: { readonly count: number; readonly elements: number; readonly types: readonly TypeCount[] };
  readonly metadata: { readonly count: number; readonly entries: readonly MetadataEntry[] };
}

interface TypeCount {
  readonly type: string;
  readonly count: number;
  readonly bytes: number;
}

/** A value, or of an array its length and first elements. */
type MetadataEntry = { readonly key: string; readonly type: string } & (
  | { readonly value: GgufValue }
  | { readonly length: number; readonly first: readonly unknown[] }
);

/** Elements of an array that are shown. */
const SHOWN_ELEMENTS = 5;
/** Characters of a string that the text form shows. */
const SHOWN_CHARACTERS = 120;

export function addInspectCommand(program: Command, io: Io): void {
  program
    .command('inspect')
    .description('Print what a GGUF file holds: hyperparameters, tokenizer, tensor types, metadata.')
    .argument('<file>', 'GGUF file')
    .addOption(jsonOption())
    .addHelpText('after', `\nExample:\n  bittern inspect model.gguf\n\n${EXIT_CODES_HELP}`)
    .action((path: string, options: { readonly json?: true }) => inspect(path, options, io));
}

async function inspect(path: string, { json }: { readonly json?: true }, io: Io): Promise<void> {
  await using file = await openModelFile(path, io);
  const inspection = describe(path, file.gguf);
  await (json ? writeJson(io, inspection) : io.stdout.write(textOf(inspection)));
}

function describe(path: string, { source, version, alignment, metadata, tensors }: GgufFile): Inspection {
  const architecture = metadata.get('general.architecture') ?? null;
  const prefix = `${String(architecture)}.`;
  const entries = Array.from(metadata.keys(), (key) => describeEntry(key, metadata.typeOf(key)!, metadata.get(key)!));
  const hyperparameters = entries.flatMap((entry) =>
    entry.key.startsWith(prefix) && 'value' in entry ? [[entry.key.slice(prefix.length), entry.value] as const] : [],
  );
  const tokens = metadata.get('tokenizer.ggml.tokens');
  return {
    file: path,
    sizeBytes: source.sizeBytes,
    version,
    alignment,
    architecture,
    name: metadata.get('general.name') ?? null,
    hyperparameters: Object.fromEntries(hyperparameters),
    tokenizer: {
      model: metadata.get('tokenizer.ggml.model') ?? null,
      pre: metadata.get('tokenizer.ggml.pre') ?? null,
      tokens: isArray(tokens) ? tokens.length : 0,
    },
    tensors: {
      count: tensors.size,
      elements: [...tensors.values()].reduce((sum, { elementCount }) => sum + elementCount, 0),
      types: countTypes(tensors),
    },
    metadata: { count: metadata.size, entries },
  };
}

function countTypes(tensors: GgufFile['tensors']): TypeCount[] {
  const types = new Map<string, TypeCount>();
  for (const { type, sizeBytes } of tensors.values()) {
    const { count, bytes } = types.get(type) ?? { count: 0, bytes: 0 };
    types.set(type, { type, count: count + 1, bytes: bytes + sizeBytes });
  }
  return [...types.values()].toSorted((a, b) => b.bytes - a.bytes);
}

function describeEntry(key: string, type: string, value: GgufValue): MetadataEntry {
  if (!isArray(value)) return { key, type, value };
  return { key, type, length: value.length, first: Array.from(value.slice(0, SHOWN_ELEMENTS), abbreviate) };
}

/** An array within an array is shown by its length alone. */
function abbreviate(element: unknown): unknown {
  return isArray(element) ? { length: element.length } : element;
}

function isArray(value: unknown): value is GgufArray {
  return Array.isArray(value) || ArrayBuffer.isView(value);
}

function textOf(inspection: Inspection): string {
  const { tensors, tokenizer, metadata } = inspection;
  const tokenizerText =
    tokenizer.model === null
      ? 'none'
      : `${scalar(tokenizer.model)}, pre-tokenizer ${tokenizer.pre === null ? 'not named' : scalar(tokenizer.pre)}, ${tokenizer.tokens} tokens`;
  const head = table([
    ['file', printable(inspection.file)],
    ['size', sizeText(inspection.sizeBytes)],
    ['GGUF version', `${inspection.version}, alignment ${inspection.alignment}`],
    ['architecture', inspection.architecture === null ? 'not named' : scalar(inspection.architecture)],
    ['name', inspection.name === null ? 'not named' : scalar(inspection.name)],
    ['tokenizer', tokenizerText],
  ]);
  const hyperparameters = Object.entries(inspection.hyperparameters).map(([key, value]) => [
    `  ${printable(key)}`,
    scalar(value),
  ]);
  const types = tensors.types.map(({ type, count, bytes }) => [`  ${type}`, String(count), sizeText(bytes)]);
  const entries = metadata.entries.map((entry) => [`  ${printable(entry.key)}`, entry.type, entryText(entry)]);
  return [
    head,
    `Hyperparameters\n${table(hyperparameters)}`,
    `Tensors: ${tensors.count}, with ${tensors.elements} elements\n${table([['  type', 'tensors', 'size'], ...types])}`,
    `Metadata: ${metadata.count} keys\n${table(entries)}`,
  ].join('\n');
}

function entryText(entry: MetadataEntry): string {
  if ('value' in entry) return scalar(entry.value);
  const more = entry.length > entry.first.length ? ', …' : '';
  return `${entry.length} elements: ${entry.first.map(scalar).join(', ')}${more}`;
}

function scalar(value: unknown): string {
  if (isLength(value)) return `[${value.length} elements]`;
  if (typeof value !== 'string') return String(value);
  if (value.length <= SHOWN_CHARACTERS) return printable(JSON.stringify(value));
  return `${printable(JSON.stringify(value.slice(0, SHOWN_CHARACTERS)))}… (${value.length} characters)`;
}

function isLength(value: unknown): value is { readonly length: number } {
  return typeof value === 'object' && value !== null && 'length' in value;
}

function sizeText(count: number): string {
  return count < 1e6 ? `${count} bytes` : `${count} bytes (${(count / 1e6).toFixed(1)} MB)`;
}
