export type ReceiptErrorCode =
  /** Larger than any receipt. */
  | 'RECEIPTS_TOO_LARGE'
  | 'RECEIPTS_NOT_JSON'
  /** Against the schema, of another version too. */
  | 'RECEIPTS_INVALID'
  | 'RECEIPTS_BAD_KEY';

/** A receipt or key that cannot be used. Match on `code`; `message` is for people and may change. */
export class ReceiptError extends Error {
  override readonly name = 'ReceiptError';
  readonly code: ReceiptErrorCode;
  constructor(code: ReceiptErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
