import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type GgufEntry,
  type GgufFile,
  type GgufTensor,
  type GgufTensorData,
  type GgufWritable,
  openGguf,
  type Tl1Tiling,
  writeGguf,
} from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { BridgeError } from '../errors.ts';
import type { GraphHooks } from '../hooks.ts';
import { floatsOfHalves } from './half-floats.ts';
import { decodeI2s, decodeTl1, type I2sPacking, type TernaryWeights } from './ternary-decode.ts';
import { encodeTernary, type TernaryTarget, TQ2_0_BLOCK } from './ternary-encode.ts';

/** Architectures of bitnet.cpp, and whether the feed-forward activation is ReLU² instead of SiLU (docs/numerics.md, section 5). */
const ARCHITECTURES: Readonly<Record<string, { readonly reluSquared: boolean }>> = {
  bitnet: { reluSquared: false },
  'bitnet-25': { reluSquared: true },
  'bitnet-b1.58': { reluSquared: true },
};
/** llama_ftype of the weights. */
const FILE_TYPES: Record<TernaryTarget, number> = { F32: 0, F16: 1, TQ2_0: 37 };

export interface TranslateOptions {
  /** What the ternary weights become. llama.cpp rounds their inputs to f16 for `F16`, to int8 by 256 values for `TQ2_0`. */
  readonly weights: TernaryTarget;
  /** Make the embedding F32, so that llama.cpp does not round the input of its product to f16. Default: false. */
  readonly widenEmbedding?: boolean;
  /** Default: 128x32. */
  readonly i2sPacking?: I2sPacking;
  /** For TL1 weights, by shape "rowsxcolumns". */
  readonly tl1Tilings?: Readonly<Record<string, Tl1Tiling>>;
}

export interface Translation {
  /** Of the file that llama.cpp reads. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** With these the graph computes what the original's does. */
  readonly hooks: GraphHooks;
}

/**
 * Writes a BitNet model of bitnet.cpp as one that mainline llama.cpp can read, equal in every weight: architecture
 * `bitnet`, keys renamed, each ternary matrix as -1, 0, 1 with its scale in a tensor `.scale`.
 *
 * @throws BridgeError BRIDGE_UNTRANSLATABLE
 */
export function translateBitnet(gguf: GgufFile, options: TranslateOptions): Translation {
  const { weights, widenEmbedding = false, i2sPacking = '128x32', tl1Tilings = {}, ...unknown } = options;
  const [key] = Object.keys(unknown);
  if (key !== undefined) throw new TypeError(`Unknown option "${key}".`);
  const architecture = gguf.metadata.get('general.architecture');
  const known =
    typeof architecture === 'string' && Object.hasOwn(ARCHITECTURES, architecture)
      ? ARCHITECTURES[architecture]
      : undefined;
  if (known === undefined) {
    throw new BridgeError(
      'BRIDGE_UNTRANSLATABLE',
      `Architecture ${JSON.stringify(architecture)} is none of ${Object.keys(ARCHITECTURES).join(', ')}.`,
    );
  }
  // bitnet.cpp's graph of the ReLU² architectures always takes the embedding as head; mainline's refuses the tensor.
  const tensors = [...gguf.tensors.values()].filter(({ name }) => name !== 'output.weight' || !known.reluSquared);
  const settings = { weights, widenEmbedding, i2sPacking, tl1Tilings };
  // The hook rounds what all products read, which is right only where all weights are ternary; floats read floats.
  const ofLayers = tensors.filter(({ name, shape }) => name.startsWith('blk.') && shape.length === 2);
  const ternary = ofLayers.filter(({ type }) => type === 'I2_S' || type === 'TL1');
  if (ternary.length > 0 && ternary.length < ofLayers.length) {
    const { name, type } = ofLayers.find((tensor) => !ternary.includes(tensor))!;
    throw new BridgeError(
      'BRIDGE_UNTRANSLATABLE',
      `Tensor ${JSON.stringify(name)} has type ${type}, and other matrices of layers are in I2_S or TL1. Only files in which all or none are, are translated.`,
    );
  }
  return {
    chunks: writeGguf({
      metadata: entriesOf(gguf, architecture as string, weights),
      tensors: tensors.flatMap((tensor) => translateTensor(gguf, tensor, settings)),
    }),
    hooks: {
      reluSquared: known.reluSquared,
      int8Activations: ternary.length > 0 && weights !== 'TQ2_0',
      halfValues: false,
    },
  };
}

