/**
 * How many bytes a tensor of a type has. A type is not a layout: what the bytes of I2_S and TL1 mean depends on the
 * machine and build that packed them.
 */
export interface TensorType {
  /** Elements that are stored together; a row (ggmlDims[0] elements) is a whole number of blocks. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /** Once per tensor, after the elements. For I2_S, TL1 and TL2 its first four bytes are the f32 weight scale. */
  readonly trailerBytes: number;
  /**
   * Where 16-bit numbers start in a block; all else in it is bytes. Undefined for types of one element, which are
   * swapped whole, and where it is not agreed what a big-endian machine writes.
   */
  readonly halfOffsets: readonly number[] | undefined;
}

function type(
  blockElements: number,
  blockBytes: number,
  options: { halfOffsets?: readonly number[]; trailerBytes?: number } = {},
): TensorType {
  return { blockElements, blockBytes, trailerBytes: options.trailerBytes ?? 0, halfOffsets: options.halfOffsets };
}

export type GgmlTypeName =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F64'
  | 'I8'
  | 'I16'
  | 'I32'
  | 'I64'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q8_1'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'Q8_K'
  | 'IQ1_S'
  | 'IQ1_M'
  | 'IQ2_XXS'
  | 'IQ2_XS'
  | 'IQ2_S'
  | 'IQ3_XXS'
  | 'IQ3_S'
  | 'IQ4_NL'
  | 'IQ4_XS'
  | 'Q4_0_4_4'
  | 'Q4_0_4_8'
  | 'Q4_0_8_8'
  | 'TQ1_0'
  | 'TQ2_0'
  | 'MXFP4'
  | 'NVFP4'
  | 'Q1_0'
  | 'Q2_0'
  | 'I2_S'
  | 'I8_S'
  | 'TL1'
  | 'TL2';

/**
 * Source: the block structures of ggml-org/llama.cpp ggml/src/ggml-common.h at 01243c5 (gguf-py's GGML_QUANT_SIZES has
 * the same numbers), and for I2_S, I8_S, TL1 and TL2 bitnet.cpp: microsoft/BitNet 01eb415, 3rdparty/llama.cpp
 * ggml_nbytes in ggml/src/ggml.c:3477. Q8_1, Q8_K and I8_S are for intermediate results, but have numbers.
 */
const TENSOR_TYPES: Readonly<Record<GgmlTypeName, TensorType>> = {
  F32: type(1, 4),
  F16: type(1, 2),
  BF16: type(1, 2),
  F64: type(1, 8),
  I8: type(1, 1),
  I16: type(1, 2),
  I32: type(1, 4),
  I64: type(1, 8),
  Q4_0: type(32, 18, { halfOffsets: [0] }),
  Q4_1: type(32, 20, { halfOffsets: [0, 2] }),
  Q5_0: type(32, 22),
  Q5_1: type(32, 24),
  Q8_0: type(32, 34, { halfOffsets: [0] }),
  Q8_1: type(32, 36, { halfOffsets: [0, 2] }),
  Q2_K: type(256, 84, { halfOffsets: [80, 82] }),
  Q3_K: type(256, 110, { halfOffsets: [108] }),
  Q4_K: type(256, 144, { halfOffsets: [0, 2] }),
  Q5_K: type(256, 176, { halfOffsets: [0, 2] }),
  Q6_K: type(256, 210, { halfOffsets: [208] }),
  Q8_K: type(256, 292),
  IQ1_S: type(256, 50),
  IQ1_M: type(256, 56),
  IQ2_XXS: type(256, 66),
  IQ2_XS: type(256, 74),
  IQ2_S: type(256, 82),
  IQ3_XXS: type(256, 98),
  IQ3_S: type(256, 110),
  IQ4_NL: type(32, 18, { halfOffsets: [0] }),
  IQ4_XS: type(256, 136),
  Q4_0_4_4: type(32, 18),
  Q4_0_4_8: type(32, 18),
  Q4_0_8_8: type(32, 18),
  TQ1_0: type(256, 54, { halfOffsets: [52] }),
  TQ2_0: type(256, 66, { halfOffsets: [64] }),
  MXFP4: type(32, 17, { halfOffsets: [] }),
  NVFP4: type(64, 36, { halfOffsets: [] }),
  Q1_0: type(128, 18, { halfOffsets: [0] }),
  Q2_0: type(64, 18, { halfOffsets: [0] }),
  I2_S: type(4, 1, { trailerBytes: 32 }),
  I8_S: type(1, 1),
  TL1: type(4, 1, { trailerBytes: 32 }),
  TL2: type(1, 1, { trailerBytes: 32 }), // its rule is in payloadBytes
};

export function tensorTypeOf(name: GgmlTypeName): TensorType {
  return TENSOR_TYPES[name];
}

/**
 * Bytes of a tensor, trailer included. Not a safe integer if it is too large; NaN for a TL2 row of under 256 elements.
 *
 * @param ggmlDims - innermost first; ggmlDims[0] is a multiple of the type's `blockElements`
 */
export function tensorSizeBytes(name: GgmlTypeName, ggmlDims: readonly number[]): number {
  return payloadBytes(name, ggmlDims) + TENSOR_TYPES[name].trailerBytes;
}

function payloadBytes(name: GgmlTypeName, ggmlDims: readonly number[]): number {
  const elementCount = ggmlDims.reduce((product, dim) => product * dim, 1);
  if (name !== 'TL2') {
    const { blockElements, blockBytes } = TENSOR_TYPES[name];
    return (elementCount / blockElements) * blockBytes;
  }
  // The last 256 columns as pairs in 4 bits, those before as triples in 5, as C's integer division has it.
  const columns = ggmlDims[0]!;
  const rows = elementCount / columns;
  const triples = Math.floor((Math.floor(((columns - 256) * rows) / 3) * 5) / 8);
  const pairs = (256 * rows) / 4;
  return columns >= 256 ? Math.ceil((triples + pairs) / 32) * 32 : Number.NaN;
}
