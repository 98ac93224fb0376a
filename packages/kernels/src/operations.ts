/** An operation that is counted, and that a team's threads share where it has arguments for its programs. */
export interface Operation {
  /** Its number in assembly/counted.ts, and the code of its call in assembly/team.ts. */
  readonly code: number;
  /**
   * Its arguments in a program of {@link ThreadTeam}: i for an i32 word, f for an f32 one, s for the scratch, which each
   * thread has of its own. Without, only the first thread does it.
   */
  readonly signature?: string;
  /** Its part of a kernel's id: that is `${id}_${variant}`. */
  readonly id: string;
  /** Of the weights that it reads; `none` if what it reads are activations. */
  readonly weightType: KernelWeightType;
  readonly description: string;
  /** What the variants are called in ids, where it is not by the binary's name. */
  readonly variants?: readonly [relaxed: string, simd128: string];
  /** The binary that has it; default: both. */
  readonly only?: 'relaxed' | 'simd128';
  /** Whether the plain reference has it by itself, under {@link Operation.id}; the others are forms of one that it has. */
  readonly hasReference?: false;
}

export type KernelWeightType =
  | 'I2_S'
  | 'TL1'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'Q8_0'
  | 'Q4_0'
  | 'Q6_K'
  | 'TQ1_0'
  | 'TQ2_0'
  | 'none';

/** Operations of which each thread does a share. */
export type SharedOperation =
  | 'quantizeRows'
  | 'i2sGemv'
  | 'i2sGemm'
  | 'rmsNorm'
  | 'ropeNeox'
  | 'storeKeysValues'
  | 'attention'
  | 'f16Gemv'
  | 'f16Gemm'
  | 'widenF16'
  | 'roundToF16'
  | 'add'
  | 'reluSquaredGate'
  | 'siluGate'
  | 'i2sGemvWide'
  | 'i2sGemmWide'
  | 'quantizeRowsTl1'
  | 'tl1Gemv'
  | 'storeKeysValuesF32'
  | 'attentionF32'
  | 'packScreen'
  | 'quantizeForScreen'
  | 'screenRows'
  | 'selectCandidates'
  | 'rescoreCandidates'
  | 'f16GemvUnscreened'
  | 'i2sGemvI16'
  | 'i2sGemmI16'
  | 'selectLargest'
  | 'refineRows'
  | 'ropeNorm'
  | 'addToRows'
  | 'multiplyBy'
  | 'quantizeRowsQ8_0'
  | 'quantizeRowsQ8K'
  | 'roundToBf16'
  | 'f32Gemv'
  | 'f32Gemm'
  | 'bf16Gemm'
  | 'q8_0Gemm'
  | 'q4_0Gemm'
  | 'q6KGemm'
  | 'tq2_0Gemm';

export type OperationName =
  | SharedOperation
  | 'packRowPairs'
  | 'tl1ToRowPairs'
  | 'tl1ToTiles'
  | 'ropeTable'
  | 'findNonFiniteF16'
  | 'exponential'
  | 'multiplyAdd'
  | 'tq1_0ToTq2_0'
  | 'copyF32'
  | 'widenBf16'
  | 'widenQ8_0'
  | 'widenQ4_0'
  | 'widenQ6K'
  | 'widenTq2_0'
  | 'findNonFiniteF32'
  | 'findNonFiniteBf16'
  | 'findNonFiniteScale';

