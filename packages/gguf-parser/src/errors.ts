/** One code per cause. `test/bad-files.test.ts` shows a file for each. */
export type GgufErrorCode =
  | 'GGUF_BAD_MAGIC'
  | 'GGUF_BIG_ENDIAN'
  | 'GGUF_UNSUPPORTED_VERSION'
  | 'GGUF_TRUNCATED'
  | 'GGUF_LIMIT_EXCEEDED'
  | 'GGUF_BAD_UTF8'
  | 'GGUF_EMPTY_NAME'
  | 'GGUF_DUPLICATE_KEY'
  | 'GGUF_UNKNOWN_VALUE_TYPE'
  | 'GGUF_BAD_BOOLEAN'
  | 'GGUF_BAD_ALIGNMENT'
  | 'GGUF_DUPLICATE_TENSOR'
  | 'GGUF_BAD_SHAPE'
  | 'GGUF_UNSUPPORTED_TENSOR_TYPE'
  | 'GGUF_MISALIGNED_TENSOR'
  | 'GGUF_TENSOR_BEYOND_END'
  | 'GGUF_OVERLAPPING_TENSORS'
  | 'GGUF_SHORT_READ'
  | 'GGUF_NOT_A_FILE';

/** The file cannot be used. Match on `code`; `message` is for people and may change. */
export class GgufError extends Error {
  override readonly name = 'GgufError';
  readonly code: GgufErrorCode;

  constructor(code: GgufErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A name from the file as it may stand in a message: quoted, control characters escaped, not endless. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length <= 80 ? name : `${name.slice(0, 80)}…`);
}
