export type KernelErrorCode = 'KERNELS_OUT_OF_MEMORY' | 'KERNELS_UNSUPPORTED' | 'KERNELS_WORKER_FAILED';

/** The kernels cannot run or cannot take this data. Match on `code`; `message` is for people and may change. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly code: KernelErrorCode;
  constructor(code: KernelErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
