export type TokenizerErrorCode =
  | 'TOKENIZER_NOT_FOUND'
  | 'TOKENIZER_BAD_JSON'
  | 'TOKENIZER_MISSING_KEY'
  | 'TOKENIZER_BAD_VALUE'
  | 'TOKENIZER_BAD_MERGE'
  | 'TOKENIZER_DUPLICATE_TOKEN'
  | 'TOKENIZER_UNKNOWN_MODEL'
  | 'TOKENIZER_UNKNOWN_PRE'
  | 'TOKENIZER_UNSUPPORTED'
  | 'TOKENIZER_TEXT_TOO_LONG'
  | 'TOKENIZER_BAD_TEMPLATE'
  | 'TOKENIZER_TEMPLATE_LIMIT';

/** The file's tokenizer or template cannot be used. Match on `code`; `message` is for people and may change. */
export class TokenizerError extends Error {
  override readonly name = 'TokenizerError';
  readonly code: TokenizerErrorCode;

  constructor(code: TokenizerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A value from the file as it may stand in a message: quoted, control characters escaped, not endless. */
export function quote(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length <= 80 ? value : `${value.slice(0, 80)}…`);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}
