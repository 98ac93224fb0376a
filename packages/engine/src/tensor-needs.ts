import type { GgmlTypeName, GgufFile } from '@bittern/gguf-parser';
import type { ModelConfig } from './config.ts';
import { EMBEDDING_TYPES, MATRIX_TYPES, type MatrixType } from './matrix-types.ts';

/** bitnet.cpp's ternary types. A file has one of them: they are quantized for by different rules (numerics, 3 and 4). */
export type TernaryType = 'I2_S' | 'TL1';

/** A tensor that the graph reads, as the file must have it. */
export interface TensorNeed {
  readonly name: string;
  /** One of these. */
  readonly types: readonly GgmlTypeName[];
  /** Outermost first. */
  readonly shape: readonly number[];
  /** Whether the graph does without it. Default false. */
  readonly optional?: boolean;
}

/** A linear layer: a matrix, one number by which products are multiplied, and a vector that is added. */
export interface LinearNeeds {
  readonly weight: TensorNeed;
  readonly scale: TensorNeed;
  /** Undefined where the architecture has none. */
  readonly bias: TensorNeed | undefined;
}

/** Of one layer; the names are those of the graph's nodes in camelCase. */
export interface LayerNeeds {
  readonly attnNorm: TensorNeed;
  readonly attnQ: LinearNeeds;
  readonly attnK: LinearNeeds;
  readonly attnV: LinearNeeds;
  /** Undefined where the architecture has no sub-norms, as the other one. */
  readonly attnSubNorm: TensorNeed | undefined;
  readonly attnOutput: LinearNeeds;
  readonly ffnNorm: TensorNeed;
  readonly ffnGate: LinearNeeds;
  readonly ffnUp: LinearNeeds;
  readonly ffnSubNorm: TensorNeed | undefined;
  readonly ffnDown: LinearNeeds;
}

/** Those beside the layers. */
export interface GlobalNeeds {
  readonly tokenEmbd: TensorNeed;
  readonly outputNorm: TensorNeed;
  /** The head, if it is not the token embedding again. Undefined where the architecture always ties them. */
  readonly output: TensorNeed | undefined;
  readonly ropeFreqs: TensorNeed | undefined;
}

/** Where the head is tied, the reference's graph uses the embedding even if this is present (numerics, section 5). */
export const HEAD_TENSOR = 'output.weight';

/** Of bitnet.cpp's ternary types the one that most of a file's matrices have. The other one is then a problem. */
export function ternaryTypeOf({ tensors }: GgufFile): TernaryType {
  const count = (wanted: TernaryType): number => [...tensors.values()].filter(({ type }) => type === wanted).length;
  return count('TL1') > count('I2_S') ? 'TL1' : 'I2_S';
}

function linearTypes(ternaryType: TernaryType): readonly MatrixType[] {
  return [ternaryType, ...MATRIX_TYPES.filter((type) => type !== 'I2_S' && type !== 'TL1')];
}

export function globalNeeds({ graph, vocabSize, embeddingLength, headDim }: ModelConfig): GlobalNeeds {
  const isLlama = graph === 'llama';
  return {
    tokenEmbd: { name: 'token_embd.weight', types: EMBEDDING_TYPES, shape: [vocabSize, embeddingLength] },
    outputNorm: { name: 'output_norm.weight', types: ['F32'], shape: [embeddingLength] },
    output: isLlama
      ? { name: HEAD_TENSOR, types: EMBEDDING_TYPES, shape: [vocabSize, embeddingLength], optional: true }
      : undefined,
    ropeFreqs: isLlama
      ? { name: 'rope_freqs.weight', types: ['F32'], shape: [headDim / 2], optional: true }
      : undefined,
  };
}

/** The head's matrix: the token embedding, unless the file has another. */
export function headNeed(config: ModelConfig, { tensors }: GgufFile): TensorNeed {
  const { output, tokenEmbd } = globalNeeds(config);
  return output !== undefined && tensors.has(output.name) ? output : tokenEmbd;
}

export function layerNeeds(config: ModelConfig, ternaryType: TernaryType, layer: number): LayerNeeds {
  const { graph, embeddingLength, feedForwardLength, headCount, headCountKv, headDim } = config;
  const isLlama = graph === 'llama';
  const attentionLength = headCount * headDim;
  const kvLength = headCountKv * headDim;
  const norm = (suffix: string, length: number): TensorNeed => ({
    name: `blk.${layer}.${suffix}.weight`,
    types: ['F32'],
    shape: [length],
  });
  const linear = (suffix: string, rows: number, columns: number, biased: boolean): LinearNeeds => {
    const of = (part: string): string => `blk.${layer}.${suffix}.${part}`;
    return {
      weight: { name: of('weight'), types: linearTypes(ternaryType), shape: [rows, columns] },
      scale: { name: of('scale'), types: ['F32'], shape: [1], optional: true },
      bias: biased ? { name: of('bias'), types: ['F32'], shape: [rows], optional: true } : undefined,
    };
  };
  return {
    attnNorm: norm('attn_norm', embeddingLength),
    attnQ: linear('attn_q', attentionLength, embeddingLength, true),
    attnK: linear('attn_k', kvLength, embeddingLength, true),
    attnV: linear('attn_v', kvLength, embeddingLength, true),
    attnSubNorm: isLlama ? undefined : norm('attn_sub_norm', attentionLength),
    attnOutput: linear('attn_output', embeddingLength, attentionLength, true),
    ffnNorm: norm('ffn_norm', embeddingLength),
    ffnGate: linear('ffn_gate', feedForwardLength, embeddingLength, isLlama),
    ffnUp: linear('ffn_up', feedForwardLength, embeddingLength, isLlama),
    ffnSubNorm: isLlama ? undefined : norm('ffn_sub_norm', feedForwardLength),
    ffnDown: linear('ffn_down', embeddingLength, feedForwardLength, isLlama),
  };
}

/** All needs, in their order. */
export function listOf(needs: Partial<LayerNeeds & GlobalNeeds>): TensorNeed[] {
  const values: (TensorNeed | LinearNeeds | undefined)[] = Object.values(needs);
  return values
    .flatMap((need) => (need !== undefined && 'weight' in need ? [need.weight, need.scale, need.bias] : [need]))
    .filter((need) => need !== undefined);
}