/** The same from file to file. The output must not exist; nothing is left of it on failure. */
export async function translateBitnetFile(
  files: { readonly model: string; readonly output: string },
  options: TranslateOptions & { readonly signal?: AbortSignal },
): Promise<GraphHooks> {
  const { signal, ...rest } = options;
  await using source = await openFile(files.model);
  const { chunks, hooks } = translateBitnet(await openGguf(source, { signal }), rest);
  const output = createWriteStream(files.output, { flags: 'wx' });
  let created = false;
  output.once('open', () => (created = true));
  try {
    await pipeline(Readable.from(chunks), output, signal === undefined ? {} : { signal });
  } catch (error) {
    if (created) await rm(files.output, { force: true });
    throw error;
  }
  return hooks;
}

function entriesOf({ metadata }: GgufFile, architecture: string, weights: TernaryTarget): GgufEntry[] {
  const entries: GgufEntry[] = [];
  for (const key of metadata.keys()) {
    const type = metadata.typeOf(key)!;
    if (key === 'general.architecture') entries.push([key, 'string', 'bitnet']);
    else if (key === 'general.file_type') entries.push([key, 'u32', FILE_TYPES[weights]]);
    else {
      const renamed = key.startsWith(`${architecture}.`) ? `bitnet.${key.slice(architecture.length + 1)}` : key;
      // Texts as the bytes that they are in the file, which need not be UTF-8.
      const value: GgufWritable = type === 'array<string>' ? metadata.stringBytes(key)! : metadata.get(key)!;
      entries.push([renamed, type, value]);
    }
  }
  return entries;
}

type Settings = Required<TranslateOptions>;

function translateTensor(gguf: GgufFile, tensor: GgufTensor, settings: Settings): GgufTensorData[] {
  const { name, type, shape } = tensor;
  if (type === 'F16' && name === 'token_embd.weight' && settings.widenEmbedding) {
    return [{ name, type: 'F32', shape, data: widened(gguf, name) }];
  }
  if (type === 'F32' || type === 'F16') return [{ name, type, shape, data: gguf.streamTensor(name) }];
  const scaleName = /^(blk\.\d+\.\w+)\.weight$/.exec(name)?.[1];
  if ((type !== 'I2_S' && type !== 'TL1') || scaleName === undefined || shape.length !== 2) {
    throw new BridgeError(
      'BRIDGE_UNTRANSLATABLE',
      `Tensor ${JSON.stringify(name)} has type ${type} and shape [${shape.join(', ')}]. Only matrices of layers in I2_S or TL1 are translated, and F32 and F16 are kept.`,
    );
  }
  if (settings.weights === 'TQ2_0' && shape[1]! % TQ2_0_BLOCK !== 0) {
    throw new BridgeError(
      'BRIDGE_UNTRANSLATABLE',
      `Tensor ${JSON.stringify(name)} has rows of ${shape[1]}, no multiple of ${TQ2_0_BLOCK}, so it cannot be TQ2_0. Take F32 or F16.`,
    );
  }
  // Read when the first of the two is written, and let go with the second.
  let decoded: Promise<TernaryWeights> | undefined;
  const decode = (): Promise<TernaryWeights> => (decoded ??= decodeTensor(gguf, tensor, settings));
  async function* codes(): AsyncGenerator<Uint8Array> {
    yield* encodeTernary((await decode()).codes, settings.weights);
  }
  async function* scale(): AsyncGenerator<Uint8Array> {
    const value = (await decode()).scale;
    decoded = undefined;
    yield new Uint8Array(Float32Array.of(value).buffer);
  }
  return [
    { name, type: settings.weights, shape, data: codes() },
    { name: `${scaleName}.scale`, type: 'F32', shape: [1], data: scale() },
  ];
}

async function decodeTensor(
  gguf: GgufFile,
  { name, type, shape }: GgufTensor,
  settings: Settings,
): Promise<TernaryWeights> {
  const [rows, columns] = shape as [number, number];
  const bytes = await gguf.readTensor(name);
  if (type === 'I2_S') return decodeI2s(name, bytes, rows * columns, settings.i2sPacking);
  const tiling = settings.tl1Tilings[`${rows}x${columns}`];
  if (tiling === undefined) {
    throw new BridgeError(
      'BRIDGE_UNTRANSLATABLE',
      `Tensor ${JSON.stringify(name)} is TL1 of ${rows}x${columns}, for which no tiling is given: the file does not say how it is cut up.`,
    );
  }
  return decodeTl1(name, bytes, rows, columns, tiling);
}

async function* widened(gguf: GgufFile, name: string): AsyncGenerator<Uint8Array> {
  for await (const chunk of gguf.streamTensor(name)) yield new Uint8Array(floatsOfHalves(chunk).buffer);
}
