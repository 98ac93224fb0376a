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

export type KernelWeightType = 'I2_S' | 'TL1' | 'F16' | 'none';

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
  | 'i2sGemmI16';

export type OperationName =
  | SharedOperation
  | 'packRowPairs'
  | 'tl1ToRowPairs'
  | 'tl1ToTiles'
  | 'ropeTable'
  | 'findNonFiniteF16'
  | 'exponential'
  | 'multiplyAdd';

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
    description: 'f16 matrix times one row: the exact head',
  },
  f16Gemm: {
    code: 8,
    signature: 'iiiiiiiiiiis',
    id: 'f16_gemm',
    weightType: 'F16',
    description: 'f16 matrix times several rows: the exact head',
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
    signature: 'iiiiiiii',
    id: 'f16_head_packed',
    weightType: 'F16',
    description: 'int8 copy of the head, at load',
  },
  quantizeForScreen: {
    code: 21,
    signature: 'iiii',
    id: 'f16_head_quantized',
    weightType: 'none',
    description: 'activations to int16 for the screened head',
  },
  screenRows: {
    code: 22,
    signature: 'iiiiiiiiiis',
    id: 'f16_head_screened',
    weightType: 'F16',
    description: 'bounds of all logits from the int8 copy of the head',
  },
  selectCandidates: {
    code: 23,
    signature: 'iiiiiii',
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
  packRowPairs: { code: 64, id: 'pack_row_pairs', weightType: 'I2_S', description: 'repacking at load' },
  tl1ToRowPairs: { code: 65, id: 'tl1_to_row_pairs', weightType: 'TL1', description: 'transcoding at load' },
  tl1ToTiles: { code: 66, id: 'tl1_to_tiles', weightType: 'TL1', description: 'repacking at load' },
  ropeTable: { code: 67, id: 'rope_table', weightType: 'none', description: 'sines and cosines of a context' },
  findNonFiniteF16: { code: 68, id: 'find_non_finite_f16', weightType: 'F16', description: 'check at load' },
  exponential: { code: 69, id: 'exponential', weightType: 'none', description: "the reference's exponential" },
  multiplyAdd: { code: 70, id: 'multiply_add', weightType: 'none', description: 'fused multiply-add' },
};

/** As many as there is room for in a table of counters. */
export const MOST_OPERATIONS = 128;
