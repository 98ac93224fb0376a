export type CrossvalErrorCode =
  | 'CROSSVAL_BAD_RECORDING'
  | 'CROSSVAL_BAD_SAFETENSORS'
  | 'CROSSVAL_BAD_THRESHOLDS'
  | 'CROSSVAL_BAD_TRACE'
  | 'CROSSVAL_DIGEST_MISMATCH'
  | 'CROSSVAL_EMPTY'
  | 'CROSSVAL_LENGTH_MISMATCH'
  | 'CROSSVAL_NON_FINITE'
  | 'CROSSVAL_NOT_COMPARABLE'
  | 'CROSSVAL_NOT_RECORDED'
  | 'CROSSVAL_TRACES_UNMATCHED'
  | 'CROSSVAL_TRACE_CUT'
  | 'CROSSVAL_TRACE_EMPTY'
  | 'CROSSVAL_UNSUPPORTED_VERSION';

/** The recording or the rows cannot be compared. Match on `code`; `message` is for people and may change. */
export class CrossvalError extends Error {
  override readonly name = 'CrossvalError';
  readonly code: CrossvalErrorCode;
  constructor(code: CrossvalErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