// Codes 0 to 63 are those of shared operations, from 64 on they are the first thread's alone. None is given twice.
export const OPERATIONS: Readonly<Record<OperationName, Operation>> = {
  quantizeRows: {
    code: 0,
    signature: 'iiiiiii',
    id: 'quantize_rows',
    weightType: 'none',
    description: 'activations to int8, as I2_S wants them',
  },
  i2sGemv: {
    code: 1,
    signature: 'iiiifiiiis',
    id: 'i2s_gemv',
    weightType: 'I2_S',
    description: 'ternary matrix times one row',
  },
  i2sGemm: {
    code: 2,
    signature: 'iiiifiiiiiis',
    id: 'i2s_gemm',
    weightType: 'I2_S',
    description: 'ternary matrix times several rows',
  },
  rmsNorm: {
    code: 3,
    signature: 'iiiiifii',
    id: 'rms_norm',
    weightType: 'none',
    description: 'RMS normalization and weight',
  },
  ropeNeox: {
    code: 4,
    signature: 'iiiiiiii',
    id: 'rope_neox',
    weightType: 'none',
    description: 'rotary position embedding',
  },
  storeKeysValues: {
    code: 5,
    signature: 'iiiiiiiii',
    id: 'store_keys_values',
    weightType: 'none',
    description: 'keys and values to the f16 cache',
  },
  attention: {
    code: 6,
    signature: 'iiiiiiiiiiiifiiiis',
    id: 'attention',
    weightType: 'none',
    description: 'causal attention over the f16 cache',
  },
  f16Gemv: {
    code: 7,
    signature: 'iiiiiiiis',
    id: 'f16_gemv',
    weightType: 'F16',
    description: 'f16 matrix times one row, the exact head for one',
  },
  f16Gemm: {
    code: 8,
    signature: 'iiiiiiiiiiis',
    id: 'f16_gemm',
    weightType: 'F16',
    description: 'f16 matrix times several rows, the exact head for one',
  },
  widenF16: {
    code: 9,
    signature: 'iii',
    id: 'widen_f16',
    weightType: 'F16',
    description: 'f16 to f32: embedding rows',
  },
  roundToF16: {
    code: 10,
    signature: 'iii',
    id: 'round_to_f16',
    weightType: 'none',
    description: 'f32 to the nearest f16 values',
  },
  add: { code: 11, signature: 'iiii', id: 'add', weightType: 'none', description: 'residual sum' },
  reluSquaredGate: {
    code: 12,
    signature: 'iiiiii',
    id: 'relu_squared_gate',
    weightType: 'none',
    description: 'gate of bitnet-b1.58 and bitnet-25',
  },
  siluGate: { code: 13, signature: 'iiiiii', id: 'silu_gate', weightType: 'none', description: 'gate of bitnet' },
  i2sGemvWide: {
    code: 14,
    signature: 'iiiifiiiis',
    id: 'i2s_gemv',
    weightType: 'I2_S',
    description: "ternary matrix times one row, for V8's revectorizer",
    variants: ['relaxed_wide', 'simd128_wide'],
    only: 'relaxed',
    hasReference: false,
  },
  i2sGemmWide: {
    code: 15,
    signature: 'iiiifiiiiiis',
    id: 'i2s_gemm',
    weightType: 'I2_S',
    description: "ternary matrix times several rows, for V8's revectorizer",
    variants: ['relaxed_wide', 'simd128_wide'],
    only: 'relaxed',
    hasReference: false,
  },
  quantizeRowsTl1: {
    code: 16,
    signature: 'iiiiiii',
    id: 'quantize_rows_tl1',
    weightType: 'none',
    description: 'activations to int8, as TL1 wants them',
  },
  tl1Gemv: {
    code: 17,
    signature: 'iiiifiiis',
    id: 'tl1_gemv',
    weightType: 'TL1',
    description: 'ternary matrix times one row, by look-up tables',
    variants: ['relaxed_swizzle', 'swizzle'],
  },
  storeKeysValuesF32: {
    code: 18,
    signature: 'iiiiiiiii',
    id: 'store_keys_values_f32',
    weightType: 'none',
    description: 'keys and values to an f32 cache',
  },
  attentionF32: {
    code: 19,
    signature: 'iiiiiiiiiiiifiiiis',
    id: 'attention_f32',
    weightType: 'none',
    description: 'causal attention over an f32 cache',
  },
  packScreen: {
    code: 20,
    signature: 'iiiiiiiiiis',
    id: 'f16_head_packed',
    weightType: 'F16',
    description: 'int8 copy of the head, at load',
  },
  quantizeForScreen: {
    code: 21,
    signature: 'iiii',
    id: 'f16_head_quantized',
    weightType: 'none',
    description: 'activations to pairs of int8 for the screened head',
  },
  screenRows: {
    code: 22,
    signature: 'iiiiiiiiiis',
    id: 'f16_head_screened',
    weightType: 'F16',
    description: 'bounds of all logits from six bits of the int8 copy of the head',
  },
  selectCandidates: {
    code: 23,
    signature: 'iiiiii',
    id: 'f16_head_selected',
    weightType: 'none',
    description: 'rows of the head that can be among the largest',
  },
  rescoreCandidates: {
    code: 24,
    signature: 'iiiiiiiiis',
    id: 'f16_head_rescored',
    weightType: 'F16',
    description: 'exact logits of these rows',
  },
  f16GemvUnscreened: {
    code: 25,
    signature: 'iiiiiiiiiis',
    id: 'f16_head_fallback',
    weightType: 'F16',
    description: 'the exact head, where bounds leave too many rows',
  },
  i2sGemvI16: {
    code: 26,
    signature: 'iiiifiiiis',
    id: 'i2s_gemv',
    weightType: 'I2_S',
    description: 'ternary matrix times one row, by way of 16-bit sums or factors',
    variants: ['relaxed_i16', 'simd128_i16'],
    hasReference: false,
  },
  i2sGemmI16: {
    code: 27,
    signature: 'iiiifiiiiiis',
    id: 'i2s_gemm',
    weightType: 'I2_S',
    description: 'ternary matrix times several rows, by way of 16-bit sums or factors',
    variants: ['relaxed_i16', 'simd128_i16'],
    hasReference: false,
  },
  selectLargest: {
    code: 28,
    signature: 'iiiii',
    id: 'f16_head_largest',
    weightType: 'none',
    description: 'rows of the head with the largest lower bounds',
  },
  refineRows: {
    code: 29,
    signature: 'iiiiiiiiiiiiis',
    id: 'f16_head_refined',
    weightType: 'F16',
    description: 'bounds from all bits of the copy, of the rows that six do not exclude',
  },
  ropeNorm: {
    code: 32,
    signature: 'iiiiiiii',
    id: 'rope_norm',
    weightType: 'none',
    description: 'rotary position embedding of neighbouring pairs: llama',
  },
  addToRows: {
    code: 33,
    signature: 'iiiii',
    id: 'add_to_rows',
    weightType: 'none',
    description: 'bias',
  },
  multiplyBy: {
    code: 34,
    signature: 'iif',
    id: 'multiply_by',
    weightType: 'none',
    description: 'scale of a linear layer',
  },
  quantizeRowsQ8_0: {
    code: 35,
    signature: 'iiiiii',
    id: 'quantize_rows_q8_0',
    weightType: 'none',
    description: 'activations to int8, as Q8_0 and Q4_0 want them',
  },
  quantizeRowsQ8K: {
    code: 36,
    signature: 'iiiiiii',
    id: 'quantize_rows_q8_k',
    weightType: 'none',
    description: 'activations to int8, as Q6_K, TQ1_0 and TQ2_0 want them',
  },
  roundToBf16: {
    code: 37,
    signature: 'iii',
    id: 'round_to_bf16',
    weightType: 'none',
    description: 'f32 to the nearest bf16 values',
  },
  f32Gemv: {
    code: 38,
    signature: 'iiiiiii',
    id: 'f32_gemv',
    weightType: 'F32',
    description: 'f32 matrix times one row',
  },
  f32Gemm: {
    code: 39,
    signature: 'iiiiiiiii',
    id: 'f32_gemm',
    weightType: 'F32',
    description: 'f32 matrix times several rows',
  },
  bf16Gemm: {
    code: 40,
    signature: 'iiiiiiiii',
    id: 'bf16_gemm',
    weightType: 'BF16',
    description: 'bf16 matrix times any number of rows',
  },
  q8_0Gemm: {
    code: 41,
    signature: 'iiiiiiiii',
    id: 'q8_0_gemm',
    weightType: 'Q8_0',
    description: '8-bit matrix times any number of rows',
  },
  q4_0Gemm: {
    code: 42,
    signature: 'iiiiiiiii',
    id: 'q4_0_gemm',
    weightType: 'Q4_0',
    description: '4-bit matrix times any number of rows',
  },
  q6KGemm: {
    code: 43,
    signature: 'iiiiiiiii',
    id: 'q6_k_gemm',
    weightType: 'Q6_K',
    description: '6-bit matrix times any number of rows',
  },
  tq2_0Gemm: {
    code: 44,
    signature: 'iiiiiiiiii',
    id: 'tq2_0_gemm',
    weightType: 'TQ2_0',
    description: "ternary matrix of llama.cpp's times any number of rows",
  },
  packRowPairs: { code: 64, id: 'pack_row_pairs', weightType: 'I2_S', description: 'repacking at load' },
  tl1ToRowPairs: { code: 65, id: 'tl1_to_row_pairs', weightType: 'TL1', description: 'transcoding at load' },
  tl1ToTiles: { code: 66, id: 'tl1_to_tiles', weightType: 'TL1', description: 'repacking at load' },
  ropeTable: { code: 67, id: 'rope_table', weightType: 'none', description: 'sines and cosines of a context' },
  findNonFiniteF16: { code: 68, id: 'find_non_finite_f16', weightType: 'F16', description: 'check at load' },
  exponential: { code: 69, id: 'exponential', weightType: 'none', description: "the reference's exponential" },
  multiplyAdd: { code: 70, id: 'multiply_add', weightType: 'none', description: 'fused multiply-add' },
  tq1_0ToTq2_0: {
    code: 71,
    id: 'tq1_0_to_tq2_0',
    weightType: 'TQ1_0',
    description: 'transcoding at load',
  },
  copyF32: {
    code: 72,
    id: 'copy_f32',
    weightType: 'F32',
    description: 'embedding rows',
  },
  widenBf16: {
    code: 73,
    id: 'widen_bf16',
    weightType: 'BF16',
    description: 'bf16 to f32: embedding rows',
  },
  widenQ8_0: {
    code: 74,
    id: 'widen_q8_0',
    weightType: 'Q8_0',
    description: 'Q8_0 to f32: embedding rows',
  },
  widenQ4_0: {
    code: 75,
    id: 'widen_q4_0',
    weightType: 'Q4_0',
    description: 'Q4_0 to f32: embedding rows',
  },
  widenQ6K: {
    code: 76,
    id: 'widen_q6_k',
    weightType: 'Q6_K',
    description: 'Q6_K to f32: embedding rows',
  },
  widenTq2_0: {
    code: 77,
    id: 'widen_tq2_0',
    weightType: 'TQ2_0',
    description: 'TQ2_0 to f32: embedding rows',
  },
  findNonFiniteF32: {
    code: 78,
    id: 'find_non_finite_f32',
    weightType: 'F32',
    description: 'check at load',
  },
  findNonFiniteBf16: {
    code: 79,
    id: 'find_non_finite_bf16',
    weightType: 'BF16',
    description: 'check at load',
  },
  findNonFiniteScale: {
    code: 80,
    id: 'find_non_finite_scale',
    weightType: 'none',
    description: 'check at load of the scales of blocks',
  },
};

/** As many as there is room for in a table of counters. */
export const MOST_OPERATIONS = 128;
