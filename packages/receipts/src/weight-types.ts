import type { ReceiptLayers, ReceiptLinear, ReceiptModel, ReceiptWeightType } from './statement.ts';

/** How the kernels hold and multiply a type of weights (docs/kernel-counters.md). */
interface WeightTraits {
  /** Whether its products are integer ones of the weights as they are. */
  readonly quantized: boolean;
  /** As it lies in memory: TQ1_0 becomes TQ2_0, ternary codes four in a byte. */
  readonly blockColumns: number;
  readonly blockBytes: number;
  /** As it lies in a file, where that differs. */
  readonly fileBlockBytes?: number;
  /** What rows of activations are made into first; matrices of equal wants that follow each other share it. */
  readonly activations: 'int8' | 'Q8_0' | 'Q8_K' | 'BF16' | 'F16' | 'F32';
  /** What a product reads of a row of activations. */
  readonly activationBytes: (columns: number) => number;
  /** Of a single row, and of several. Undefined where the run chooses. */
  readonly gemv?: string;
  readonly gemm?: string;
  /** Gives a row of an embedding. Undefined where there is none. */
  readonly lookup?: string;
}

const TERNARY: WeightTraits = {
  quantized: true,
  blockColumns: 4,
  blockBytes: 1,
  activations: 'int8',
  activationBytes: (columns) => columns + 8,
};
const OF_FLOATS = { quantized: false, blockColumns: 1, activationBytes: (columns: number): number => 4 * columns };
const OF_Q8_0 = {
  quantized: true,
  blockColumns: 32,
  activations: 'Q8_0',
  activationBytes: (columns: number): number => columns + columns / 8,
} as const;
const OF_Q8_K = { quantized: true, blockColumns: 256, activations: 'Q8_K' } as const;
const TQ2_0: WeightTraits = {
  ...OF_Q8_K,
  blockBytes: 66,
  activationBytes: (columns) => columns + (9 * columns) / 64,
  gemv: 'tq2_0_gemm',
  gemm: 'tq2_0_gemm',
  lookup: 'widen_tq2_0',
};

const TRAITS: Readonly<Record<ReceiptWeightType, WeightTraits>> = {
  I2_S: TERNARY,
  TL1: TERNARY,
  F32: { ...OF_FLOATS, blockBytes: 4, activations: 'F32', gemv: 'f32_gemv', gemm: 'f32_gemm', lookup: 'copy_f32' },
  F16: { ...OF_FLOATS, blockBytes: 2, activations: 'F16', gemv: 'f16_gemv', gemm: 'f16_gemm', lookup: 'widen_f16' },
  BF16: {
    ...OF_FLOATS,
    blockBytes: 2,
    activations: 'BF16',
    gemv: 'bf16_gemm',
    gemm: 'bf16_gemm',
    lookup: 'widen_bf16',
  },
  Q8_0: { ...OF_Q8_0, blockBytes: 34, gemv: 'q8_0_gemm', gemm: 'q8_0_gemm', lookup: 'widen_q8_0' },
  Q4_0: { ...OF_Q8_0, blockBytes: 18, gemv: 'q4_0_gemm', gemm: 'q4_0_gemm', lookup: 'widen_q4_0' },
  Q6_K: {
    ...OF_Q8_K,
    blockBytes: 210,
    activationBytes: (columns) => columns + columns / 64,
    gemv: 'q6_k_gemm',
    gemm: 'q6_k_gemm',
    lookup: 'widen_q6_k',
  },
  TQ1_0: { ...TQ2_0, fileBlockBytes: 54 },
  TQ2_0,
};

export function traitsOf(type: ReceiptWeightType): WeightTraits {
  return TRAITS[type];
}

export function rowBytesOf(type: ReceiptWeightType, columns: number): number {
  const { blockColumns, blockBytes } = TRAITS[type];
  return (columns / blockColumns) * blockBytes;
}

function fileRowBytesOf(type: ReceiptWeightType, columns: number): number {
  const { blockColumns, blockBytes, fileBlockBytes = blockBytes } = TRAITS[type];
  return (columns / blockColumns) * fileBlockBytes;
}

/** A linear layer with its shape. */
export interface ShapedLinear extends ReceiptLinear {
  readonly rows: number;
  readonly columns: number;
}

/** The linear layers of a layer, in the order of the graph. Those of one list have the same input. */
export interface LayerLinears {
  readonly attentionInput: readonly ShapedLinear[];
  readonly attentionOutput: readonly ShapedLinear[];
  readonly feedForwardInput: readonly ShapedLinear[];
  readonly feedForwardOutput: readonly ShapedLinear[];
}

export function linearsOf({ config }: ReceiptModel, layers: ReceiptLayers): LayerLinears {
  const { embeddingLength: width, feedForwardLength: inner, headCount, headCountKv, headDim } = config;
  const [attended, kv] = [headCount * headDim, headCountKv * headDim];
  const { attnQ, attnK, attnV, attnOutput, ffnGate, ffnUp, ffnDown } = layers;
  const shaped = (linear: ReceiptLinear, rows: number, columns: number): ShapedLinear => ({ ...linear, rows, columns });
  return {
    attentionInput: [shaped(attnQ, attended, width), shaped(attnK, kv, width), shaped(attnV, kv, width)],
    attentionOutput: [shaped(attnOutput, width, attended)],
    feedForwardInput: [shaped(ffnGate, inner, width), shaped(ffnUp, inner, width)],
    feedForwardOutput: [shaped(ffnDown, width, inner)],
  };
}

/** Of all matrices, as they are packed in a file. */
export function packedBytesOf(model: ReceiptModel): number {
  const { weights, config } = model;
  const { vocabSize, embeddingLength: width } = config;
  const layers = weights.layers.map(
    (group) =>
      group.count *
      Object.values(linearsOf(model, group))
        .flat()
        .reduce((sum: number, { type, rows, columns }: ShapedLinear) => sum + rows * fileRowBytesOf(type, columns), 0),
  );
  const ends = [weights.embedding, ...(weights.head === null ? [] : [weights.head])];
  const endBytes = ends.reduce((sum, type) => sum + vocabSize * fileRowBytesOf(type, width), 0);
  return layers.reduce((sum, bytes) => sum + bytes, endBytes);
}

/** Types of the matrices of all layers, each once. */
export function layerTypesOf(model: ReceiptModel): ReceiptWeightType[] {
  const linears = model.weights.layers.flatMap((layers) => Object.values(linearsOf(model, layers)).flat());
  return [...new Set(linears.map(({ type }: ShapedLinear) => type))];
}

/** The head's, which is the embedding's where they are tied. */
export function headTypeOf({ weights }: Pick<ReceiptModel, 'weights'>): ReceiptWeightType {
  return weights.head ?? weights.embedding;
}
