import { checkModel, type ModelCheck, type Tl1Tilings } from '@bittern/engine';
import type { GgmlTypeName, GgufFile } from '@bittern/gguf-parser';
import { detectTemplate, type Tokenizer, tokenizerFromGguf } from '@bittern/tokenizer';
import { codeOf, isUnusable } from './errors.ts';
import { arrayLength, listMetadata, type Readable, readText, readValue } from './metadata-listing.ts';

/** What a file holds, without its metadata and tensors one by one. */
export interface ModelSummary {
  readonly file: string;
  readonly sizeBytes: number;
  /** More than one for a split model. */
  readonly files: number;
  readonly version: number;
  readonly byteOrder: string;
  readonly alignment: number;
  readonly dialect: { readonly name: string; readonly reason: string };
  /** How I2_S weights are taken to be packed; null where there are none. */
  readonly i2sLayout: { readonly name: string; readonly reason: string } | null;
  /** How TL1 weights are packed, null if nobody says; null where there are none. */
  readonly tl1Tiling: { readonly tilings: Tl1Tilings | null; readonly reason: string } | null;
  readonly architecture: Readable | null;
  readonly name: Readable | null;
  /** The keys `<architecture>.*`, without that prefix, arrays left out. */
  readonly hyperparameters: Readonly<Record<string, Readable>>;
  /** Elements of all tensors. */
  readonly parameters: number;
  readonly types: readonly TypeCount[];
  readonly tokenizer: TokenizerSummary;
  /** Of a session with the model's own context; null for a model that cannot run here. */
  readonly memory: MemorySummary | null;
}

/** Tensors of one type, by size. */
interface TypeCount {
  readonly type: string;
  readonly count: number;
  readonly elements: number;
  readonly bytes: number;
}

export interface TokenizerSummary {
  readonly model: Readable | null;
  /** As the file names it; null if it does not. */
  readonly pre: Readable | null;
  readonly tokens: number;
  readonly merges: number;
  readonly bos: SpecialToken | null;
  readonly eos: SpecialToken | null;
  readonly addBos: boolean | null;
  /** Which chat template fits; null without a tokenizer. */
  readonly chatTemplate: { readonly inFile: boolean; readonly id: string; readonly reason: string } | null;
  /** Why it cannot be used here. */
  readonly problem: { readonly code: string | null; readonly message: string } | null;
  readonly warnings: readonly string[];
}

interface SpecialToken {
  readonly id: number;
  readonly text: string;
}

interface MemorySummary {
  readonly contextLength: number;
  readonly weights: number;
  readonly cache: number;
  readonly activations: number;
  readonly total: number;
}

/** What the file does not say. */
export interface SummaryOptions {
  readonly isLayoutGiven: boolean;
  readonly tl1Tiling: Tl1Tilings | undefined;
}

export function summarize(path: string, gguf: GgufFile, { isLayoutGiven, tl1Tiling }: SummaryOptions): ModelSummary {
  const { source, metadata, tensors } = gguf;
  const check = checkModel(gguf, tl1Tiling && { tl1Tiling });
  return {
    file: path,
    sizeBytes: source.sizeBytes,
    files: source.parts?.length ?? 1,
    version: gguf.version,
    byteOrder: gguf.byteOrder,
    alignment: gguf.alignment,
    dialect: gguf.dialect,
    i2sLayout: layoutOf(gguf, isLayoutGiven),
    tl1Tiling: tilingOf(gguf, tl1Tiling, check),
    architecture: readValue(metadata, 'general.architecture') ?? null,
    name: readValue(metadata, 'general.name') ?? null,
    hyperparameters: hyperparametersOf(gguf),
    parameters: [...tensors.values()].reduce((sum, { elementCount }) => sum + elementCount, 0),
    types: countTypes(tensors),
    tokenizer: summarizeTokenizer(gguf),
    memory: memoryOf(check),
  };
}

