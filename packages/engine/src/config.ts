import type { GgufMetadata } from '@bittern/gguf-parser';
import { EngineError } from './errors.ts';

export type Architecture = 'bitnet' | 'bitnet-25' | 'bitnet-b1.58';

const ARCHITECTURES: readonly Architecture[] = ['bitnet', 'bitnet-25', 'bitnet-b1.58'];

/** A model's hyperparameters, every number from the file. Names are the GGUF keys in camelCase. */
export interface ModelConfig {
  readonly architecture: Architecture;
  /** Activation of the gate: SiLU in `bitnet`, squared ReLU in the others (numerics, section 5). */
  readonly activation: 'silu' | 'relu-squared';
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly embeddingLength: number;
  readonly blockCount: number;
  readonly feedForwardLength: number;
  readonly headCount: number;
  readonly headCountKv: number;
  /** embeddingLength / headCount. */
  readonly headDim: number;
  readonly layerNormRmsEpsilon: number;
  readonly ropeFreqBase: number;
}

/** f32(codes · activations) is exact up to this many columns (kernels, `i2sGemv`). */
const MAX_WIDTH = 65_536;

/**
 * Reads and checks the hyperparameters.
 *
 * @param vocabSize - rows of token_embd.weight, undefined if there is no such tensor
 * @throws {EngineError} ENGINE_UNSUPPORTED_ARCHITECTURE, ENGINE_MISSING_TENSOR, ENGINE_INVALID_METADATA,
 *   ENGINE_UNSUPPORTED_MODEL
 */
export function readConfig(metadata: GgufMetadata, vocabSize: number | undefined): ModelConfig {
  const architecture = metadata.get('general.architecture');
  if (!isArchitecture(architecture)) {
    throw new EngineError(
      'ENGINE_UNSUPPORTED_ARCHITECTURE',
      `Architecture ${JSON.stringify(architecture)} (general.architecture) is not supported. Supported: ${ARCHITECTURES.join(', ')}.`,
    );
  }

  if (vocabSize === undefined) {
    throw new EngineError(
      'ENGINE_MISSING_TENSOR',
      'Tensor "token_embd.weight" is missing. The file is incomplete; convert or download it again.',
    );
  }

  const key = (name: string): string => `${architecture}.${name}`;
  const number = (name: string, fallback?: number): number => {
    const value = metadata.get(key(name)) ?? fallback;
    if (typeof value !== 'number' || !(value > 0 && Number.isFinite(value))) {
      throw new EngineError(
        'ENGINE_INVALID_METADATA',
        `Key "${key(name)}" is ${String(value)}, not a positive number. The file is not a whole ${architecture} model.`,
      );
    }
    return value;
  };
  const integer = (name: string, fallback?: number): number => {
    const value = number(name, fallback);
    if (!Number.isSafeInteger(value))
      throw new EngineError('ENGINE_INVALID_METADATA', `Key "${key(name)}" is ${value}, not a whole number.`);
    return value;
  };

  const headCount = integer('attention.head_count');
  const embeddingLength = integer('embedding_length');
  const headDim = embeddingLength / headCount;
  const config: ModelConfig = {
    architecture,
    activation: architecture === 'bitnet' ? 'silu' : 'relu-squared',
    vocabSize,
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

  const vocabSizeKey = integer('vocab_size', vocabSize);
  const ropeDimensionCount = integer('rope.dimension_count', headDim);
  const ropeScalingFactor = number('rope.scaling.factor', 1);
  const requirements: readonly (readonly [holds: boolean, otherwise: string])[] = [
    [vocabSizeKey === vocabSize, `vocab_size is ${vocabSizeKey}, but token_embd.weight has ${vocabSize} rows`],
    [headDim % 8 === 0, `head size ${embeddingLength} / ${headCount} = ${headDim} is not a multiple of 8`],
    [headCount > 1 || headDim % 16 === 0, `the size of the only head, ${headDim}, is not a multiple of 16`],
    [headCount % config.headCountKv === 0, `${headCount} heads are not a multiple of ${config.headCountKv} kv heads`],
    [ropeDimensionCount === headDim, `RoPE turns ${ropeDimensionCount} of a head's ${headDim} dimensions`],
    [ropeScalingFactor === 1, `RoPE scaling factor is ${ropeScalingFactor}, not 1`],
    [isWidth(embeddingLength), `embedding_length ${embeddingLength} is not a multiple of 128 up to ${MAX_WIDTH}`],
    [
      isWidth(config.feedForwardLength),
      `feed_forward_length ${config.feedForwardLength} is not a multiple of 128 up to ${MAX_WIDTH}`,
    ],
  ];
  const broken = requirements.find(([holds]) => !holds);
  if (broken)
    throw new EngineError(
      'ENGINE_UNSUPPORTED_MODEL',
      `A ${architecture} model of this shape is not supported: ${broken[1]}.`,
    );
  return config;
}

function isArchitecture(value: unknown): value is Architecture {
  return ARCHITECTURES.includes(value as Architecture);
}

/** Of a row of activations: whole I2_S blocks, and few enough that f32 holds a dot product exactly. */
function isWidth(length: number): boolean {
  return length % 128 === 0 && length <= MAX_WIDTH;
}
