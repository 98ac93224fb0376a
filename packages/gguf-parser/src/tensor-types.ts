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
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'TQ1_0'
  | 'TQ2_0'
  | 'I2_S'
  | 'TL1';

/**
 * How many bytes a tensor of a type has: elementCount / blockElements * blockBytes + trailerBytes.
 * A type id is not a layout: what the bytes of I2_S and TL1 mean depends on the machine and build that packed them.
 */
export interface TensorType {
  readonly name: GgmlTypeName;
  /** Elements that are stored together; a row (ggmlDims[0] elements) is a whole number of blocks. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /** Once per tensor, after the elements. For I2_S and TL1 its first four bytes are the f32 weight scale. */
  readonly trailerBytes: number;
}

/**
 * Source: ggml's enum ggml_type and its block structures (gguf-py's GGML_QUANT_SIZES has the same numbers), and for
 * 36 and 38 bitnet.cpp: microsoft/BitNet 01eb415, 3rdparty/llama.cpp ggml/include/ggml.h:357 and ggml_nbytes in
 * ggml/src/ggml.c:3477. Mainline ggml had IQ4_NL_4_4 and IQ4_NL_8_8 under 36 and 38, and has removed them.
 */
const TENSOR_TYPES: ReadonlyMap<number, TensorType> = new Map([
  [0, tensorType('F32', 1, 4)],
  [1, tensorType('F16', 1, 2)],
  [2, tensorType('Q4_0', 32, 18)],
  [3, tensorType('Q4_1', 32, 20)],
  [6, tensorType('Q5_0', 32, 22)],
  [7, tensorType('Q5_1', 32, 24)],
  [8, tensorType('Q8_0', 32, 34)],
  [10, tensorType('Q2_K', 256, 84)],
  [11, tensorType('Q3_K', 256, 110)],
  [12, tensorType('Q4_K', 256, 144)],
  [13, tensorType('Q5_K', 256, 176)],
  [14, tensorType('Q6_K', 256, 210)],
  [24, tensorType('I8', 1, 1)],
  [25, tensorType('I16', 1, 2)],
  [26, tensorType('I32', 1, 4)],
  [27, tensorType('I64', 1, 8)],
  [28, tensorType('F64', 1, 8)],
  [30, tensorType('BF16', 1, 2)],
  [34, tensorType('TQ1_0', 256, 54)],
  [35, tensorType('TQ2_0', 256, 66)],
  [36, tensorType('I2_S', 4, 1, 32)],
  [38, tensorType('TL1', 4, 1, 32)],
]);

function tensorType(name: GgmlTypeName, blockElements: number, blockBytes: number, trailerBytes = 0): TensorType {
  return { name, blockElements, blockBytes, trailerBytes };
}

export function tensorTypeOf(id: number): TensorType | undefined {
  return TENSOR_TYPES.get(id);
}

/** For messages: `F32 (0), F16 (1), …`. */
export function describeTensorTypes(): string {
  return Array.from(TENSOR_TYPES, ([id, type]) => `${type.name} (${id})`).join(', ');
}

/** Bytes of a tensor, `elementCount` being a multiple of `type.blockElements`. Not a safe integer if it is too large. */
export function tensorSizeBytes(type: TensorType, elementCount: number): number {
  return (elementCount / type.blockElements) * type.blockBytes + type.trailerBytes;
}
