import type { GgufMetadata } from '@bittern/gguf-parser';
import type { ReportProblem } from './errors.ts';

export type Architecture = 'bitnet' | 'bitnet-25' | 'bitnet-b1.58' | 'llama';

const ARCHITECTURES: readonly Architecture[] = ['bitnet', 'bitnet-25', 'bitnet-b1.58', 'llama'];

/** A model's hyperparameters, every number from the file. Names are the GGUF keys in camelCase. */
export interface ModelConfig {
  readonly architecture: Architecture;
  /**
   * `bitnet`: norms before the output and down projections, RoPE of halves, the embedding as head. `llama`: no such
   * norms, RoPE of neighbours, a head of its own or the embedding (numerics, sections 5 and 11).
   */
  readonly graph: 'bitnet' | 'llama';
  /** Activation of the gate: SiLU in `bitnet` and `llama`, squared ReLU in the others (numerics, section 5). */
  readonly activation: 'silu' | 'relu-squared';
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly embeddingLength: number;
  readonly blockCount: number;
  readonly feedForwardLength: number;
  readonly headCount: number;
  readonly headCountKv: number;
  /** `attention.key_length`, else embeddingLength / headCount. */
  readonly headDim: number;
  readonly layerNormRmsEpsilon: number;
  readonly ropeFreqBase: number;
}

/** f32(codes · activations) is exact up to this many columns (kernels, `i2sGemv`). */
const MAX_WIDTH = 65_536;

/**
 * Reads and checks the hyperparameters. Whatever is wrong with them is reported; those that cannot be read are NaN.
 *
 * @param vocabSize - rows of token_embd.weight, undefined if there is no such tensor
 * @returns undefined if the architecture is not supported: then no other key is known
 */
