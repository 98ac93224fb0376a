export type MeasureErrorCode =
  /** A thread that measures did not answer in time. */
  'MEASURE_NO_ANSWER';

/** A measurement that could not be made. Match on `code`; `message` is for people and may change. */
export class MeasureError extends Error {
  override readonly name = 'MeasureError';
  readonly code: MeasureErrorCode;
  constructor(code: MeasureErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