function layoutOf(gguf: GgufFile, isGiven: boolean): ModelSummary['i2sLayout'] {
  if (!hasType(gguf.tensors, 'I2_S')) return null;
  const reason = isGiven
    ? 'given with --layout'
    : 'the default, which all released files have; the file does not say, and ARM builds since November 2025 write 64x16';
  return { name: gguf.i2sLayout, reason };
}

function tilingOf(
  { tensors }: GgufFile,
  given: Tl1Tilings | undefined,
  { problems }: ModelCheck,
): ModelSummary['tl1Tiling'] {
  if (!hasType(tensors, 'TL1')) return null;
  const faults = problems.filter(({ code }) => code === 'ENGINE_TL1_TILING').map(({ message }) => message);
  const whence = given === undefined ? 'not known without --tl1-tiling' : 'given with --tl1-tiling';
  return { tilings: given ?? null, reason: faults.length === 0 ? whence : `${whence}: ${faults.join(' ')}` };
}

function hasType(tensors: GgufFile['tensors'], wanted: GgmlTypeName): boolean {
  return [...tensors.values()].some(({ type }) => type === wanted);
}

function hyperparametersOf({ metadata }: GgufFile): Record<string, Readable> {
  const prefix = `${readText(metadata, 'general.architecture') ?? ''}.`;
  const { entries } = listMetadata(metadata);
  return Object.fromEntries(
    entries.flatMap((entry) =>
      entry.key.startsWith(prefix) && 'value' in entry ? [[entry.key.slice(prefix.length), entry.value] as const] : [],
    ),
  );
}

function countTypes(tensors: GgufFile['tensors']): TypeCount[] {
  const types = new Map<string, TypeCount>();
  for (const { type, sizeBytes, elementCount } of tensors.values()) {
    const { count, elements, bytes } = types.get(type) ?? { count: 0, elements: 0, bytes: 0 };
    types.set(type, { type, count: count + 1, elements: elements + elementCount, bytes: bytes + sizeBytes });
  }
  return [...types.values()].toSorted((a, b) => b.bytes - a.bytes);
}

function memoryOf({ problems, config, memory }: ModelCheck): MemorySummary | null {
  if (problems.length > 0 || config === undefined || memory === undefined) return null;
  const { weights, cache, activations } = memory;
  return {
    contextLength: config.contextLength,
    weights,
    cache,
    activations,
    total: weights + cache + activations,
  };
}

function summarizeTokenizer({ metadata }: GgufFile): TokenizerSummary {
  const inFile = {
    model: readValue(metadata, 'tokenizer.ggml.model') ?? null,
    pre: readValue(metadata, 'tokenizer.ggml.pre') ?? null,
    tokens: arrayLength(metadata, 'tokenizer.ggml.tokens'),
    merges: arrayLength(metadata, 'tokenizer.ggml.merges'),
  };
  const warnings: string[] = [];
  try {
    const tokenizer = tokenizerFromGguf(metadata, { onWarning: (message) => warnings.push(message) });
    const template = readText(metadata, 'tokenizer.chat_template');
    const architecture = readText(metadata, 'general.architecture');
    return {
      ...inFile,
      bos: specialToken(tokenizer, tokenizer.bosId),
      eos: specialToken(tokenizer, tokenizer.eosId),
      addBos: tokenizer.addBos,
      chatTemplate: {
        inFile: metadata.has('tokenizer.chat_template'),
        ...detectTemplate(tokenizer, { source: template, architecture }),
      },
      problem: null,
      warnings,
    };
  } catch (error) {
    if (!isUnusable(error)) throw error;
    const problem = { code: codeOf(error) ?? null, message: error.message };
    return { ...inFile, bos: null, eos: null, addBos: null, chatTemplate: null, problem, warnings };
  }
}

function specialToken(tokenizer: Tokenizer, id: number | undefined): SpecialToken | null {
  return id === undefined ? null : { id, text: tokenizer.piece(id) };
}