export function readConfig(
  metadata: GgufMetadata,
  vocabSize: number | undefined,
  report: ReportProblem,
): ModelConfig | undefined {
  const architecture = readArchitecture(metadata, report);
  if (architecture === undefined) return undefined;

  if (vocabSize === undefined) {
    report({
      code: 'ENGINE_MISSING_TENSOR',
      message: 'Tensor "token_embd.weight" is missing.',
      fix: 'The file is incomplete; convert or download it again.',
      tensors: ['token_embd.weight'],
    });
  }

  const refuse = (key: string, value: string, wanted: string): number => {
    report({
      code: 'ENGINE_INVALID_METADATA',
      message: `Key "${key}" is ${value}, not a ${wanted}.`,
      fix: `The file is not a whole ${architecture} model; convert or download it again.`,
    });
    return Number.NaN;
  };
  const number = (name: string, fallback?: number): number => {
    const key = `${architecture}.${name}`;
    const type = metadata.typeOf(key);
    if (type === 'string' || type?.startsWith('array')) return refuse(key, `of type ${type}`, 'positive number');
    if (type === undefined && Number.isNaN(fallback)) return Number.NaN; // what it would default to has been reported
    const value = metadata.get(key) ?? fallback;
    const isPositive = typeof value === 'number' && value > 0 && Number.isFinite(value);
    return isPositive ? value : refuse(key, String(value), 'positive number');
  };
  const integer = (name: string, fallback?: number): number => {
    const value = number(name, fallback);
    if (Number.isNaN(value) || Number.isSafeInteger(value)) return value;
    return refuse(`${architecture}.${name}`, String(value), 'whole number');
  };

  const headCount = integer('attention.head_count');
  const embeddingLength = integer('embedding_length');
  const dividedLength = embeddingLength / headCount;
  /** Of a fallback that need not be whole, so that the key is not blamed for it. */
  const lengthOr = (name: string, fallback: number): number =>
    metadata.has(`${architecture}.${name}`) ? integer(name) : fallback;
  const headDim = lengthOr('attention.key_length', dividedLength);
  const config: ModelConfig = {
    architecture,
    graph: architecture === 'llama' ? 'llama' : 'bitnet',
    activation: architecture === 'bitnet' || architecture === 'llama' ? 'silu' : 'relu-squared',
    vocabSize: vocabSize ?? Number.NaN,
    contextLength: integer('context_length'),
    embeddingLength,
    blockCount: integer('block_count'),
    feedForwardLength: integer('feed_forward_length'),
    headCount,
    headCountKv: integer('attention.head_count_kv', headCount),
    headDim,
    layerNormRmsEpsilon: number('attention.layer_norm_rms_epsilon'),
    ropeFreqBase: number('rope.freq_base', 10_000),
  };

  const { feedForwardLength, headCountKv } = config;
  const vocabSizeKey = integer('vocab_size', vocabSize ?? 1);
  const ropeDimensionCount = integer('rope.dimension_count', headDim);
  const valueLength = lengthOr('attention.value_length', dividedLength);
  const ropeScalingFactor = number('rope.scaling.factor', number('rope.scale_linear', 1));
  const isHeadKnown = Number.isFinite(headDim);
  const requirements: readonly (readonly [isKnown: boolean, holds: boolean, otherwise: string])[] = [
    [
      vocabSize !== undefined && Number.isFinite(vocabSizeKey),
      vocabSizeKey === vocabSize,
      `vocab_size is ${vocabSizeKey}, but token_embd.weight has ${vocabSize} rows`,
    ],
    [isHeadKnown, headDim % 8 === 0, `head size ${embeddingLength} / ${headCount} = ${headDim} is not a multiple of 8`],
    [
      isHeadKnown && Number.isFinite(valueLength),
      valueLength === headDim,
      `a head's keys have ${headDim} dimensions and its values ${valueLength}`,
    ],
    [
      isHeadKnown && Number.isFinite(headCount * embeddingLength),
      config.graph === 'llama' ? (headCount * headDim) % 32 === 0 : headDim === dividedLength,
      config.graph === 'llama'
        ? `${headCount} heads of ${headDim} are not a multiple of 32`
        : `${headCount} heads of ${headDim} are not ${embeddingLength}`,
    ],
    [
      isHeadKnown,
      headCount > 1 || headDim % 16 === 0,
      `the size of the only head, ${headDim}, is not a multiple of 16`,
    ],
    [
      Number.isFinite(headCount + headCountKv),
      headCount % headCountKv === 0,
      `${headCount} heads are not a multiple of ${headCountKv} kv heads`,
    ],
    [
      isHeadKnown && Number.isFinite(ropeDimensionCount),
      ropeDimensionCount === headDim,
      `RoPE turns ${ropeDimensionCount} of a head's ${headDim} dimensions`,
    ],
    [Number.isFinite(ropeScalingFactor), ropeScalingFactor === 1, `RoPE scaling factor is ${ropeScalingFactor}, not 1`],
    [
      Number.isFinite(embeddingLength),
      isWidth(embeddingLength),
      `embedding_length ${embeddingLength} is not a multiple of 32 up to ${MAX_WIDTH}`,
    ],
    [
      Number.isFinite(feedForwardLength),
      isWidth(feedForwardLength),
      `feed_forward_length ${feedForwardLength} is not a multiple of 32 up to ${MAX_WIDTH}`,
    ],
  ];
  for (const [isKnown, holds, otherwise] of requirements) {
    if (!isKnown || holds) continue;
    report({
      code: 'ENGINE_UNSUPPORTED_MODEL',
      message: `A ${architecture} model of this shape is not supported: ${otherwise}.`,
      fix: 'Check that the metadata is right; if it is, take another model.',
    });
  }
  return config;
}

function readArchitecture(metadata: GgufMetadata, report: ReportProblem): Architecture | undefined {
  const key = 'general.architecture';
  const type = metadata.typeOf(key);
  // Bytes, because text that is not UTF-8 is an error when it is asked for.
  const bytes = type === 'string' ? metadata.stringBytes(key)?.[0] : undefined;
  const value = bytes && new TextDecoder().decode(bytes);
  const architecture = ARCHITECTURES.find((name) => name === value);
  if (architecture === undefined) {
    const shown = value === undefined ? type && `of type ${type}` : JSON.stringify(value.slice(0, 80));
    report({
      code: 'ENGINE_UNSUPPORTED_ARCHITECTURE',
      message: `Architecture ${shown} (${key}) is not supported.`,
      fix: `Supported: ${ARCHITECTURES.join(', ')}.`,
    });
  }
  return architecture;
}

/** Of a row of activations: whole blocks of Q8_0, and few enough that f32 holds a ternary dot product exactly. */
function isWidth(length: number): boolean {
  return length % 32 === 0 && length <= MAX_WIDTH;
}
