export { canonicalJson } from './canonical-json.ts';
export { ReceiptError, type ReceiptErrorCode } from './errors.ts';
export { figuresOf, type ReceiptFigures, type SampleFigures } from './figures.ts';
export type { GateResult, GateStatus, ModelEvidence, ReplayEvidence, VerifyingKey, VerifyOptions } from './gate.ts';
export { MOST_RECEIPT_BYTES, type ReadReceipt, readReceipt } from './read.ts';
export { KNOWN_KERNELS, type KnownKernel } from './registry.ts';
export { PARITY_SCHEMA, RECEIPT_SCHEMA } from './schema.ts';
export { type ParityContent, type ReceiptContent, sealParity, sealReceipt } from './seal.ts';
export {
  PARITY_PREDICATE_TYPE,
  type ParityComparison,
  type ParityPredicate,
  type ParityStatement,
  PREDICATE_TYPE,
  type ReceiptCounter,
  type ReceiptFile,
  type ReceiptHost,
  type ReceiptKernels,
  type ReceiptLayers,
  type ReceiptLimits,
  type ReceiptLinear,
  type ReceiptModel,
  type ReceiptModelConfig,
  type ReceiptParity,
  type ReceiptPredicate,
  type ReceiptRun,
  type ReceiptStatement,
  type ReceiptSubject,
  type ReceiptTokenizer,
  type ReceiptTool,
  type ReceiptWeights,
  type ReceiptWeightType,
  STATEMENT_TYPE,
} from './statement.ts';
export { type VerificationReport, verifyReceipt } from './verify.ts';
