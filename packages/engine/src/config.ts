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
 * @param vocabSize - rows of token_embd.weight
 * @throws {EngineError} ENGINE_UNSUPPORTED_ARCHITECTURE, ENGINE_INVALID_METADATA, ENGINE_UNSUPPORTED_MODEL
 */
export function readConfig(metadata: GgufMetadata, vocabSize: number): ModelConfig {
  const architecture = metadata.get('general.architecture');
  if (!isArchitecture(architecture)) {
    throw new EngineError(
      'ENGINE_UNSUPPORTED_ARCHITECTURE',
      `Architecture ${JSON.stringify(architecture)} (general.architecture) is not supported. Supported: ${ARCHITECTURES.join(', ')}.`,
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

  const require = (holds: boolean, message: string): void => {
    if (!holds) throw new EngineError('ENGINE_UNSUPPORTED_MODEL', `${message}. This shape of model is not supported.`);
  };
  require(integer('vocab_size', vocabSize) ===
    vocabSize, `"${key('vocab_size')}" is ${integer('vocab_size', vocabSize)}, but token_embd.weight has ${vocabSize} rows`);
  require(headDim % 8 ===
    0, `embedding_length ${embeddingLength} / head_count ${headCount} = ${headDim} is not a multiple of 8`);
  require(headCount % config.headCountKv ===
    0, `head_count ${headCount} is not a multiple of head_count_kv ${config.headCountKv}`);
  require(integer('rope.dimension_count', headDim) ===
    headDim, `rope.dimension_count ${integer('rope.dimension_count', headDim)} is not the head dimension ${headDim}: partial rotation`);
  require(number('rope.scaling.factor', 1) === 1, `rope.scaling.factor is ${number('rope.scaling.factor', 1)}, not 1`);
  for (const [name, width] of [
    ['embedding_length', embeddingLength],
    ['feed_forward_length', config.feedForwardLength],
  ] as const) {
    require(width % 128 === 0 && width <= MAX_WIDTH, `${name} ${width} is not a multiple of 128 up to ${MAX_WIDTH}`);
  }
  return config;
}

function isArchitecture(value: unknown): value is Architecture {
  return ARCHITECTURES.includes(value as Architecture);
}
