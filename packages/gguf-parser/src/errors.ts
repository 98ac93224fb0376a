import type { GgufLimits } from './limits.ts';

/** One code per cause. `test/bad-files.test.ts` shows files for each that a file can cause. */
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
  | 'GGUF_UNDECIDED_DIALECT'
  | 'GGUF_MISALIGNED_TENSOR'
  | 'GGUF_TENSOR_BEYOND_END'
  | 'GGUF_OVERLAPPING_TENSORS'
  | 'GGUF_BAD_SPLIT'
  | 'GGUF_CANNOT_DEQUANTIZE'
  | 'GGUF_SHORT_READ'
  | 'GGUF_NOT_A_FILE'
  | 'GGUF_HTTP_STATUS'
  | 'GGUF_NO_RANGES'
  | 'GGUF_SOURCE_CHANGED';

/** The file cannot be used. Match on `code`; `message` is for people and may change. */
export class GgufError extends Error {
  override readonly name = 'GgufError';
  readonly code: GgufErrorCode;
  /** Which limit, for GGUF_LIMIT_EXCEEDED. */
  readonly limit: keyof GgufLimits | undefined;

  constructor(
    code: GgufErrorCode,
    message: string,
    options: ErrorOptions & { limit?: keyof GgufLimits | undefined } = {},
  ) {
    super(message, options);
    this.code = code;
    this.limit = options.limit;
  }
}

/** A name from the file as it may stand in a message: quoted, control characters escaped, not endless. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length <= 80 ? name : `${name.slice(0, 80)}…`);
}

/**
 * Style of the package: an option that does not exist is the caller's mistake, not ignored.
 *
 * @param unknown - what is left of the options after the known ones were taken out
 */
export function refuseUnknownOptions(unknown: object, known: string): void {
  const [name] = Object.keys(unknown);
  if (name !== undefined) {
    throw new TypeError(`Unknown option ${quoteName(name)}. Known: ${known}.`);
  }
}
