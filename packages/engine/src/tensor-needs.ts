import type { GgufFile } from '@bittern/gguf-parser';
import type { ModelConfig } from './config.ts';

/** The type of a file's ternary matrices, all of them. They are quantized for by different rules (numerics, 3 and 4). */
export type TernaryType = 'I2_S' | 'TL1';

/** A tensor that the graph reads, as the file must have it. */
export interface TensorNeed {
  readonly name: string;
  readonly type: 'F16' | 'F32' | TernaryType;
  /** Outermost first. */
  readonly shape: readonly number[];
}

/** Of one layer; the names are those of the graph's nodes in camelCase. */
export interface LayerNeeds {
  readonly attnNorm: TensorNeed;
  readonly attnQ: TensorNeed;
  readonly attnK: TensorNeed;
  readonly attnV: TensorNeed;
  readonly attnSubNorm: TensorNeed;
  readonly attnOutput: TensorNeed;
  readonly ffnNorm: TensorNeed;
  readonly ffnGate: TensorNeed;
  readonly ffnUp: TensorNeed;
  readonly ffnSubNorm: TensorNeed;
  readonly ffnDown: TensorNeed;
}

/** The reference's graph uses the tied embedding as head even if this is present (numerics, section 5). */
export const IGNORED_TENSOR = 'output.weight';

/** The type that most of a file's ternary matrices have. Others in it are then a problem. */
export function ternaryTypeOf({ tensors }: GgufFile): TernaryType {
  const count = (wanted: TernaryType): number => [...tensors.values()].filter(({ type }) => type === wanted).length;
  return count('TL1') > count('I2_S') ? 'TL1' : 'I2_S';
}

/** It is also the output head. */
export function tokenEmbdNeed({ vocabSize, embeddingLength }: ModelConfig): TensorNeed {
  return { name: 'token_embd.weight', type: 'F16', shape: [vocabSize, embeddingLength] };
}

export function outputNormNeed({ embeddingLength }: ModelConfig): TensorNeed {
  return { name: 'output_norm.weight', type: 'F32', shape: [embeddingLength] };
}

export function layerNeeds(config: ModelConfig, ternaryType: TernaryType, layer: number): LayerNeeds {
  const { embeddingLength, feedForwardLength, headCountKv, headDim } = config;
  const kvLength = headCountKv * headDim;
  const norm = (suffix: string, length: number): TensorNeed => ({
    name: `blk.${layer}.${suffix}.weight`,
    type: 'F32',
    shape: [length],
  });
  const ternary = (suffix: string, rows: number, columns: number): TensorNeed => ({
    name: `blk.${layer}.${suffix}.weight`,
    type: ternaryType,
    shape: [rows, columns],
  });
  return {
    attnNorm: norm('attn_norm', embeddingLength),
    attnQ: ternary('attn_q', embeddingLength, embeddingLength),
    attnK: ternary('attn_k', kvLength, embeddingLength),
    attnV: ternary('attn_v', kvLength, embeddingLength),
    attnSubNorm: norm('attn_sub_norm', embeddingLength),
    attnOutput: ternary('attn_output', embeddingLength, embeddingLength),
    ffnNorm: norm('ffn_norm', embeddingLength),
    ffnGate: ternary('ffn_gate', feedForwardLength, embeddingLength),
    ffnUp: ternary('ffn_up', feedForwardLength, embeddingLength),
    ffnSubNorm: norm('ffn_sub_norm', feedForwardLength),
    ffnDown: ternary('ffn_down', embeddingLength, feedForwardLength),
  };
}

/** What the tensor takes in the kernels' memory. */
export function memoryBytesOf({ type, shape }: TensorNeed): number {
  const elementCount = shape.reduce((product, dim) => product * dim, 1);
  return elementCount * { F32: 4, F16: 2, I2_S: 1 / 4, TL1: 1 / 4 }[type];
}
