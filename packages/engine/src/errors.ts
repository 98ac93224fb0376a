export type EngineErrorCode =
  | 'ENGINE_BIG_ENDIAN'
  | 'ENGINE_UNSUPPORTED_ARCHITECTURE'
  | 'ENGINE_UNSUPPORTED_MODEL'
  | 'ENGINE_INVALID_METADATA'
  | 'ENGINE_MISSING_TENSOR'
  | 'ENGINE_UNUSED_TENSOR'
  | 'ENGINE_TENSOR_MISMATCH'
  | 'ENGINE_INVALID_WEIGHTS'
  | 'ENGINE_TL1_TILING'
  | 'ENGINE_CONTEXT_FULL'
  | 'ENGINE_BUSY'
  | 'ENGINE_DISPOSED'
  | 'ENGINE_NOT_FINITE'
  | 'ENGINE_NO_TOKENIZER'
  | 'ENGINE_SESSION_DAMAGED'
  | 'ENGINE_SESSION_MISMATCH'
  | 'ENGINE_NEEDS_ALL_LOGITS'
  | 'ENGINE_NO_SCREEN';

/** The model cannot be run, or not now. Match on `code`; `message` is for people and may change. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;
  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A reason why a file cannot run. `message` and `fix`, what to do, are sentences for people and may change. */
export interface ModelProblem {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly fix: string;
  /** Those it is about; none if it is about the file or its metadata. */
  readonly tensors: readonly string[];
}

export type ReportProblem = (problem: Omit<ModelProblem, 'tensors'> & Partial<Pick<ModelProblem, 'tensors'>>) => void;

/**
 * What a screened session cannot do.
 *
 * @param why - what needs them, as a sentence without its end
 * @param given - how many the session gives
 */
export function needsAllLogits(why: string, given: number): EngineError {
  return new EngineError(
    'ENGINE_NEEDS_ALL_LOGITS',
    `${why}, and the screened session gives the ${given} largest of the last position. Use a session with the exact head, or do without.`,
  );
}
