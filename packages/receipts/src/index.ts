export { canonicalJson } from './canonical-json.ts';
export { ReceiptError, type ReceiptErrorCode } from './errors.ts';
export { figuresOf, type ReceiptFigures, type SampleFigures } from './figures.ts';
export type { GateResult, GateStatus, ModelEvidence, ReplayEvidence, VerifyingKey, VerifyOptions } from './gate.ts';
export { MOST_RECEIPT_BYTES, type ReadReceipt, readReceipt } from './read.ts';
export { KNOWN_KERNELS, type KnownKernel } from './registry.ts';
export { RECEIPT_SCHEMA } from './schema.ts';
export { type ReceiptContent, sealReceipt } from './seal.ts';
export {
  PREDICATE_TYPE,
  type ReceiptCounter,
  type ReceiptHost,
  type ReceiptKernels,
  type ReceiptLimits,
  type ReceiptModel,
  type ReceiptModelConfig,
  type ReceiptParity,
  type ReceiptPredicate,
  type ReceiptRun,
  type ReceiptStatement,
  type ReceiptSubject,
  type ReceiptTool,
  STATEMENT_TYPE,
} from './statement.ts';
export { type VerificationReport, verifyReceipt } from './verify.ts';
